"""The data-copying test: are generated items nearer to the training set than unseen ones are?

The distances of generated items to their nearest training item are compared with those of
held-out items by the Mann-Whitney statistic U, as a z-score:

Z_U = (U − nm/2) / √(nm(n+m+1)/12),  U = #{generated farther than held-out}, ties by half

About N(0, 1) for a model that draws from the data's distribution; far below 0 for one that
copies; far above 0 for one whose items lie away from the data. C_T is the same within cells of
the space, so that copying here cannot hide behind bad items there.

Source: Meehan, Chaudhuri and Dasgupta 2020, arXiv:2004.05675.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diptych.evaluation.clustering import assign
from diptych.evaluation.copies.nearest import checked, nearest
from diptych.evaluation.copies.roc import area_under_roc
from diptych.evaluation.figure import Estimate

__all__ = ["CellCopying", "copying_by_cells", "copying_z", "z_of_distances"]

FEWEST = 20
"""Generated and held-out items below which a z-score, or a cell's, is not taken seriously."""


@dataclass(frozen=True)
class CellCopying:
    """C_T and what it was made of.

    Attributes:
        estimate: C_T, the mean of the cells' z-scores weighted by held-out items; its spread is
            below 1 without copying, see `null_spread`.
        cells: how many there are.
        used: how many had enough items.
        left_out: the share of held-out items, 0..1, in cells that were left out.
        null_spread: the standard deviation of C_T for a model without fault: √Σw² / Σw.
    """

    estimate: Estimate
    cells: int
    used: int
    left_out: float
    null_spread: float


def copying_z(fake: Tensor, held_out: Tensor, train: Tensor) -> Estimate:
    """Return Z_U over the whole space.

    Args:
        fake: (M, D), generated.
        held_out: (N, D), real and not trained on; from the distribution of `train`.
        train: (L, D).

    Returns:
        A z-score. It grows with √N for one and the same fault: compare at equal N only. The
        interval holds the training set fixed.

    Raises:
        DataError: shapes that do not fit, empty sets, or values that are not finite.
    """
    to_train = [nearest(items, train)[0][:, 0] for items in (fake, held_out)]
    return z_of_distances(*to_train)


def z_of_distances(fake: Tensor, held_out: Tensor) -> Estimate:
    """Return Z_U from the distances to the nearest training item.

    The variance is that without ties, as in the paper: where many distances are equal (exact
    copies) the score errs towards 0.

    Args:
        fake: (M,), ≥ 0.
        held_out: (N,), ≥ 0.
    """
    area = area_under_roc(fake, held_out)
    m, n = len(fake), len(held_out)
    per_area = math.sqrt(12 * n * m / (n + m + 1))

    def z(part: float | None) -> float:
        return ((area.value if part is None else part) - 0.5) * per_area

    few = min(n, m) < FEWEST
    return Estimate(
        z(area.value),
        z(area.low),
        z(area.high),
        area.interval,
        f"Fewer than {FEWEST} items: the z-score is rough." if few else "",
        trusted=not few,
    )


def copying_by_cells(
    fake: Tensor, held_out: Tensor, train: Tensor, centers: Tensor, *, fewest: int = FEWEST
) -> CellCopying:
    """Return C_T over the cells of the points nearest to each center.

    C_T = Σ w Z / Σ w over cells with at least `fewest` generated and as many held-out items and
    at least one training item; w is the cell's share of the held-out items and distances are
    to the training items of the same cell. Cells with fewer are left out and counted.

    Args:
        fake: (M, D).
        held_out: (N, D).
        train: (L, D).
        centers: (K, D), e.g. ``k_means(train, 10, generator=generator).centers``.
        fewest: generated and held-out items that a cell must have, at least 1.

    Returns:
        C_T and its parts. Its interval joins those of the cells (MOVER). If no cell has enough
        items, C_T is 0 and not trusted.

    Raises:
        DataError: shapes that do not fit, empty sets, or values that are not finite.

    Source: Meehan et al. 2020, arXiv:2004.05675; Zou and Donner 2008, Statistics in Medicine
    27(10) (MOVER).
    """
    fake, held_out, train, centers = checked(fake, held_out, train, centers)
    asked = len(centers)
    fake_cell, held_out_cell, train_cell = (
        assign(items, centers) for items in (fake, held_out, train)
    )
    scores: list[Estimate] = []
    weights: list[int] = []
    for cell in range(asked):
        own = train[train_cell == cell]
        generated = fake[fake_cell == cell]
        unseen = held_out[held_out_cell == cell]
        if len(own) and min(len(generated), len(unseen)) >= fewest:
            scores.append(copying_z(generated, unseen, own))
            weights.append(len(unseen))
    if not scores:
        note = f"None of {asked} cells holds {fewest} generated and {fewest} held-out items."
        return CellCopying(Estimate(0.0, note=note, trusted=False), asked, 0, 1.0, 0.0)
    weight = torch.tensor(weights, dtype=torch.float64)
    left_out = 1 - float(weight.sum()) / len(held_out)
    weight = weight / weight.sum()
    value, low, high = (
        torch.tensor([getattr(score, part) for score in scores], dtype=torch.float64)
        for part in ("value", "low", "high")
    )
    middle = float(weight @ value)
    estimate = Estimate(
        middle,
        middle - float((weight * (value - low)).norm()),
        middle + float((weight * (high - value)).norm()),
        "MOVER over cells, DeLong within",
        f"{len(scores)} of {asked} cells used.",
    )
    if left_out > 0.5:
        note = f"{estimate.note} {left_out:.0%} of the held-out items lie in the others."
        estimate = replace(estimate, note=note, trusted=False)
    return CellCopying(estimate, asked, len(scores), left_out, float(weight.norm()))
