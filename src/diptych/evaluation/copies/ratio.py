"""How much nearer a generated item is to the training set than to unseen real items.

r = (distance to the nearest training item) / (distance to the nearest held-out item)

The absolute distance mixes up simple items, which are near to everything, with copies; the ratio
asks only which of two real sets the item knows. What it should be depends on the sizes of the two
sets, so it is calibrated on unseen real items, measured in the place of generated ones.

Sources: Platzer and Reutterer 2021, arXiv:2104.00635 (distances to training against distances to
a holdout, for tables); Carlini et al. 2023, arXiv:2301.13188 (a distance scaled by those to other
real images).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.copies.intervals import median, share
from diptych.evaluation.copies.nearest import nearest
from diptych.evaluation.figure import Estimate

__all__ = [
    "LEVEL",
    "ClosestPairs",
    "calibrated_threshold",
    "closest_pairs",
    "median_ratio",
    "nearest_ratio",
    "ratio_of_distances",
    "suspicious_share",
    "unseen_ratio",
]

LEVEL = 0.01
"""The share of unseen real items that the calibrated threshold calls suspicious."""


@dataclass(frozen=True, eq=False)
class ClosestPairs:
    """The most suspicious generated items, the worst first, each with its training item.

    Attributes:
        fake: int64 (k,), index among the generated items.
        train: int64 (k,), index of the nearest training item.
        distance: float64 (k,), between the two.
        to_held_out: float64 (k,), from the generated item to its nearest held-out item.
        ratio: float64 (k,), the one over the other.
    """

    fake: Tensor
    train: Tensor
    distance: Tensor
    to_held_out: Tensor
    ratio: Tensor


def nearest_ratio(fake: Tensor, held_out: Tensor, train: Tensor) -> Tensor:
    """Return the ratio r of every generated item.

    Args:
        fake: (M, D), generated.
        held_out: (N, D), real and not trained on.
        train: (L, D).

    Returns:
        float64 (M,), ≥ 0: 0 for an exact copy of a training item, infinite for one of a held-out
        item, 1 for an item that is identical to one of each.

    Raises:
        DataError: shapes that do not fit, empty sets, or values that are not finite.
    """
    return ratio_of_distances(nearest(fake, train)[0][:, 0], nearest(fake, held_out)[0][:, 0])


def ratio_of_distances(to_train: Tensor, to_held_out: Tensor) -> Tensor:
    """Return the ratio, 0/0 being 1: no evidence either way.

    Args:
        to_train: (M,), ≥ 0.
        to_held_out: (M,), ≥ 0.
    """
    ratio = to_train.double() / to_held_out.double()
    return torch.where((to_train == 0) & (to_held_out == 0), 1.0, ratio)


def median_ratio(ratios: Tensor) -> Estimate:
    """Return the median ratio with an interval between order statistics.

    Args:
        ratios: (M,), M ≥ 1.

    Raises:
        DataError: half of the items are copies of held-out ones.
    """
    middle = median(ratios)
    if middle.value == torch.inf:
        raise DataError("Half of the generated items are identical to held-out ones.")
    return middle


def unseen_ratio(held_out: Tensor, train: Tensor) -> Tensor:
    """Return the ratio of every held-out item, its distance to the *other* held-out ones below.

    Args:
        held_out: (N, D), N ≥ 2, real and not trained on.
        train: (L, D).

    Raises:
        DataError: fewer than two held-out items, shapes that do not fit, or values that are not
            finite.
    """
    others = nearest(
        held_out, held_out, exclude=torch.arange(len(held_out), device=held_out.device)
    )[0][:, 0]
    return ratio_of_distances(nearest(held_out, train)[0][:, 0], others)


def calibrated_threshold(unseen: Tensor, *, level: float = LEVEL) -> float:
    """Return the ratio that a share of `level` of unseen real items does not exceed.

    Args:
        unseen: (N,), see :func:`unseen_ratio`.
        level: in 0..1.
    """
    place = max(1, int(level * len(unseen) + 1e-9))
    return float(unseen.kthvalue(place).values)


def suspicious_share(ratios: Tensor, threshold: float) -> Estimate:
    """Return the share of items, 0..1, whose ratio does not exceed the threshold.

    Args:
        ratios: (M,), M ≥ 1.
        threshold: a ratio.
    """
    return share(ratios <= threshold)


def closest_pairs(fake: Tensor, held_out: Tensor, train: Tensor, *, k: int = 8) -> ClosestPairs:
    """Return the k generated items with the lowest ratio, and their nearest training items.

    Args:
        fake: (M, D), generated.
        held_out: (N, D), real and not trained on.
        train: (L, D).
        k: at most M are returned.

    Raises:
        DataError: shapes that do not fit, empty sets, or values that are not finite.
    """
    to_train, index = (found[:, 0] for found in nearest(fake, train))
    to_held_out = nearest(fake, held_out)[0][:, 0]
    ratio = ratio_of_distances(to_train, to_held_out)
    worst = ratio.argsort(stable=True)[:k]
    return ClosestPairs(worst, index[worst], to_train[worst], to_held_out[worst], ratio[worst])
