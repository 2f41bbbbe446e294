"""Labels of any usual form as whole numbers from 0, with a name for each."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diptych.errors import DataError

__all__ = ["normalise_labels"]


def normalise_labels(
    labels: ArrayLike, count: int, where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number the different labels from 0 in sorted order and keep their old values as names.

    Args:
        labels: (count,) whole numbers, booleans or texts.
        count: how many rows the data have.
        where: what the error calls the data.

    Returns:
        int64 (count,) in 0..K-1 and the K names.

    Raises:
        DataError: another length, shape or type, or numbers that are not whole.
    """
    values: NDArray[Any] = np.asarray(labels)
    if values.shape != (count,):
        raise DataError(
            f"the labels of {where} have shape {values.shape}, and one per row was expected: "
            f"({count},)."
        )
    if values.dtype.kind == "f" and np.all(np.isfinite(values)) and np.all(values % 1 == 0):
        values = values.astype(np.int64)
    if values.dtype.kind not in "buiU":
        raise DataError(
            f"the labels of {where} are of type {values.dtype}; whole numbers or texts were "
            "expected, one class each."
        )
    names, numbers = np.unique(values, return_inverse=True)
    return numbers.astype(np.int64).reshape(-1), tuple(str(name) for name in names.tolist())
