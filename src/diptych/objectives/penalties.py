"""Gradient penalties on the discriminator."""

import torch
from torch import Tensor

from diptych.objectives.precision import at_least_single

__all__ = ["r1_penalty"]


def r1_penalty(logits: Tensor, images: Tensor, gamma: float) -> Tensor:
    """R1 = gamma/2 E[ ||grad_x D(x)||^2 ] on real images.

    The norm is per image, over all its values; the penalty itself can be differentiated.

    Args:
        logits: D(images), (N,) or (N, 1), computed with a graph.
        images: (N, ...), with `requires_grad`.
        gamma: the weight, > 0. It depends on the scale of the images: here, as in the papers,
            they lie in [-1, 1].

    Returns:
        A scalar.

    Source: Mescheder, Geiger & Nowozin, "Which training methods for GANs do actually
    converge?", ICML 2018, arXiv 1801.04406, equation 9.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return 0.5 * gamma * at_least_single(gradient).square().flatten(1).sum(1).mean()
