"""Gradient penalties on the discriminator: R1 on real images, R2 on generated ones.

R = gamma/2 E[ ||grad_x D(x)||^2 ], with the norm of each image over all its values. The weight
depends on the scale of the images: here, as in the papers, they lie in [-1, 1].

There are two ways to a penalty that can itself be differentiated. `squared_gradient` goes through
the gradient a second time. `squared_gradient_by_differences` needs first derivatives only: with
v = grad_x D(x) held constant,

    d/d theta  1/2 ||grad_x D(x)||^2  =  d/d theta  v . grad_x D(x)
                                      ~  d/d theta  (D(x + e v) - D(x - e v)) / (2 e).

Source: Mescheder, Geiger & Nowozin, "Which training methods for GANs do actually converge?",
ICML 2018, arXiv 1801.04406, equations 9 and 10. A forward-only relative, a penalty on
(D(x) - D(x + noise))^2, is that of Lin et al., arXiv 2501.08316: there the direction is random and
the value an estimate; here the direction is the gradient's and the value is exact.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from diptych.objectives.precision import at_least_single

__all__ = ["r1_penalty", "r2_penalty", "squared_gradient", "squared_gradient_by_differences"]

DISPLACEMENT = 0.1
"""How far the two images of a difference lie from the one between, in parts of its RMS value.

Far above what rounding asks for (1e-3 is safe in float32), because rectifiers ask for more: one
that switches between the two images adds its jump over 2e. Over many images these add up to a
finite sum, so a smaller displacement gives the same mean with more noise, about as 1/e."""


def squared_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """||grad_x D(x)||^2 of each image, by double backward.

    Args:
        logits: D(images), (N,) or (N, 1), computed with a graph.
        images: (N, ...), with `requires_grad`.

    Returns:
        (N,), in single precision or better, with a graph to the discriminator's parameters.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return at_least_single(gradient).square().flatten(1).sum(1)


def squared_gradient_by_differences(
    discriminator: Callable[[Tensor], Tensor],
    logits: Tensor,
    images: Tensor,
    *,
    displacement: float = DISPLACEMENT,
) -> Tensor:
    """||grad_x D(x)||^2 of each image, its value exact, its gradient by central differences.

    For operations that have no second derivative, and for compilers that do not take one. Both
    displaced images are judged in one pass, so that a discriminator with a state that moves in
    every pass (spectral normalisation) is one function for both; one that is random in itself
    (dropout) must be avoided, and so must one in which images see each other.

    Where D is smooth, the error of the gradient is of the order of displacement^2. Where D is
    piecewise linear the two forms differ by more than an error: a rectifier's threshold also
    decides for which images it is open, and the expected penalty depends on that. Differences see
    it, as a boundary term; double backward holds the pattern of open rectifiers fixed and leaves
    it out. On an untrained `ConvEncoder` the gradients of the two had a cosine of about 0.9.

    Args:
        discriminator: (2N, ...) to (2N,) or (2N, 1).
        logits: D(images), (N,) or (N, 1), computed with a graph, which is kept.
        images: (N, ...), with `requires_grad`, in single precision or better.
        displacement: Euclidean distance from each image, in parts of the root of the mean squared
            norm of the images; > 0.

    Returns:
        (N,), in the precision of the images, with a graph to the discriminator's parameters.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, retain_graph=True)
    rows = images.detach().flatten(1)
    tiny = torch.finfo(rows.dtype).tiny
    slope: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    direction = gradient.flatten(1) / slope.clamp(min=tiny)[:, None]
    size = rows.square().sum(1).mean().sqrt()
    distance = displacement * torch.where(size > 0, size, torch.ones_like(size))
    shift = (distance * direction).view_as(images)
    centre = images.detach()
    ahead, behind = discriminator(torch.cat([centre + shift, centre - shift])).flatten().chunk(2)
    along: Tensor = 2.0 * slope * (ahead - behind) / (2.0 * distance)
    return slope.square() + (along - along.detach())


def r1_penalty(logits: Tensor, images: Tensor, gamma: float) -> Tensor:
    """R1 = gamma/2 E[ ||grad_x D(x)||^2 ] on real images, by double backward.

    Args:
        logits: D(images), (N,) or (N, 1), computed with a graph.
        images: (N, ...) in [-1, 1], with `requires_grad`.
        gamma: the weight, > 0.

    Returns:
        A scalar that can be differentiated.
    """
    return 0.5 * gamma * squared_gradient(logits, images).mean()


def r2_penalty(logits: Tensor, images: Tensor, gamma: float) -> Tensor:
    """R2: what `r1_penalty` is for real images, for generated ones, which are constants here."""
    return r1_penalty(logits, images, gamma)
