"""The sliced Wasserstein distance: optimal transport along random lines.

SW₂² = mean over unit directions θ of W₂²(θ·x, θ·y), and on a line W₂² is the mean squared gap
between the sorted values. It sees every one-dimensional projection, not mean and covariance only.

Source: Bonneel, Rabin, Peyré and Pfister 2015, J. Math. Imaging Vision 51, 22–45.
"""

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.fidelity.intervals import NORMAL_95
from diptych.evaluation.figure import Estimate

__all__ = ["DIRECTIONS", "sliced_w2"]

DIRECTIONS = 500
AT_ONCE = 2**22  # projected values held at once


def sliced_w2(
    real: Tensor, fake: Tensor, *, generator: torch.Generator, directions: int = DIRECTIONS
) -> Estimate:
    """Return SW₂² with an interval for the noise of sampling.

    Gaussians of equal covariance whose means are δ apart have SW₂² = |δ|²/D. At equal N the sorted
    values are paired; else the quantile functions are compared at the mid-points of max(N, M)
    equal steps. The interval is the delta method for these directions: moving weight to an item
    changes W₂² on a line by its Kantorovich potential.

    Args:
        real: (N, D), N ≥ 2, any floating dtype.
        fake: (M, D), M ≥ 2.
        generator: draws the directions.
        directions: how many.

    Returns:
        The squared distance, ≥ 0, in squared feature units per dimension.

    Raises:
        DataError: too few items, different D, or values that are not finite.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise DataError(
            "The sliced distance needs two matrices of features of one width, not "
            f"{tuple(real.shape)} and {tuple(fake.shape)}."
        )
    n, m = len(real), len(fake)
    if min(n, m) < 2:
        raise DataError(
            f"The sliced distance needs at least 2 items of each set, not {n} and {m}."
        )
    centre = real.double().mean(0)
    lines = torch.randn(directions, len(centre), generator=generator, device=generator.device)
    lines = lines.to(real.device)
    lines = lines / lines.norm(dim=1, keepdim=True).clamp(min=torch.finfo(lines.dtype).tiny)
    total = torch.zeros((), dtype=torch.float64, device=real.device)
    potentials = [torch.zeros(size, dtype=torch.float64, device=real.device) for size in (n, m)]
    x, y = (items.to(torch.float64) - centre for items in (real, fake))
    x, y = x.to(lines.dtype), y.to(lines.dtype)
    for part in torch.split(lines, max(1, AT_ONCE // max(n, m))):
        (a, order_a), (b, order_b) = ((part @ items.T).sort(1) for items in (x, y))
        a, b = a.double(), b.double()
        steps = max(n, m)
        total += (_quantiles(a, steps) - _quantiles(b, steps)).square().mean(1).sum()
        potentials[0] += _potential(a, _quantiles(b, n), order_a)
        potentials[1] += _potential(b, _quantiles(a, m), order_b)
    value = float(total) / directions
    if not value < float("inf"):
        raise DataError("The features hold NaN or infinite values; look at the samples first.")
    spread = sum(float((part / directions).var()) / len(part) for part in potentials)
    margin = NORMAL_95 * spread**0.5
    interval = "delta method, given the directions; bias not included"
    return Estimate(value, max(0.0, value - margin), value + margin, interval)


def _quantiles(values: Tensor, steps: int) -> Tensor:
    """Sorted values (P, N) at the mid-points of equal steps in probability, (P, steps)."""
    size = values.shape[1]
    if size == steps:
        return values
    places = ((2 * torch.arange(steps, device=values.device) + 1) * size) // (2 * steps)
    return values[:, places]


def _potential(own: Tensor, other: Tensor, order: Tensor) -> Tensor:
    """Sum over lines of ψ(x) = ∫ 2 (x − T(x)) dx at each item, by trapezes between neighbours."""
    slope = 2 * (own - other)
    rise = (slope[:, 1:] + slope[:, :-1]) / 2 * own.diff(dim=1)
    psi = torch.nn.functional.pad(rise.cumsum(1), (1, 0))
    psi = psi - psi.mean(1, keepdim=True)
    return torch.zeros_like(psi).scatter_(1, order, psi).sum(0)
