"""exp E KL(p(c|x) ‖ p(c)) for the classes of any classifier.

Of the form of the Inception Score, and not the Inception Score: that one needs the 1008 logits of
one network. It looks at no real item, so a memorised or a one-item-per-class set scores high.

Source: the formula is Salimans et al. 2016, arXiv:1606.03498; what is wrong with it, Barratt and
Sharma 2018, arXiv:1801.01973.
"""

import math

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.fidelity.intervals import NORMAL_95
from diptych.evaluation.figure import Estimate

__all__ = ["inception_score_like"]

CAVEAT = "Not the Inception Score: other classes, one split; no real item is looked at."
FEWEST_ITEMS = 5000
"""Items below which the score is plainly biased (downward with many classes)."""


def inception_score_like(logits: Tensor) -> Estimate:
    """Return exp of the mean KL divergence between an item's classes and those of the set.

    One split, since splits of fewer items bias the score down. The interval is the delta method
    on the logarithm, whose influence function is the item's own divergence.

    Args:
        logits: (N, C), N ≥ 2, any floating dtype.

    Returns:
        The score, in 1 … C.

    Raises:
        DataError: no matrix, too few rows, or values that are not finite.
    """
    if logits.ndim != 2 or len(logits) < 2 or not logits.shape[1]:
        raise DataError(f"Logits must be (N, C) with N of at least 2, not {tuple(logits.shape)}.")
    if not bool(logits.isfinite().all()):
        raise DataError("The logits hold NaN or infinite values; look at the samples first.")
    conditional = logits.double().log_softmax(1)
    marginal = torch.logsumexp(conditional, 0) - math.log(len(logits))
    divergences = (conditional.exp() * (conditional - marginal)).sum(1)
    mean = max(0.0, float(divergences.mean()))
    margin = NORMAL_95 * float(divergences.var()) ** 0.5 / len(logits) ** 0.5
    few = f" N={len(logits)} < {FEWEST_ITEMS}: biased." if len(logits) < FEWEST_ITEMS else ""
    return Estimate(
        math.exp(mean),
        math.exp(max(0.0, mean - margin)),
        math.exp(mean + margin),
        "delta method on the log",
        CAVEAT + few,
        trusted=not few,
    )
