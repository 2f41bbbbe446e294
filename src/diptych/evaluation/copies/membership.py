"""Can one tell from the samples who was in the training set?

Every real item gets a score that should be high if it was trained on: how near the nearest
generated item is, or the model's log-density where there is one. The area under the ROC curve of
members against strangers is 0.5 if nothing leaks; the true-positive rate at 1 % false positives
tells whether *some* members are given away for certain, which the area averages over.

Sources: Chen et al. 2020, arXiv:1909.03935 (the distance to the nearest sample as an attack);
Carlini et al. 2022, arXiv:2112.03570 (why the rate at few false positives).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diptych.evaluation.copies.nearest import nearest
from diptych.evaluation.copies.roc import area_under_roc, true_positive_rate
from diptych.evaluation.figure import Estimate

__all__ = ["FALSE", "Membership", "membership", "membership_of_scores"]

FALSE = 0.01
"""The false-positive rate at which the true-positive rate is taken."""
FEWEST = 20
"""Members and strangers below which the area is not taken seriously."""


@dataclass(frozen=True)
class Membership:
    """How well members of the training set are told from strangers.

    Attributes:
        auc: area under the ROC curve, 0..1; 0.5 without a leak.
        tpr: true-positive rate at 1 % false positives, 0..1; about 0.01 without a leak.
        n: how many members, and how many strangers.
    """

    auc: Estimate
    tpr: Estimate
    n: int


def membership(
    fake: Tensor, held_out: Tensor, train: Tensor, *, generator: torch.Generator
) -> Membership:
    """Return the test by the distance to the nearest generated item.

    Args:
        fake: (M, D), generated.
        held_out: (N, D), the strangers.
        train: (L, D), the members.
        generator: of the choice of members, so that there are as many as strangers, and of the
            bootstrap; on the CPU.

    Raises:
        DataError: shapes that do not fit, empty sets, or values that are not finite.
    """
    train, held_out = _as_many(train, held_out, generator)
    scores = [-nearest(items, fake)[0][:, 0] for items in (train, held_out)]
    return membership_of_scores(*scores, generator=generator)


def membership_of_scores(
    members: Tensor, strangers: Tensor, *, generator: torch.Generator
) -> Membership:
    """Return the test for given scores, e.g. log p(x) of a model.

    Args:
        members: (L,), scores of training items, high for "was trained on".
        strangers: (N,), of held-out items.
        generator: of the choice among the larger set, and of the bootstrap; on the CPU.

    Raises:
        DataError: an empty set, not vectors, or scores that are not finite.
    """
    members, strangers = _as_many(members, strangers, generator)
    auc = area_under_roc(members, strangers)
    if len(members) < FEWEST:
        auc = replace(auc, note=f"Fewer than {FEWEST} items of each kind.", trusted=False)
    return Membership(
        auc,
        true_positive_rate(members, strangers, generator=generator, false=FALSE),
        len(members),
    )


def _as_many(
    members: Tensor, strangers: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    n = min(len(members), len(strangers))

    def some(items: Tensor) -> Tensor:
        if len(items) == n:
            return items
        return items[torch.randperm(len(items), generator=generator)[:n].to(items.device)]

    return some(members), some(strangers)
