"""Coverage class by class: which kind of real item the generated set does not reach.

A mean over all classes hides a class that was dropped, and the smaller it is the better.

Source: coverage of Naeem et al. 2020, arXiv:2002.09797, restricted to the items of a class.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.fidelity.intervals import share_estimate
from diptych.evaluation.figure import Estimate

__all__ = ["FEWEST_ITEMS", "ClassCoverage", "class_coverage"]

FEWEST_ITEMS = 30
"""Real items of a class below which its share says little."""


@dataclass(frozen=True)
class ClassCoverage:
    """Coverage of each class that occurs.

    Attributes:
        by_class: by label, with Wilson's interval.
        worst: the least covered class, as a figure: the note names it.
    """

    by_class: dict[int, Estimate]
    worst: Estimate


def class_coverage(covered: Tensor, labels: Tensor) -> ClassCoverage:
    """Return the coverage of the real items of every class.

    Args:
        covered: bool (N,), whether a real item's ball holds a generated one; see
            :func:`~diptych.evaluation.fidelity.neighbours.density_coverage`.
        labels: int64 (N,), the classes of the real items.

    Returns:
        All classes, and the worst. The worst of many is below the mean by chance alone, so read
        it beside its floor.

    Raises:
        DataError: as many labels as items are needed, and at least one.
    """
    if labels.shape != covered.shape or not len(labels):
        raise DataError(
            f"Coverage by class needs one label for each of {len(covered)} real items, "
            f"not {tuple(labels.shape)}."
        )
    by_class = {
        int(label): share_estimate(covered[labels == label], "given the generated set")
        for label in torch.unique(labels)
    }
    worst = min(by_class, key=lambda label: by_class[label].value)
    count = int((labels == worst).sum())
    few = count < FEWEST_ITEMS
    note = f"Class {worst} of {len(by_class)}, {count} real items" + (
        f": fewer than {FEWEST_ITEMS}, too few to tell." if few else "."
    )
    # The interval of one class is not that of the least of many.
    return ClassCoverage(by_class, Estimate(by_class[worst].value, note=note, trusted=not few))
