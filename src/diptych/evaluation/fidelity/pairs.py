"""All pairs of two sets, one tile of products at a time, for every instrument that wants them.

The products x·y cost N²D and everything made of them N², so kernels and neighbours listen to one
sweep. Large sets are multiplied in single precision. Whatever that rounding could decide is
decided again by :func:`squared_distances`, in float64 and without the product form, so counts of
neighbours come out as if every distance had been taken exactly.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.products import rows_by_rows

__all__ = ["Points", "Tile", "prepare", "product_type", "squared_distances", "sweep"]

TILE = 1024  # rows and columns of products held at once
EXACT_WORK = 1e10  # N·M·D up to which products in float64 cost less than a second or two
GATHERED = 2**17  # numbers gathered at once where distances are taken again: they stay in cache


@dataclass(frozen=True, eq=False)
class Points:
    """A set made ready for sweeps; see :func:`prepare`.

    Attributes:
        items: (N, D) as given.
        centre: (D,), float64: what was taken from all sets.
        centred: (N, D), minus the centre, in the type of the products.
        squares: (N,), |centred|², float64.
        shift: (N,), float64, such that x·y = x̃·ỹ + shift(x) + shift(y) for centred x̃, ỹ.
        identity: (N,), int64; equal rows share a number, in all sets prepared together.
        numbers: those numbers by the content of a row.
    """

    items: Tensor
    centre: Tensor
    centred: Tensor
    squares: Tensor
    shift: Tensor
    identity: Tensor
    numbers: dict[bytes, int]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def rounding(self) -> float:
        """Bound on the error of |x|² + |y|² − 2x·y, relative to |x|² + |y|².

        An inner product of D terms errs by about √D units of |x||y|; taken are six deviations
        (Higham and Mary 2019, SIAM J. Sci. Comput. 41) and the few roundings around it.
        """
        width, unit = self.items.shape[1], torch.finfo(self.centred.dtype).eps
        return (6 * math.sqrt(width) + 8) * unit

    def beside(self, items: Tensor) -> "Points":
        """Another set, centred and numbered alike.

        Raises:
            DataError: not a matrix of this width, empty, or values that are not finite.
        """
        _check(self.items, items)
        return _points(items, self.centre, self.centred.dtype, self.numbers)


@dataclass(frozen=True, eq=False)
class Tile:
    """The products of some rows of x with some rows of y.

    Attributes:
        x: the first set.
        y: the second; x itself in a sweep within one set.
        rows: which of x.
        columns: which of y.
        within: whether the sweep stays within one set.
        products: centred products (rows, columns).
    """

    x: Points
    y: Points
    rows: slice
    columns: slice
    within: bool
    products: Tensor

    @property
    def diagonal(self) -> bool:
        """Whether items meet themselves here."""
        return self.within and self.rows == self.columns

    @property
    def mirrored(self) -> bool:
        """Whether the tile stands for its transpose too, which the sweep leaves out."""
        return self.within and self.rows != self.columns

    @cached_property
    def inner(self) -> Tensor:
        """x·y of the items as given, (rows, columns)."""
        left, right = self.x.shift[self.rows, None], self.y.shift[self.columns]
        return self.products + left.to(self.products) + right.to(self.products)

    @cached_property
    def squared(self) -> Tensor:
        """|x − y|² up to `rounding`, (rows, columns); may be a little below 0."""
        left, right = self.x.squares[self.rows, None], self.y.squares[self.columns]
        sums = left.to(self.products) + right.to(self.products)
        return sums.sub_(self.products, alpha=2)


def product_type(n: int, m: int, d: int) -> torch.dtype:
    """The type in which the products of N with M items of D features are taken."""
    return torch.float64 if n * m * d <= EXACT_WORK else torch.float32


def prepare(real: Tensor, *others: Tensor, dtype: torch.dtype | None = None) -> list[Points]:
    """Centre sets at the mean of the first, where norms and rounding are small.

    Args:
        real: (N, D), any floating dtype.
        others: (M, D) each.
        dtype: of the products; None takes :func:`product_type` of the largest sets.

    Returns:
        The sets in the same order.

    Raises:
        DataError: no matrices of one width, an empty set, or values that are not finite.
    """
    _check(real, *others)
    largest = max(len(items) for items in (real, *others))
    dtype = dtype or product_type(largest, largest, real.shape[1])
    first = _points(real, real.mean(0, dtype=torch.float64), dtype, {})
    return [first, *(first.beside(items) for items in others)]


def _check(*sets: Tensor) -> None:
    shapes = [tuple(items.shape) for items in sets]
    if any(len(shape) != 2 or shape[1] != shapes[0][-1] for shape in shapes):
        raise DataError(
            "Neighbours and kernels need two matrices of features of one width, not "
            + " and ".join(str(shape) for shape in shapes)
            + "."
        )
    if not all(shape[0] for shape in shapes):
        raise DataError("Neighbours and kernels need at least one real and one generated item.")
    if not all(bool(items.isfinite().all()) for items in sets):
        raise DataError("The features hold NaN or infinite values; look at the samples first.")


def _points(
    items: Tensor, centre: Tensor, dtype: torch.dtype, numbers: dict[bytes, int]
) -> Points:
    centred = torch.empty_like(items, dtype=dtype)
    squares, shift, identity = [], [], []
    for rows in _slices(len(items), max(1, GATHERED // items.shape[1])):
        # -0 and 0 are one number and must hash as one.
        block = items[rows].to(torch.float64, copy=True).add_(0.0)
        for row in block.cpu().numpy():
            key = hashlib.blake2b(row, digest_size=16).digest()
            identity.append(numbers.setdefault(key, len(numbers)))
        block -= centre
        centred[rows] = block
        squares.append(block.square().sum(1))
        shift.append(block @ centre + centre.square().sum() / 2)
    return Points(
        items=items,
        centre=centre,
        centred=centred,
        squares=torch.cat(squares),
        shift=torch.cat(shift),
        identity=torch.tensor(identity, device=items.device),
        numbers=numbers,
    )


def sweep(x: Points, y: Points | None, listeners: Sequence[Callable[[Tile], None]]) -> None:
    """Show every tile of x × y to all listeners.

    Args:
        x: the first set.
        y: the second, or None for the pairs within x; these are shown once, so a listener has to
            read a tile that is `mirrored` in both directions.
        listeners: they keep what they need and leave the tile as it is.
    """
    other = x if y is None else y
    for rows in _slices(len(x), TILE):
        for columns in _slices(len(other), TILE):
            if y is None and columns.start < rows.start:
                continue
            products = rows_by_rows(x.centred[rows], other.centred[columns])
            tile = Tile(x, other, rows, columns, y is None, products)
            for listen in listeners:
                listen(tile)


def squared_distances(x: Points, i: Tensor, y: Points, j: Tensor) -> Tensor:
    """Return |x_i − y_j|² for pairs of indices, float64, from differences: 0 for equal rows.

    Args:
        x: the first set.
        i: (P,), indices into x.
        y: the second set.
        j: (P,), indices into y.
    """
    exact = torch.zeros(len(i), dtype=torch.float64, device=i.device)
    apart = (x.identity[i] != y.identity[j]).nonzero().squeeze(1)
    for part in torch.split(apart, max(1, GATHERED // x.items.shape[1])):
        difference = x.items[i[part]].double().sub_(y.items[j[part]])
        exact[part] = difference.square_().sum(1)
    return exact


def _slices(n: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
