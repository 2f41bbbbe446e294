"""The data as every other room sees it: rows, labels, splits and a fingerprint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST_HELD_OUT", "SPLITS", "Data", "Mixture", "SplitName", "describe"]

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
FEWEST_HELD_OUT = 6
"""Test and validation items without which there are not enough neighbours to measure with."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """The known truth of a point set: equally likely Gaussians, all of the same width.

    Attributes:
        centers: float64 (K, D), one mean per component.
        sigma: standard deviation of every component along every axis, in the points' units.
    """

    centers: NDArray[np.float64]
    sigma: float


@dataclass(frozen=True, eq=False)
class Data:
    """Pictures or points, looked at, prepared and split.

    Attributes:
        name: what the person asked for.
        kind: `images` or `points`.
        array: images: uint8 (N, H, W, C) in 0..255, memory-mapped and read-only where a cache
            could be written; points: float32 (N, D).
        labels: int64 (N,) in 0..num_classes-1, or None.
        class_names: one name per class, empty without labels.
        splits: the rows of each split: int64, sorted, disjoint, together every row.
        fingerprint: hexadecimal sha256 of content, preparation and splits. It does not depend on
            where the data lie.
        truth: the distribution the points were drawn from, when it is known.
        notes: what was done on the way, in words.
        request: the arguments of `load_data` that give the same data again, as JSON allows them;
            `source` is an absolute path or a name, and missing for arrays in memory.
        factors: int64 (N, F), the values of the known factors that each row was made of (a shape,
            a place, ...), or None; a factor may be constant.
        factor_names: one name per factor, empty without factors.
    """

    name: str
    kind: Literal["images", "points"]
    array: NDArray[Any]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    splits: Mapping[SplitName, NDArray[np.int64]]
    fingerprint: str
    truth: Mixture | None = None
    notes: tuple[str, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict)
    factors: NDArray[np.int64] | None = None
    factor_names: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row as networks see it: (C, H, W) of images, (D,) of points."""
        if self.kind == "points":
            return (int(self.array.shape[1]),)
        height, width, channels = self.array.shape[1:]
        return (int(channels), int(height), int(width))

    @property
    def num_classes(self) -> int:
        """How many classes there are; 0 without labels."""
        return len(self.class_names)

    @cached_property
    def is_binary(self) -> bool:
        """Whether every pixel of every image is 0 or 255; False for points."""
        if self.kind == "points":
            return False
        chunks = (self.array[start : start + 1024] for start in range(0, len(self.array), 1024))
        return all(bool(np.all((chunk == 0) | (chunk == 255))) for chunk in chunks)

    def rows(self, split: SplitName, limit: int | None = None) -> NDArray[np.int64]:
        """The row numbers that `take` gives: all of a split, or `limit` spread evenly over it.

        They are spread because folders come sorted by class: the first thousand rows of a split
        may well be one class.

        Raises:
            ValueError: `limit` is below 1.
        """
        rows = self.splits[split]
        if limit is None or limit >= len(rows):
            return rows
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}.")
        return rows[np.arange(limit) * len(rows) // limit]

    def take(self, split: SplitName, limit: int | None = None) -> NDArray[Any]:
        """Rows of a split in index order, copied into memory: (n, H, W, C) or (n, D)."""
        return np.asarray(self.array[self.rows(split, limit)])

    def labels_of(self, split: SplitName, limit: int | None = None) -> NDArray[np.int64] | None:
        """The labels of the rows that `take` gives, int64 (n,), or None without labels."""
        return None if self.labels is None else self.labels[self.rows(split, limit)]

    def factors_of(self, split: SplitName, limit: int | None = None) -> NDArray[np.int64] | None:
        """The factors of the rows that `take` gives, int64 (n, F), or None without factors."""
        return None if self.factors is None else self.factors[self.rows(split, limit)]


def describe(data: Data) -> dict[str, Any]:
    """A summary that `json.dumps` accepts.

    Keys: name, kind, shape (C, H, W or D), count, classes (name to count, or None), splits (name
    to count), bits (per value: 1 when every pixel is black or white), fingerprint, notes, truth
    (number of components and sigma, or None), and for data with known factors `factors` (name to
    the number of different values).
    """
    classes = None
    if data.labels is not None:
        counts = np.bincount(data.labels, minlength=data.num_classes)
        classes = {name: int(n) for name, n in zip(data.class_names, counts, strict=True)}
    bits = 32 if data.kind == "points" else 1 if data.is_binary else 8
    truth = None
    if data.truth is not None:
        truth = {"components": len(data.truth.centers), "sigma": data.truth.sigma}
    factors = {}
    if data.factors is not None:
        columns = zip(data.factor_names, data.factors.T, strict=True)
        factors = {"factors": {name: len(np.unique(column)) for name, column in columns}}
    return {
        "name": data.name,
        "kind": data.kind,
        "shape": list(data.shape),
        "count": len(data.array),
        "classes": classes,
        "splits": {split: len(data.splits[split]) for split in SPLITS},
        "bits": bits,
        "fingerprint": data.fingerprint,
        "notes": list(data.notes),
        "truth": truth,
        **factors,
    }
