"""The area under the ROC curve, with an interval, and one point on the curve.

AUC = P(x > y) + ½ P(x = y) for a score x of the one kind and y of the other: the Mann-Whitney
statistic as a share. Copies push it to 0 or 1, where the usual variance vanishes, so the interval
is made on the logit scale and, at the very ends, by a method that does not collapse there.

Sources: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44(3) (the variance); Newcombe 2006,
Statistics in Medicine 25(4), method 5 (the ends).
"""

import math

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.copies.intervals import Z95, wilson
from diptych.evaluation.figure import Estimate

__all__ = ["area_under_roc", "true_positive_rate"]

RESAMPLES = 400  # of the bootstrap, fifty at a time


def area_under_roc(positives: Tensor, negatives: Tensor) -> Estimate:
    """Return P(positive > negative), ties counted by half.

    Args:
        positives: (N,), scores of the kind that should score high.
        negatives: (M,).

    Returns:
        0..1, 0.5 where the scores do not tell the kinds apart.

    Raises:
        DataError: an empty set, not vectors, or scores that are not finite.
    """
    positives, negatives = _checked(positives, negatives)
    above = _placements(positives, negatives)  # share of negatives below each positive
    below = 1 - _placements(negatives, positives)
    area = min(1.0, max(0.0, float(above.mean())))
    n, m = len(above), len(below)
    variance = 0.0
    if min(n, m) > 1:
        variance = float(above.var() / n + below.var() / m)
    if variance < 1e-20 or not 0 < area < 1:
        low = 1 - _newcombe_upper(1 - area, n, m)
        return Estimate(area, low, _newcombe_upper(area, n, m), "Newcombe's method 5")
    logit = math.log(area / (1 - area))
    half = Z95 * math.sqrt(variance) / (area * (1 - area))
    return Estimate(area, _expit(logit - half), _expit(logit + half), "DeLong, logit scale")


def true_positive_rate(
    positives: Tensor, negatives: Tensor, *, generator: torch.Generator, false: float = 0.01
) -> Estimate:
    """Return the share of positives above a threshold that at most `false` negatives pass.

    Args:
        positives: (N,), scores of the kind that should score high.
        negatives: (M,).
        generator: of the bootstrap.
        false: the false-positive rate allowed, in 0..1.

    Returns:
        0..1, about `false` where the scores do not tell the kinds apart. The interval resamples
        both kinds (the threshold moves too) and is never narrower than Wilson's. It is not
        trusted where fewer than five negatives set the threshold.

    Raises:
        DataError: an empty set, not vectors, or scores that are not finite.
    """
    positives, negatives = _checked(positives, negatives)
    n, m = len(positives), len(negatives)
    passing = int(false * m + 1e-9)

    def rates(positives: Tensor, negatives: Tensor) -> Tensor:
        threshold = negatives.kthvalue(m - passing, keepdim=True).values
        return (positives > threshold).double().mean(-1)

    def resampled(scores: Tensor, rows: int) -> Tensor:
        draws = torch.randint(len(scores), (rows, len(scores)), generator=generator)
        return scores[draws.to(scores.device)]

    value = float(rates(positives, negatives))
    again = torch.cat(
        [rates(resampled(positives, 50), resampled(negatives, 50)) for _ in range(RESAMPLES // 50)]
    )
    low, high = wilson(round(value * n), n)
    low, high = min(float(again.quantile(0.025)), low), max(float(again.quantile(0.975)), high)
    few = passing < 5
    note = f"Only {passing} of {m} held-out items set the threshold." if few else ""
    return Estimate(
        value, low, high, f"bootstrap, {RESAMPLES} draws of both sets", note, trusted=not few
    )


def _placements(scores: Tensor, others: Tensor) -> Tensor:
    """Return for each score the share of the others below it, ties by half."""
    others = others.sort().values
    left = torch.searchsorted(others, scores, right=False)
    right = torch.searchsorted(others, scores, right=True)
    return (left + right).double() / (2 * len(others))


def _newcombe_upper(area: float, n: int, m: int) -> float:
    """Solve (θ − area)² = z² V(θ) for θ above the area.

    V(θ) = θ(1−θ) [1 + s(1−θ)/(2−θ) + sθ/(1+θ)] / nm with s = (n+m)/2 − 1.
    """
    s = (n + m) / 2 - 1

    def outside(theta: float) -> bool:
        shape = 1 + s * (1 - theta) / (2 - theta) + s * theta / (1 + theta)
        return (theta - area) ** 2 > Z95**2 * theta * (1 - theta) * shape / (n * m)

    low, high = max(area, 1e-12), 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if outside(middle) else (middle, high)
    return high


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def _checked(positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    for scores in (positives, negatives):
        if scores.ndim != 1 or not len(scores):
            raise DataError(f"Scores must be a vector with items, not {tuple(scores.shape)}.")
        if not bool(scores.isfinite().all()):
            raise DataError("A score is NaN or infinite; the model or the distance failed.")
    return positives.double(), negatives.double()
