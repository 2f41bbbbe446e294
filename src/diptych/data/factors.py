"""Known generating factors of every row, as disentanglement data sets give them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diptych.errors import DataError

__all__ = ["DSPRITES_NAMES", "normalise_factors"]

DSPRITES_NAMES = ("color", "shape", "scale", "orientation", "posX", "posY")
"""The columns of `latents_classes` in dSprites, whose own list of them is a pickle.

Source: Matthey, Higgins, Hassabis & Lerchner, "dSprites: disentanglement testing sprites", 2017.
"""


def normalise_factors(
    factors: ArrayLike, names: Sequence[str], count: int, where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Check the factors of every row; their values are kept as they are.

    Args:
        factors: (count, F) whole numbers or booleans, F >= 1; a constant column is kept.
        names: one per column; empty for "factor 0", "factor 1" and so on.
        count: how many rows the data have.
        where: what the error calls the data.

    Returns:
        int64 (count, F) and F names.

    Raises:
        DataError: another length, shape or type, numbers that are not whole, or other names.
    """
    values: NDArray[Any] = np.asarray(factors)
    if values.ndim != 2 or len(values) != count or not values.shape[1]:
        raise DataError(
            f"the factors of {where} have shape {values.shape}, and one row of them per row of "
            f"the data was expected: ({count}, F)."
        )
    if values.dtype.kind == "f" and np.all(np.isfinite(values)) and np.all(values % 1 == 0):
        values = values.astype(np.int64)
    if values.dtype.kind not in "bui":
        raise DataError(
            f"the factors of {where} are of type {values.dtype}; whole numbers were expected, "
            "the place of each factor's value among all it can take."
        )
    width = values.shape[1]
    names = tuple(names) or tuple(f"factor {column}" for column in range(width))
    if len(names) != width or len(set(names)) != width:
        raise DataError(
            f"{where} has {width} factors and names them {', '.join(names)}; one name for each, "
            "all different, was expected."
        )
    return values.astype(np.int64), names
