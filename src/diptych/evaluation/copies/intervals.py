"""Intervals of 95 % that stay honest at the ends of their range, where copies are found."""

import math

from torch import Tensor

from diptych.evaluation.figure import Estimate

__all__ = ["Z95", "median", "share", "wilson"]

Z95 = 1.959963984540054
"""The normal quantile of 97.5 %."""


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return Wilson's score interval of a share, which is not empty at 0 and 1.

    Args:
        hits: 0..n.
        n: at least 1.

    Source: Wilson 1927, JASA 22(158).
    """
    p, spread = hits / n, Z95**2 / n
    middle = (p + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * math.sqrt(p * (1 - p) / n + spread / (4 * n))
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == n else min(1.0, middle + half)
    return low, high


def share(which: Tensor, *, scale: float = 1.0) -> Estimate:
    """Return the share of true items, with Wilson's interval.

    Args:
        which: bool (N,), N ≥ 1.
        scale: 1 for a share, 100 for percent.
    """
    hits, n = int(which.sum()), len(which)
    low, high = wilson(hits, n)
    return Estimate(scale * hits / n, scale * low, scale * high, "Wilson, over generated items")


def median(values: Tensor) -> Estimate:
    """Return the median with an interval between order statistics, for any distribution.

    The number of values below the true median is Binomial(N, ½), here by its normal
    approximation with continuity correction. Below 6 values no interval of 95 % exists.

    Args:
        values: (N,), N ≥ 1; infinite values are allowed.
    """
    values = values.double().sort().values
    n = len(values)
    middle = (float(values[(n - 1) // 2]) + float(values[n // 2])) / 2
    below = math.floor((n - 1 - Z95 * math.sqrt(n)) / 2)
    if below < 0 or n < 6:
        return Estimate(middle)
    low, high = float(values[below]), float(values[n - 1 - below])
    if not math.isfinite(high):
        return Estimate(middle)
    return Estimate(middle, low, high, "order statistics")
