"""Precision, recall, density and coverage from k-nearest-neighbour balls.

A ball sits on every item and reaches to its k-th nearest neighbour in the same set. Who lies in
whose ball tells fidelity (generated items in real balls) from variety (real items reached).

Sources: Kynkäänniemi et al. 2019, arXiv:1904.06991 (improved precision and recall);
Naeem et al. 2020, arXiv:2002.09797 (density and coverage).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.fidelity.pairs import Points, Tile, prepare, squared_distances, sweep

__all__ = [
    "Balls",
    "Containment",
    "DensityCoverage",
    "Nearest",
    "PrecisionRecall",
    "density_coverage",
    "expected_coverage",
    "precision_recall",
    "squared_radii",
]

SPARE = 3  # candidates kept beyond k, so that rounding seldom leaves the k-th open
WIDE = 32  # candidates kept where it did
BLOCK = 128  # rows searched again at once


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares in 0..1: generated items within the real set's balls, and the reverse."""

    precision: float
    recall: float


@dataclass(frozen=True)
class DensityCoverage:
    """Density ≥ 0, about 1 for equal sets and not bounded by it; coverage is a share in 0..1."""

    density: float
    coverage: float


@dataclass(frozen=True, eq=False)
class Balls:
    """A ball on each item of a set.

    Attributes:
        squared_radii: (N,), float64.
        closed: whether the rim belongs to the ball.
    """

    squared_radii: Tensor
    closed: bool


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 3) -> PrecisionRecall:
    """Return improved precision and recall.

    precision = mean over fake y of [∃ real x: |y − x| ≤ r_k(x)]; recall swaps the two sets.
    Equal distributions do not give 1: read both beside their floor, at equal N.

    Args:
        real: (N, D), any floating dtype; N > k.
        fake: (M, D); M > k.
        k: which neighbour sets the radius, the item itself not counted.

    Returns:
        Two shares.

    Raises:
        DataError: too few items, different D, or values that are not finite.

    Source: Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 2.
    """
    x, y = prepare(real, fake)
    counts = Containment(
        x,
        y,
        {"precision": Balls(_radii(x, k), closed=True)},
        {"recall": Balls(_radii(y, k), closed=True)},
    )
    sweep(x, y, [counts])
    return PrecisionRecall(
        _share(counts.around_y["precision"] > 0), _share(counts.around_x["recall"] > 0)
    )


def density_coverage(real: Tensor, fake: Tensor, *, k: int = 5) -> DensityCoverage:
    """Return density and coverage.

    density = (1/kM) Σ_y #{real x: |y − x| < r_k(x)}; coverage = share of real x whose open ball
    holds a fake item. Balls of radius 0 hold nothing, so sets of identical items score 0.

    Args:
        real: (N, D), any floating dtype; N > k.
        fake: (M, D), M ≥ 1.
        k: which neighbour sets the radius, the item itself not counted.

    Returns:
        Density and coverage.

    Raises:
        DataError: too few items, different D, or values that are not finite.

    Source: Naeem et al. 2020, arXiv:2002.09797, eqs. 3 and 4.
    """
    x, y = prepare(real, fake)
    counts = Containment(x, y, {"k": Balls(_radii(x, k), closed=False)}, {})
    sweep(x, y, [counts])
    density = float(counts.around_y["k"].double().mean()) / k
    return DensityCoverage(density, _share(counts.in_x["k"] > 0))


def expected_coverage(n: int, m: int, k: int = 5) -> float:
    """Return E[coverage] for n real and m fake items drawn from one continuous distribution.

    1 − Π_{i=1..k} (n − i) / (n + m − i), whatever the distribution and the dimension.

    Source: Naeem et al. 2020, arXiv:2002.09797, eq. 9.
    """
    missed = 1.0
    for i in range(1, k + 1):
        missed *= (n - i) / (n + m - i)
    return 1 - missed


