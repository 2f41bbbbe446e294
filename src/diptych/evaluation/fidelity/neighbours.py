"""Precision, recall, density and coverage from k-nearest-neighbour balls.

A ball sits on every item and reaches to its k-th nearest neighbour in the same set. Who lies in
whose ball tells fidelity (generated items in real balls) from variety (real items reached).

Sources: Kynkäänniemi et al. 2019, arXiv:1904.06991 (improved precision and recall);
Naeem et al. 2020, arXiv:2002.09797 (density and coverage).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = [
    "DensityCoverage",
    "PrecisionRecall",
    "density_coverage",
    "expected_coverage",
    "precision_recall",
    "squared_radii",
]

BLOCK = 256  # rows of a distance matrix held at once
PAIRS = 65536  # pairs compared at once when rounding could decide
ROUNDING = 1e-12  # of |a|² + |b|²: generous for float64 and a few thousand features


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares in 0..1: generated items within the real set's balls, and the reverse."""

    precision: float
    recall: float


@dataclass(frozen=True)
class DensityCoverage:
    """Density ≥ 0, about 1 for equal sets and not bounded by it; coverage is a share in 0..1."""

    density: float
    coverage: float


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 3) -> PrecisionRecall:
    """Return improved precision and recall.

    precision = mean over fake y of [∃ real x: |y − x| ≤ r_k(x)]; recall swaps the two sets.
    Equal distributions do not give 1: read both beside their floor, at equal N.

    Args:
        real: (N, D), any floating dtype; N > k.
        fake: (M, D); M > k.
        k: which neighbour sets the radius, the item itself not counted.

    Returns:
        Two shares.

    Raises:
        DataError: too few items, different D, or values that are not finite.

    Source: Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 2.
    """
    real, fake = _common_centre(real, fake)
    _, per_fake = _containment(real, squared_radii(real, k), fake, closed=True)
    _, per_real = _containment(fake, squared_radii(fake, k), real, closed=True)
    return PrecisionRecall(_share(per_fake > 0), _share(per_real > 0))


def density_coverage(real: Tensor, fake: Tensor, *, k: int = 5) -> DensityCoverage:
    """Return density and coverage.

    density = (1/kM) Σ_y #{real x: |y − x| < r_k(x)}; coverage = share of real x whose open ball
    holds a fake item. Balls of radius 0 hold nothing, so sets of identical items score 0.

    Args:
        real: (N, D), any floating dtype; N > k.
        fake: (M, D), M ≥ 1.
        k: which neighbour sets the radius, the item itself not counted.

    Returns:
        Density and coverage.

    Raises:
        DataError: too few items, different D, or values that are not finite.

    Source: Naeem et al. 2020, arXiv:2002.09797, eqs. 3 and 4.
    """
    real, fake = _common_centre(real, fake)
    per_real, per_fake = _containment(real, squared_radii(real, k), fake, closed=False)
    return DensityCoverage(float(per_fake.double().mean()) / k, _share(per_real > 0))


def expected_coverage(n: int, m: int, k: int = 5) -> float:
    """Return E[coverage] for n real and m fake items drawn from one continuous distribution.

    1 − Π_{i=1..k} (n − i) / (n + m − i), whatever the distribution and the dimension.

    Source: Naeem et al. 2020, arXiv:2002.09797, eq. 9.
    """
    missed = 1.0
    for i in range(1, k + 1):
        missed *= (n - i) / (n + m - i)
    return 1 - missed


def squared_radii(features: Tensor, k: int) -> Tensor:
    """Return the squared distance of every item to its k-th nearest other item.

    Args:
        features: (N, D), N > k.
        k: at least 1; the item itself is not counted, its duplicates are.

    Returns:
        (N,), float64, in squared feature units.

    Raises:
        DataError: N ≤ k.
    """
    if not 1 <= k < len(features):
        raise DataError(
            f"The {k} nearest neighbours cannot be found among {len(features)} items; "
            f"bring at least {k + 1}."
        )
    features = features.double()
    radii = []
    for start in range(0, len(features), BLOCK):
        block = features[start : start + BLOCK]
        distances = _approximate(block, features)
        rows = torch.arange(len(block), device=features.device)
        distances[rows, rows + start] = torch.inf
        nearest = distances.topk(k, largest=False).indices  # (block, k)
        exact = (block[:, None] - features[nearest]).square().sum(-1)
        radii.append(exact.amax(1))
    return torch.cat(radii)


def _containment(
    centres: Tensor, radii: Tensor, points: Tensor, *, closed: bool
) -> tuple[Tensor, Tensor]:
    """Count the points in each ball (N,) and the balls around each point (M,)."""
    per_ball = []
    per_point = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    farthest = points.square().sum(1).max()
    for start in range(0, len(centres), BLOCK):
        block, radius = centres[start : start + BLOCK], radii[start : start + BLOCK, None]
        distances = _approximate(block, points)
        tolerance = ROUNDING * (block.square().sum(1, keepdim=True) + farthest)
        inside = distances < radius - tolerance
        unsure = ((distances <= radius + tolerance) ^ inside).nonzero()
        # An item against its own duplicate must come out as exactly 0, and a point on the rim
        # as exactly on it, which the product form of the distance cannot promise.
        for pairs in torch.split(unsure, PAIRS):
            i, j = pairs.unbind(1)
            exact = (block[i] - points[j]).square().sum(-1)
            inside[i, j] = exact <= radius[i, 0] if closed else exact < radius[i, 0]
        per_ball.append(inside.sum(1))
        per_point += inside.sum(0)
    return torch.cat(per_ball), per_point


def _approximate(a: Tensor, b: Tensor) -> Tensor:
    """Return |a|² + |b|² − 2ab (N, M): one matrix product, right to rounding of the norms."""
    return torch.addmm(a.square().sum(1, keepdim=True) + b.square().sum(1), a, b.T, alpha=-2)


def _common_centre(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Check both sets and move the real mean to the origin, where norms and rounding are small."""
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise DataError(
            "Neighbours need two matrices of features of one width, not "
            f"{tuple(real.shape)} and {tuple(fake.shape)}."
        )
    if not len(real) or not len(fake):
        raise DataError("Neighbours need at least one real and one generated item.")
    real, fake = real.double(), fake.double()
    if not bool(real.isfinite().all()) or not bool(fake.isfinite().all()):
        raise DataError("The features hold NaN or infinite values; look at the samples first.")
    centre = real.mean(0)
    return real - centre, fake - centre


def _share(which: Tensor) -> float:
    return float(which.double().mean())
