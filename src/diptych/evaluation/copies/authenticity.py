"""AuthPct: the percentage of generated items that are not suspiciously near a training item.

A generated item is authentic if its nearest training item has another training item nearer to it
than the generated one.

Source: Alaa et al. 2022, arXiv:2102.08921.
"""

import torch
from torch import Tensor

from diptych.evaluation.copies.intervals import share
from diptych.evaluation.copies.nearest import nearest
from diptych.evaluation.figure import Estimate

__all__ = ["authenticity", "authenticity_of_nearest"]


def authenticity(fake: Tensor, train: Tensor) -> Estimate:
    """Return the percentage of authentic items, 0..100.

    Fresh items of the data's own distribution do not reach 100 (golden case: 82.0), and bad items
    far from the data score more than they: read it beside its floor.

    Args:
        fake: (N, D), generated.
        train: (M, D), M ≥ 2.

    Raises:
        DataError: fewer than two training items, shapes that do not fit, or values that are not
            finite.
    """
    distances, indices = nearest(fake, train)
    return authenticity_of_nearest(distances[:, 0], indices[:, 0], train)


def authenticity_of_nearest(distance: Tensor, index: Tensor, train: Tensor) -> Estimate:
    """Return the percentage for neighbours already found.

    Args:
        distance: (N,), to the nearest training item.
        index: (N,), which that is.
        train: (M, D), M ≥ 2.
    """
    once, which = torch.unique(index, return_inverse=True)  # many are nearest to the same few
    radius = nearest(train[once], train, exclude=once)[0][which, 0]
    return share(distance > radius, scale=100.0)
