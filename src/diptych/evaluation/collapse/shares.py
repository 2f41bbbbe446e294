"""Shares of categories: how far two sets of counts are apart, what chance alone makes of that.

Modes, classes and bins are all counted in the end, and the same few laws of counts give their
divergences, floors and intervals.
"""

import math

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.figure import Estimate

__all__ = [
    "jensen_shannon",
    "jensen_shannon_estimate",
    "jensen_shannon_floor",
    "kl_estimate",
    "kl_floor",
    "reverse_kl",
    "share",
]

Z = 1.959963984540054  # Φ(Z) = 0.975


def reverse_kl(counts: Tensor, reference: Tensor | None = None) -> Tensor:
    """Return KL(q ‖ p) = Σ_k q_k ln(q_k / p_k) in nats, with 0 ln 0 = 0.

    Args:
        counts: (..., K), not negative, of the samples; q is their share.
        reference: (..., K), not negative; p is their share. None: all are equally likely.

    Returns:
        (...), float64, ≥ 0; infinite where a sample lies in a category that has p = 0.

    Raises:
        DataError: nothing was counted, or the shapes do not fit.
    """
    q = _shares(counts)
    if reference is None:
        p = torch.full_like(q[..., :1], 1 / q.shape[-1])
    elif reference.shape[-1:] != counts.shape[-1:]:
        raise DataError(
            f"{counts.shape[-1]} categories cannot be compared with {reference.shape[-1]}."
        )
    else:
        p = _shares(reference)
    terms = torch.where(q > 0, torch.xlogy(q, q / p), 0.0)  # 0 / 0 where both are empty
    return terms.sum(-1).clamp(min=0)


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Return JSD = ½ KL(p ‖ m) + ½ KL(q ‖ m), m = ½ (p + q), in nats: 0 to ln 2.

    Args:
        first: (..., K), not negative; p is their share.
        second: (..., K), likewise q.

    Returns:
        (...), float64. The root of it is a metric, it itself is not.

    Raises:
        DataError: nothing was counted, or K differs.

    Source: Lin 1991, "Divergence measures based on the Shannon entropy".
    """
    if first.shape[-1:] != second.shape[-1:]:
        raise DataError(
            f"{first.shape[-1]} categories cannot be compared with {second.shape[-1]}."
        )
    p, q = _shares(first), _shares(second)
    middle = (p + q) / 2
    halves = torch.xlogy(p, p) + torch.xlogy(q, q) - 2 * torch.xlogy(middle, middle)
    return (halves.sum(-1) / 2).clamp(min=0)


def kl_floor(categories: int, samples: int, reference: int | None = None) -> float:
    """Return E[KL] of a perfect sampler, (K − 1) / 2n in nats to first order in 1/n.

    A figure of this size is counting noise, not a missing mode.

    Args:
        categories: K.
        samples: n, how many were counted.
        reference: how many real items p was itself counted from; they add (K − 1) / 2m. None
            where p is known.
    """
    noise = 1 / samples + (0 if reference is None else 1 / reference)
    return (categories - 1) / 2 * noise


def jensen_shannon_floor(categories: int, first: int, second: int) -> float:
    """Return E[JSD] of two sets from one distribution, (K − 1)/8 · (1/n + 1/m) in nats.

    To first order; it is too high where many categories hold less than about five items.
    """
    return (categories - 1) / 8 * (1 / first + 1 / second)


def share(successes: int, total: int) -> Estimate:
    """Return a share with Wilson's interval, which never leaves 0..1.

    Args:
        successes: 0 ≤ successes ≤ total.
        total: at least 1.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    value = successes / total
    scale = 1 + Z**2 / total
    middle = (value + Z**2 / (2 * total)) / scale
    half = Z / scale * math.sqrt(value * (1 - value) / total + Z**2 / (4 * total**2))
    # Rounding must not push an end past a share of exactly 0 or 1.
    low, high = min(value, middle - half), max(value, middle + half)
    return Estimate(value, max(0.0, low), min(1.0, high), "Wilson")


def kl_estimate(counts: Tensor, reference: Tensor | None = None, *, note: str = "") -> Estimate:
    """Return :func:`reverse_kl` with an interval.

    Its variance is that of the first-order terms, ln(q/p) over the samples and q/p over the
    reference, less what counting noise alone adds to these, and the (K − 1)/2 · (1/n + 1/m)² that
    remains when q = p and the first order vanishes. The interval is thus about what the plug-in
    gives on average at this N, bias included, as the floor is.

    Args:
        counts: (K,), of the samples.
        reference: (K,), of the real items; positive wherever `counts` is. None: equal shares.
        note: passed on.
    """
    value = float(reverse_kl(counts, reference))
    q = _shares(counts)
    p = torch.full_like(q, 1 / len(q)) if reference is None else _shares(reference)
    there = p > 0
    q, p = q[there], p[there]
    first = _variance(q, torch.where(q > 0, (q / p).log(), 0.0)) / float(counts.sum())
    noise = 1 / float(counts.sum())
    if reference is not None:
        first += _variance(p, q / p) / float(reference.sum())
        noise += 1 / float(reference.sum())
    null = (len(q) - 1) * noise**2
    return _normal(value, max(0.0, first - null) + null / 2, note)


def jensen_shannon_estimate(first: Tensor, second: Tensor, *, note: str = "") -> Estimate:
    """Return :func:`jensen_shannon` with an interval, made as that of :func:`kl_estimate`.

    Args:
        first: (K,), counts.
        second: (K,), counts.
        note: passed on.
    """
    value = float(jensen_shannon(first, second))
    p, q = _shares(first), _shares(second)
    there = p + q > 0
    p, q = p[there], q[there]
    variance, noise = 0.0, 0.0
    for own, counts in ((p, first), (q, second)):
        ratio = (2 * own / (p + q)).log() / 2
        variance += _variance(own, torch.where(own > 0, ratio, 0.0)) / float(counts.sum())
        noise += 1 / float(counts.sum())
    null = (len(p) - 1) * noise**2 / 16
    return _normal(value, max(0.0, variance - null) + null / 2, note)


def _variance(shares: Tensor, values: Tensor) -> float:
    mean = (shares * values).sum()
    return float((shares * (values - mean).square()).sum())


def _normal(value: float, variance: float, note: str) -> Estimate:
    half = Z * math.sqrt(variance)
    return Estimate(value, max(0.0, value - half), value + half, "delta method", note)


def _shares(counts: Tensor) -> Tensor:
    counts = counts.double()
    total = counts.sum(-1, keepdim=True)
    if not bool((total > 0).all()) or bool((counts < 0).any()):
        raise DataError("Shares need counts that are not negative and not all zero.")
    return counts / total
