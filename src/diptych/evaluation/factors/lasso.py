"""Linear regression with an L1 penalty, for many targets and strengths at once."""

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = ["lasso"]

TOLERANCE = 1e-9
MOST_ITERATIONS = 3000


def lasso(inputs: Tensor, targets: Tensor, strengths: Tensor) -> Tensor:
    """Return argmin_w |y − Xw|² / 2n + α |w|₁ for every target and strength.

    Solved by accelerated proximal gradient steps from 0. They treat equal columns of X equally
    all the way, so that a latent and its copy share the weight, where coordinate descent would
    give all of it to whichever comes first: the minimum is not unique then, and importance must
    not depend on the order of the latents.

    Args:
        inputs: X, float64 (n, L), centred.
        targets: Y, float64 (n, F), centred.
        strengths: α, float64 (A, F), ≥ 0.

    Returns:
        float64 (A, L, F).

    Raises:
        DataError: shapes that do not fit.

    Source: Tibshirani, "Regression shrinkage and selection via the lasso", 1996; Beck &
    Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009, with the restarts of
    O'Donoghue & Candès 2012, arXiv:1204.3982.
    """
    n, latents = inputs.shape
    if len(targets) != n or strengths.shape[1] != targets.shape[1]:
        raise DataError("The lasso needs as many targets as inputs and a strength for each.")
    gram, moments = inputs.T @ inputs / n, inputs.T @ targets / n
    steepest = float(torch.linalg.eigvalsh(gram)[-1])
    weights = torch.zeros(len(strengths), latents, targets.shape[1], dtype=torch.float64)
    if steepest <= 0:
        return weights
    ahead, momentum = weights, 1.0
    threshold = strengths[:, None] / steepest
    for _ in range(MOST_ITERATIONS):
        moved = ahead - (gram @ ahead - moments) / steepest
        new = moved.sign() * (moved.abs() - threshold).clamp(min=0)
        if float((new - weights).abs().amax()) < TOLERANCE and momentum > 1:
            return new
        overshot = float(((ahead - new) * (new - weights)).sum()) > 0
        next_momentum = 1.0 if overshot else (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        push = 0.0 if overshot else (momentum - 1) / next_momentum
        ahead, weights, momentum = new + push * (new - weights), new, next_momentum
    return weights
