"""How sure a Fréchet distance is: its standard error by the delta method.

The distance is a smooth function of both means and covariances. With T the optimal linear map
from one Gaussian to the other (T Σ₂ T = Σ₁), moving a little weight to the item y of the second
set changes d² by

    ψ(y) = 2 (μ₂ − μ₁)·ỹ + ỹᵀ(I − T)ỹ − its mean,      ỹ = y − μ₂,

and alike for the first set with T⁻¹. Hence Var d² ≈ Var ψ₁/N + Var ψ₂/M, in O(ND² + D³) and
without drawing anything again. It is the noise of sampling; the upward bias at small N is not in
it.
"""

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.fidelity.frechet import frechet_between, moments
from diptych.evaluation.fidelity.intervals import NORMAL_95
from diptych.evaluation.figure import Estimate

__all__ = ["frechet_estimate", "standard_error"]

MOST_ITEMS = 4096  # evenly spaced, whose influence is looked at: the error is then known to 1 %


def frechet_estimate(x: Tensor, y: Tensor) -> Estimate:
    """Return the Fréchet distance with an interval for the noise of sampling.

    Args:
        x: (N, D), any floating dtype.
        y: (M, D).

    Returns:
        The distance; without an interval where N or M is no more than D, since the covariances
        are singular then and bias is all there is.

    Raises:
        DataError: fewer than two rows, different D, or values that are not finite.
    """
    value = frechet_between(x, y)
    if min(len(x), len(y)) <= x.shape[1]:
        return Estimate(value)
    return with_interval(value, standard_error(x, y, moments(x), moments(y)))


def with_interval(value: float, error: float) -> Estimate:
    """The estimate of a squared distance, at least 0 at its lower end."""
    margin = NORMAL_95 * error
    interval = "delta method; sampling noise only, bias not included"
    return Estimate(value, max(0.0, value - margin), value + margin, interval)


def standard_error(
    x: Tensor, y: Tensor, of_x: tuple[Tensor, Tensor], of_y: tuple[Tensor, Tensor]
) -> float:
    """Return the standard error of d² between the Gaussians fitted to two sets.

    Args:
        x: (N, D), N > D.
        y: (M, D), M > D.
        of_x: mean (D,) and covariance (D, D) of x, float64.
        of_y: the same of y.

    Returns:
        The square root of Var ψ₁/N + Var ψ₂/M, in squared feature units.

    Raises:
        DataError: the sets do not fit each other.
    """
    (mu1, sigma1), (mu2, sigma2) = of_x, of_y
    if mu1.shape != mu2.shape:
        raise DataError(
            f"The Fréchet distance needs features of one size, not {len(mu1)} and {len(mu2)}."
        )
    root, inverse = _roots(sigma1)
    values, vectors = torch.linalg.eigh(root.T @ sigma2 @ root)
    quarter = _positive_power(values, 0.25)
    # T = (SVΛ^-¼)(SVΛ^-¼)ᵀ maps y to x and (S⁻ᵀVΛ^¼)(…)ᵀ maps x to y, for Σ₁ = SSᵀ.
    to_x = root @ vectors * _positive_power(values, -0.25)
    to_y = inverse.T @ vectors * quarter
    gap = mu1 - mu2
    variance = _variance(x, mu1, gap, to_y) / len(x) + _variance(y, mu2, -gap, to_x) / len(y)
    return float(variance**0.5)


def _variance(items: Tensor, mean: Tensor, gap: Tensor, factor: Tensor) -> float:
    """Var ψ for T = factor·factorᵀ; single precision is far more than an error bar needs."""
    gap32, factor32 = gap.float(), factor.float()
    chosen = torch.linspace(0, len(items) - 1, min(len(items), MOST_ITEMS)).round().long()
    centred = (items[chosen.to(items.device)].double() - mean).float()
    quadratic = centred.square().sum(1) - (centred @ factor32).square().sum(1)
    return float((2 * centred @ gap32 + quadratic).double().var())


def _roots(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """S with SSᵀ = Σ, and its inverse; the pseudo-inverse where a feature is dead."""
    factor, failed = torch.linalg.cholesky_ex(sigma)
    if int(failed) == 0:
        identity = torch.eye(len(sigma), dtype=sigma.dtype, device=sigma.device)
        return factor, torch.linalg.solve_triangular(factor, identity, upper=False)
    values, vectors = torch.linalg.eigh(sigma)
    return vectors * _positive_power(values, 0.5), (vectors * _positive_power(values, -0.5)).T


def _positive_power(values: Tensor, power: float) -> Tensor:
    """λ^power of the eigenvalues above rounding, 0 for the others."""
    noise = torch.finfo(values.dtype).eps * len(values) * values.abs().max()
    return torch.where(values > noise, values.clamp(min=noise).pow(power), 0.0)
