"""What every kind of source offers the packed cache: an identity, and a way to be prepared."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Allocate", "Origin", "Prepared", "Progress", "silent"]

Progress = Callable[[str, int, int], None]
"""Called now and then with what is being done, how much is done, and the total."""

Allocate = Callable[[tuple[int, int, int, int]], NDArray[np.uint8]]
"""Gives an array of the asked shape (N, H, W, C) to fill; on the disk or in memory."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A source after it was read.

    Attributes:
        rows: uint8 (N, H, W, C) or float32 (N, D).
        labels: int64 (N,) in 0..len(class_names)-1, or None.
        class_names: one name per class.
        roles: int8 (N,), the place in `SPLITS` that the source itself gives each row, or None.
        notes: what was done, in words.
        factors: int64 (N, F), the known generating factors of each row, or None.
        factor_names: one name per factor.
    """

    rows: NDArray[Any]
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()
    roles: NDArray[np.int8] | None = None
    notes: tuple[str, ...] = ()
    factors: NDArray[np.int64] | None = None
    factor_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """A source of pictures that was found but not read yet.

    Attributes:
        name: what the person asked for.
        identity: text that differs whenever the prepared pictures could.
        prepare: reads everything once; raises `DataError` in the person's words.
    """

    name: str
    identity: str
    prepare: Callable[[Allocate, Progress], Prepared]


def silent(what: str, done: int, total: int) -> None:
    """The progress of those who did not ask for any."""