def squared_radii(features: Tensor, k: int) -> Tensor:
    """Return the squared distance of every item to its k-th nearest other item.

    Args:
        features: (N, D), N > k.
        k: at least 1; the item itself is not counted, its duplicates are.

    Returns:
        (N,), float64, in squared feature units.

    Raises:
        DataError: N ≤ k.
    """
    return _radii(prepare(features)[0], k)


def _radii(x: Points, k: int) -> Tensor:
    nearest = Nearest(x, k)
    sweep(x, None, [nearest])
    return nearest.squared()[:, k - 1]


def _share(which: Tensor) -> float:
    return float(which.double().mean())


class Nearest:
    """Listens to a sweep within a set for the k nearest others of every item.

    Args:
        x: the set.
        k: 1 ≤ k < N.

    Raises:
        DataError: N ≤ k.
    """

    def __init__(self, x: Points, k: int) -> None:
        if not 1 <= k < len(x):
            raise DataError(
                f"The {k} nearest neighbours cannot be found among {len(x)} items; "
                f"bring at least {k + 1}."
            )
        self._x, self._k = x, k
        kept, device = min(k + SPARE, len(x) - 1), x.items.device
        self._values = torch.full((len(x), kept), torch.inf, dtype=x.centred.dtype, device=device)
        self._indices = torch.zeros(len(x), kept, dtype=torch.int64, device=device)

    def __call__(self, tile: Tile) -> None:
        """Take in a tile of a sweep within the set."""
        squared = tile.squared
        if tile.diagonal:
            squared = squared.clone().fill_diagonal_(torch.inf)
        self._merge(tile.rows, tile.columns.start, squared)
        if tile.mirrored:
            self._merge(tile.columns, tile.rows.start, squared.T)

    def _merge(self, items: slice, first: int, squared: Tensor) -> None:
        kept = self._values.shape[1]
        values, indices = squared.topk(min(kept, squared.shape[1]), largest=False, sorted=False)
        values = torch.cat([self._values[items], values], 1)
        indices = torch.cat([self._indices[items], indices + first], 1)
        self._values[items], places = values.topk(kept, largest=False)
        self._indices[items] = indices.gather(1, places)

    def squared(self) -> Tensor:
        """Squared distances to the 1st … k-th nearest other item, (N, k), float64, exact."""
        x, k = self._x, self._k
        found = torch.zeros(len(x), k, dtype=torch.float64, device=self._values.device)
        # Among more than k duplicates all k distances are 0, and nothing need be looked at.
        copies = x.identity.bincount()[x.identity] - 1
        rows = (copies < k).nonzero().squeeze(1)
        found[rows], settled = _settle(
            x, rows, self._values[rows], self._indices[rows], k, x.rounding
        )
        for part in torch.split(rows[~settled], BLOCK):
            found[part] = _search_again(x, part, k)
        return found


def _settle(
    x: Points, rows: Tensor, values: Tensor, indices: Tensor, k: int, rounding: float
) -> tuple[Tensor, Tensor]:
    """Take candidates' distances again; say where no item left out can belong to the k nearest."""
    candidates = indices.shape[1]
    i = rows[:, None].expand(-1, candidates).reshape(-1)
    exact = squared_distances(x, i, x, indices.reshape(-1)).view(-1, candidates).sort(1).values
    tolerance = rounding * (x.squares[rows] + x.squares.max())
    settled = values.double().amax(1) - tolerance > exact[:, k - 1]
    return exact[:, :k], settled | (candidates == len(x) - 1)


