"""A Gaussian on principal components: what can be said of data without training anything.

Σ = U (Λ − σ²I) Uᵀ + σ²I, with the k largest eigenvalues Λ of the covariance, their directions U,
and σ² the mean of the eigenvalues that are left out.

Sources: Tipping and Bishop 1999, Probabilistic principal component analysis, J. R. Stat. Soc. B
61, 611-622 (this is its maximum-likelihood solution); Halko et al., arXiv:0909.4061 (random
projections).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.models.game import random_stream

__all__ = ["Gaussian", "fit_gaussian"]

EXACT = 2_048
"""Dimensions up to which all eigenvalues are found; beyond, only the largest, by random
projections, on fewer rows."""
ROWS = 10_000
"""Rows at the most beyond."""
BEYOND = 16
"""Projections more than directions, which makes the last of these as good as the first."""
CHUNK = 4_096


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean (D,), directions (k, D), standard deviations (k,) along them, and sigma elsewhere."""

    mean: Tensor
    directions: Tensor
    deviations: Tensor
    sigma: float
    covered: float
    """Share of the variance along the directions, 0..1."""

    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        """Draw float64 (count, D)."""
        k, width = self.directions.shape
        codes = torch.randn(count, k, generator=generator, dtype=torch.float64)
        # The noise fills all directions, so those that are kept need that much less.
        along = (self.deviations.square() - self.sigma**2).clamp(min=0).sqrt()
        drawn = self.mean + (codes * along) @ self.directions
        if self.sigma > 0:
            noise = torch.randn(count, width, generator=generator, dtype=torch.float64)
            drawn += self.sigma * noise
        return drawn


def fit_gaussian(
    rows: NDArray[Any], *, components: int, share: float = 1.0, scale: float = 1.0
) -> Gaussian:
    """Fit by the mean and the covariance (divisor N - 1).

    Args:
        rows: (N, D), N >= 2.
        components: how many directions at the most.
        share: of the variance, from which on no more directions are taken.
        scale: what values are multiplied by first, e.g. 1/255 for bytes.

    Returns:
        Everything in float64, in units of the scaled values.
    """
    width = rows.shape[1]
    if width > EXACT and len(rows) > ROWS:
        rows = rows[np.arange(ROWS) * len(rows) // ROWS]
    parts = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    mean = sum(_double(part, scale).sum(0) for part in parts) / len(rows)
    assert isinstance(mean, Tensor)
    degrees = len(rows) - 1
    if width <= EXACT:
        covariance = torch.zeros(width, width, dtype=torch.float64)
        for part in parts:
            centred = _double(part, scale) - mean
            covariance += centred.T @ centred / degrees
        values, vectors = torch.linalg.eigh(covariance)
        variances, directions = values.flip(0).clamp(min=0), vectors.flip(1).T
        total = float(covariance.trace())
    else:
        centred = (torch.from_numpy(np.array(rows)).float() * scale).sub_(mean.float())
        total = float(centred.double().square().sum()) / degrees
        with random_stream(0):
            wanted = min(components + BEYOND, len(rows) - 1, width)
            found = torch.svd_lowrank(centred, q=wanted, niter=4)
        variances, directions = found[1].double().square() / degrees, found[2].double().T
    parts_covered = variances.cumsum(0) / max(total, torch.finfo(torch.float64).tiny)
    enough = int((parts_covered < share - 1e-9).sum()) + 1
    k = min(enough, components, len(variances))
    left = max(0.0, total - float(variances[:k].sum()))
    return Gaussian(
        mean=mean,
        directions=directions[:k],
        deviations=variances[:k].sqrt(),
        sigma=(left / (width - k)) ** 0.5 if k < width else 0.0,
        covered=float(parts_covered[k - 1]),
    )


def _double(part: NDArray[Any], scale: float) -> Tensor:
    return torch.from_numpy(np.array(part)).double() * scale
