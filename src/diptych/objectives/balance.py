"""How much one loss may weigh beside another: the ratio of what they do to the same parameters."""

from collections.abc import Sequence

import torch
from torch import Tensor

from diptych.objectives.precision import at_least_single
from diptych.workers import mean_over_workers

__all__ = ["balanced_weight", "gradient_norm"]


def gradient_norm(loss: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """||d loss / d parameters||, the Euclidean norm over all of them together.

    Of several workers, whose losses are means over their shares, it is the norm for the whole
    batch.

    Taken in single precision or better. The loss's graph is kept, for the backward pass that
    follows, and no graph of the gradient is made; nothing is added to any parameter's `grad`.

    Args:
        loss: a scalar with a graph.
        parameters: that require gradients; one the loss does not depend on counts as 0.

    Returns:
        A scalar without a graph, >= 0.
    """
    gradients = torch.autograd.grad(
        loss, list(parameters), retain_graph=True, allow_unused=True, materialize_grads=True
    )
    whole = [mean_over_workers(at_least_single(gradient)) for gradient in gradients]
    norms = [torch.linalg.vector_norm(gradient) for gradient in whole]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return norm


def balanced_weight(
    loss: Tensor, term: Tensor, last_layer: Sequence[Tensor], *, share: float, cap: float
) -> Tensor:
    """w = min(cap, share ||grad loss|| / ||grad term||), both with respect to the last layer.

    With it, w * term pushes the last layer `share` times as hard as the loss does, whatever the
    units of either: a loss that is summed over pixels needs no other setting than one that is
    averaged. The weight is a number to the graph: no gradient flows through it.

    The paper adds 1e-4 to the denominator, which makes the weight depend on the term's units
    again wherever its gradient is that small; here only the cap bounds it. A term that has no
    gradient at all weighs `cap`, times nothing.

    Args:
        loss: the loss to measure against, a scalar with a graph.
        term: the term to be weighed, a scalar with a graph.
        last_layer: the parameters both gradients are taken of; they require gradients.
        share: of the loss's push that the term gets, >= 0.
        cap: the largest weight, > 0, in units of the loss per unit of the term.

    Returns:
        A scalar in [0, cap] without a graph; 0 if either gradient is not finite.

    Source: Esser, Rombach & Ommer, "Taming transformers for high-resolution image synthesis",
    CVPR 2021, arXiv 2012.09841, equation 7.
    """
    own, others = gradient_norm(loss, last_layer), gradient_norm(term, last_layer)
    smallest = torch.finfo(others.dtype).tiny  # 0 / 0 is 0 then, and anything else / 0 the cap
    weight = (share * own / others.clamp(min=smallest)).clamp(max=cap)
    return torch.where(own.isfinite() & others.isfinite(), weight, torch.zeros_like(weight))
