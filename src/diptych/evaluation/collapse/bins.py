"""NDB: real items are divided into bins, and the samples must fall into them as often.

A mode that a model dropped is a bin that its samples are missing from; a mode that it prefers is
one that they crowd. Each bin is a test of two proportions.

Source: Richardson and Weiss 2018, "On GANs and GMMs", arXiv:1805.12462. The count published there
takes each test at 5 %, so that a perfect model has 5 % of the bins different; Holm 1979 corrects
for testing many bins at once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.clustering import assign
from diptych.evaluation.collapse.shares import jensen_shannon

__all__ = ["BinComparison", "compare_bins", "count_bins", "holm", "ndb"]

LEVEL = 0.05
THIN = 10  # items of both sets in one bin, below which z is no longer normal


@dataclass(frozen=True, eq=False)
class BinComparison:
    """How two sets fall into the same bins.

    Attributes:
        different: bins whose shares differ at the level, each tested alone: the published NDB.
        significant: bins that differ after Holm's correction: with a perfect model the chance
            that even one does is at most the level. Thin bins are left out.
        jsd: Jensen-Shannon divergence of the shares in nats, 0 to ln 2.
        p_values: (K,), float64, two-sided; 1 for a bin that holds nothing.
        z: (K,), float64; positive where the samples are too many.
        thin: bins that hold fewer than ten items of both sets together.
        used: bins that hold anything.
    """

    different: int
    significant: int
    jsd: float
    p_values: Tensor
    z: Tensor
    thin: int
    used: int


def ndb(real: Tensor, fake: Tensor, centers: Tensor, *, level: float = LEVEL) -> BinComparison:
    """Compare two sets by the bins around given centers; every item falls to the nearest one.

    Fit the centers (:func:`diptych.evaluation.clustering.k_means`) on real items that are in
    neither set where you can: bins shaped by the real set itself suit it better than any
    fresh one.

    Args:
        real: (N, D), floating.
        fake: (M, D).
        centers: (K, D).
        level: of the tests.

    Returns:
        The comparison.

    Raises:
        DataError: shapes that do not fit, an empty set, or values that are not finite.
    """
    return compare_bins(count_bins(real, centers), count_bins(fake, centers), level=level)


def count_bins(points: Tensor, centers: Tensor) -> Tensor:
    """Return how many points are nearest to each center, int64 (K,)."""
    if not bool(points.isfinite().all()):
        raise DataError("The features hold NaN or infinite values; look at the samples first.")
    return assign(points, centers).bincount(minlength=len(centers))


def compare_bins(real: Tensor, fake: Tensor, *, level: float = LEVEL) -> BinComparison:
    """Test every bin for equal shares of two sets.

    z = (q − p) / √(P (1 − P) (1/n + 1/m)), with P the share of both sets together.

    Args:
        real: (K,), counts that sum to n.
        fake: (K,), counts that sum to m.
        level: below which a p-value makes a bin different.

    Raises:
        DataError: K differs, or a set is empty.
    """
    jsd = float(jensen_shannon(real, fake))  # checks both
    real, fake = real.double(), fake.double()
    n, m = real.sum(), fake.sum()
    together = real + fake
    pooled = together / (n + m)
    error = (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt()
    # A bin that holds nothing, or everything, cannot differ.
    z = torch.where(error > 0, (fake / m - real / n) / error.clamp(min=1e-300), 0.0)
    p_values = torch.special.erfc(z.abs() / 2**0.5)
    thick = together >= THIN
    return BinComparison(
        different=int((p_values < level).sum()),
        significant=int(holm(p_values[thick], level).sum()),
        jsd=jsd,
        p_values=p_values,
        z=z,
        thin=int((~thick).sum()),
        used=int((together > 0).sum()),
    )


def holm(p_values: Tensor, level: float = LEVEL) -> Tensor:
    """Return which hypotheses fall, (K,) bool, with a chance of one false fall ≤ level.

    The p-values are taken from the smallest: the i-th of K falls while it is at most
    level / (K − i + 1). No assumption is made on how the tests depend on each other.

    Args:
        p_values: (K,), 0..1.
        level: the family-wise error.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    ordered, places = p_values.sort()
    left = torch.arange(len(p_values), 0, -1, device=p_values.device)
    falls = (ordered <= level / left).long().cumprod(0).bool()
    return torch.zeros_like(falls).scatter(0, places, falls)
