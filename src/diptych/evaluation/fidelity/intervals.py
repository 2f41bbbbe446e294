"""Intervals of 95 % for shares and means."""

from torch import Tensor

from diptych.evaluation.figure import Estimate

__all__ = ["NORMAL_95", "mean_estimate", "share_estimate"]

NORMAL_95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""


def share_estimate(which: Tensor, given: str = "") -> Estimate:
    """Return the share of true items with Wilson's interval.

    Args:
        which: bool (N,), N ≥ 1.
        given: what the interval takes as fixed, e.g. ``"given the balls"``.

    Source: Wilson 1927, Journal of the American Statistical Association 22.
    """
    n, share, z2 = len(which), float(which.double().mean()), NORMAL_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    margin = NORMAL_95 * (share * (1 - share) / n + z2 / (4 * n * n)) ** 0.5 / (1 + z2 / n)
    # At 0 and at 1 the end is the share itself; rounding would leave it an ulp outside.
    low, high = min(share, max(0.0, centre - margin)), max(share, min(1.0, centre + margin))
    return Estimate(share, low, high, f"Wilson {given}".strip())


def mean_estimate(values: Tensor, given: str = "") -> Estimate:
    """Return the mean with its normal interval.

    Args:
        values: (N,), N ≥ 2.
        given: what the interval takes as fixed.
    """
    values = values.double()
    mean = float(values.mean())
    margin = NORMAL_95 * float(values.var()) ** 0.5 / len(values) ** 0.5
    return Estimate(mean, mean - margin, mean + margin, f"normal {given}".strip())