def _search_again(x: Points, rows: Tensor, k: int) -> Tensor:
    """The same for a few rows: by float64 products, then where needed by every difference."""
    centre = x.items[rows].double().mean(0)  # near these rows products lose little
    here, kept = x.items[rows].double() - centre, min(k + WIDE, len(x) - 1)
    values, indices = [], []
    for first in range(0, len(x), 4096):
        there = x.items[first : first + 4096].double() - centre
        squared = here.square().sum(1, keepdim=True) + there.square().sum(1) - 2 * here @ there.T
        places = torch.arange(first, first + len(there), device=rows.device)
        squared[rows[:, None] == places] = torch.inf
        nearest = squared.topk(min(kept, len(there)), largest=False)
        values.append(nearest.values)
        indices.append(nearest.indices + first)
    best = torch.cat(values, 1).topk(kept, largest=False)
    chosen = torch.cat(indices, 1).gather(1, best.indices)
    # The local centre moves the norms that rounding is relative to; six times the old bounds them.
    rounding = 6 * x.rounding * torch.finfo(torch.float64).eps / torch.finfo(x.centred.dtype).eps
    found, settled = _settle(x, rows, best.values, chosen, k, rounding)
    everyone = torch.arange(len(x), device=rows.device)
    for place in (~settled).nonzero().squeeze(1).tolist():
        others = everyone[everyone != rows[place]]
        exact = squared_distances(x, rows[place].expand(len(others)), x, others)
        found[place] = exact.topk(k, largest=False).values.sort().values
    return found


class Containment:
    """Listens to a sweep of x against y for who lies in whose ball.

    Args:
        x: the first set.
        y: the second.
        of_x: balls on the items of x, by name.
        of_y: balls on the items of y, by name.

    Attributes:
        in_x: by the name of the balls on x, how many y each ball holds, (N,), int64.
        around_y: by the name of the balls on x, in how many of them each y lies, (M,).
        in_y: by the name of the balls on y, how many x each ball holds, (M,).
        around_x: by the name of the balls on y, in how many of them each x lies, (N,).
    """

    def __init__(
        self, x: Points, y: Points, of_x: Mapping[str, Balls], of_y: Mapping[str, Balls]
    ) -> None:
        self._of_x, self._of_y = of_x, of_y

        def counts(points: Points, names: Mapping[str, Balls]) -> dict[str, Tensor]:
            like = points.identity
            return {name: torch.zeros_like(like) for name in names}

        self.in_x, self.around_y = counts(x, of_x), counts(y, of_x)
        self.in_y, self.around_x = counts(y, of_y), counts(x, of_y)

    def __call__(self, tile: Tile) -> None:
        """Take in a tile of the sweep of x against y."""
        x, y, rows, columns = tile.x, tile.y, tile.rows, tile.columns
        widest = x.rounding * (x.squares[rows].max() + y.squares[columns].max())
        near = torch.zeros_like(tile.squared, dtype=torch.bool)
        for balls, part, shape in (
            (self._of_x, rows, (-1, 1)),
            (self._of_y, columns, (1, -1)),
        ):
            if balls:
                reach = torch.stack([ball.squared_radii[part] for ball in balls.values()])
                limit = (reach.amax(0) + widest).view(shape)
                # Rounding the limit to single precision must not lower it.
                near |= tile.squared <= (limit * (1 + 1e-6)).to(tile.squared)
        here, there = near.nonzero(as_tuple=True)
        squared = tile.squared[here, there].double()
        i, j = here + rows.start, there + columns.start
        tolerance = x.rounding * (x.squares[i] + y.squares[j])
        unsure = torch.zeros_like(i, dtype=torch.bool)
        for balls, centres in ((self._of_x, i), (self._of_y, j)):
            for ball in balls.values():
                unsure |= (squared - ball.squared_radii[centres]).abs() <= tolerance
        # An item against its own duplicate must come out as exactly 0, and a point on the rim
        # as exactly on it, which the product form of the distance cannot promise.
        squared[unsure] = squared_distances(x, i[unsure], y, j[unsure])
        for name, ball in self._of_x.items():
            _count(ball, squared, i, j, self.in_x[name], self.around_y[name])
        for name, ball in self._of_y.items():
            _count(ball, squared, j, i, self.in_y[name], self.around_x[name])


def _count(
    ball: Balls, squared: Tensor, centres: Tensor, points: Tensor, held: Tensor, around: Tensor
) -> None:
    radius = ball.squared_radii[centres]
    inside = squared <= radius if ball.closed else squared < radius
    held += centres[inside].bincount(minlength=len(held))
    around += points[inside].bincount(minlength=len(around))
