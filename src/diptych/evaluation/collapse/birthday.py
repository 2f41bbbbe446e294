"""The birthday test: how often two samples are nearly the same tells how few there are.

Among s draws from S equally likely things two agree with probability
1 − Π_{i<s} (1 − i/S) ≈ 1 − exp(−s²/2S): one half at s = √(2 ln 2 · S), which is 23 for birthdays.

Source: Arora, Risteski and Zhang 2018, "Do GANs learn the distribution? Some theory and
empirics", ICLR (first as Arora and Zhang 2017, arXiv:1706.08224). They draw one batch at a time
and judge pairs by eye; here all pairs of one large set are counted, and the distance at which two
samples are "nearly the same" comes from real data.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.collapse.shares import Z
from diptych.evaluation.fidelity.neighbours import squared_radii
from diptych.evaluation.figure import Estimate

__all__ = [
    "NearPairs",
    "collision_chance",
    "even_batch",
    "near_duplicate_distance",
    "near_pairs",
    "support_size",
]

BLOCK = 512  # rows of a distance matrix held at once
PAIRS = 65536  # pairs compared at once when rounding could decide
ROUNDING = 1e-12  # of |a|² + |b|²
QUANTILE = 0.05


@dataclass(frozen=True, eq=False)
class NearPairs:
    """Which items of one set are nearly the same.

    Attributes:
        per_item: (N,), int64, the others that each item is nearly the same as.
        pairs: how many pairs that makes.
        total: pairs there are, N (N − 1) / 2.
    """

    per_item: Tensor
    pairs: int
    total: int


def collision_chance(samples: int, support: float) -> float:
    """Return the chance that two of s draws from S equally likely things agree, exactly."""
    if samples > support:
        return 1.0
    return -math.expm1(sum(math.log1p(-i / support) for i in range(samples)))


def even_batch(support: float) -> float:
    """Return the batch in which a near-duplicate turns up half of the time, √(2 ln 2 · S)."""
    return math.sqrt(2 * math.log(2) * support)


def near_duplicate_distance(real: Tensor, *, quantile: float = QUANTILE) -> float:
    """Return the distance below which two items are nearly the same.

    It is a low quantile of the distances of real items to their nearest other: in a set of this
    size, few real items come as close as that to any other.

    Args:
        real: (N, D), floating, N ≥ 2.
        quantile: of the N nearest distances; the next larger one is taken.

    Returns:
        The distance in feature units; 0 where the real set holds that many exact duplicates.

    Raises:
        DataError: too few items, or values that are not finite.
    """
    centred = _centred(real)
    nearest = squared_radii(centred, 1).sort().values
    place = min(len(nearest) - 1, math.ceil(quantile * len(nearest)) - 1)
    return math.sqrt(float(nearest[max(0, place)]))


def near_pairs(items: Tensor, distance: float) -> NearPairs:
    """Count the pairs of items that are not farther apart than the distance.

    Args:
        items: (N, D), floating, N ≥ 2.
        distance: in feature units, ≥ 0.

    Returns:
        The count, exact also at the rim, where the blocked distances could round.

    Raises:
        DataError: too few items, or values that are not finite.
    """
    items = _centred(items)
    norms = items.square().sum(1)
    limit = distance**2 * (1 + 1e-12)  # the root and its square do not give back every bit
    per_item = torch.zeros(len(items), dtype=torch.int64, device=items.device)
    for start in range(0, len(items), BLOCK):
        block = items[start : start + BLOCK]
        near = norms[start : start + BLOCK, None] + norms
        tolerance = ROUNDING * near
        squared = near.addmm_(block, items.T, alpha=-2)
        inside = squared <= limit - tolerance
        unsure = ((squared <= limit + tolerance) ^ inside).nonzero()
        for pairs in torch.split(unsure, PAIRS):
            i, j = pairs.unbind(1)
            inside[i, j] = (block[i] - items[j]).square().sum(-1) <= limit
        rows = torch.arange(len(block), device=items.device)
        inside[rows, rows + start] = False
        per_item[start : start + len(block)] = inside.sum(1)
    total = len(items) * (len(items) - 1) // 2
    return NearPairs(per_item, int(per_item.sum()) // 2, total)


def support_size(found: NearPairs) -> Estimate:
    """Return the effective support, S = (pairs there are) / (pairs nearly the same).

    The chance that two draws agree is Σ p², so S estimates 1/Σ p²: the number of different
    things where all are equally likely, and less than that number otherwise.

    The interval is Garwood's for a Poisson count, widened where near-duplicates share items more
    often than equally likely things would. With no near pair at all only a lower bound is known.

    Args:
        found: of :func:`near_pairs`.

    Returns:
        S in items. Without any near pair it is the lower bound at 95 %, and not trusted.
    """
    x, total = found.pairs, found.total
    if not x:
        bound = total / -math.log(0.05)
        return Estimate(
            bound,
            note=f"No two samples are nearly the same, so the support is at least {bound:,.0f} "
            "items (95 %); more samples would tell more.",
            trusted=False,
        )
    n = len(found.per_item)
    degree = found.per_item.double()
    chains = float((degree * (degree - 1)).sum())  # ordered pairs of pairs that share an item
    expected = n * (n - 1) * (n - 2) * (x / total) ** 2
    excess = max(1.0, (x + chains - expected) / x)
    fewest, most = _poisson_interval(x / excess)
    low = max(1.0, total / (most * excess))
    return Estimate(
        total / x,
        min(low, total / x),
        total / (fewest * excess) if fewest > 0 else None,
        "Garwood, overdispersion included",
        f"{x:,} of {total:,} pairs are nearly the same: among {even_batch(total / x):,.0f} "
        f"samples one such pair is as likely as none. At least {low:,.0f} items (95 %), "
        "if all are equally likely; more if not.",
    )


def _poisson_interval(count: float) -> tuple[float, float]:
    """Return the means λ for which a count this high, or this low, has a chance of 2.5 %."""

    def solve(shape: float, target: float) -> float:
        if shape <= 0:
            return 0.0
        a = torch.tensor(shape, dtype=torch.float64)
        low, high = 0.0, shape + 10 * Z * math.sqrt(shape) + 50
        for _ in range(100):
            middle = (low + high) / 2
            below = torch.special.gammainc(a, torch.tensor(middle, dtype=torch.float64))
            low, high = (middle, high) if float(below) < target else (low, middle)
        return (low + high) / 2

    return solve(count, 0.025), solve(count + 1, 0.975)


def _centred(items: Tensor) -> Tensor:
    if items.ndim != 2 or len(items) < 2:
        raise DataError(
            f"Near-duplicates need two items (N, D) at least, not {tuple(items.shape)}."
        )
    if not bool(items.isfinite().all()):
        raise DataError("The features hold NaN or infinite values; look at the samples first.")
    items = items.double()
    return items - items.mean(0)
