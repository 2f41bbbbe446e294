"""Arrays out of a pickle of nested dictionaries, without running anything that is in it.

Some packages keep their weights this way. Of the three names that such a pickle needs, each is
answered by something inert of ours; any other name ends the reading.
"""

import pickle
from collections.abc import Iterator
from typing import Any, BinaryIO

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = ["read_numpy_pickle"]


def read_numpy_pickle(file: BinaryIO) -> dict[str, Tensor]:
    """Return the float32 arrays of nested dictionaries by their dotted names.

    Args:
        file: the pickle, open for reading.

    Raises:
        DataError: it is damaged, or asks for more than arrays of float32.
    """
    try:
        top = _Unpickler(file).load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle breaks in more ways than can be listed
        raise DataError(f"it is a damaged pickle ({type(error).__name__})") from error
    return dict(_arrays(top))


class _Dtype:
    """What a pickle says of a type."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class _Array:
    """An array that fills itself from what a pickle says of it."""

    tensor: Tensor

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, columns_first, content = state
        if not isinstance(dtype, _Dtype) or (dtype.code, dtype.order) != ("f4", "<"):
            raise DataError("its pickle holds an array that is not of little-endian float32")
        if columns_first:
            raise DataError("its pickle holds an array in the order of columns")
        self.tensor = torch.frombuffer(bytearray(content), dtype=torch.float32).reshape(shape)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Answer what a pickle asks for by name: from a short list, or not at all."""
        # Classes of their own for each answer: a pickle could set attributes on them.
        if name == "_reconstruct" and module in (
            "numpy.core.multiarray",
            "numpy._core.multiarray",
        ):
            return type("Array", (_Array,), {})
        if (module, name) == ("numpy", "dtype"):
            return type("Dtype", (_Dtype,), {})
        if (module, name) == ("numpy", "ndarray"):
            return type("Unused", (), {})
        raise DataError(f"its pickle asks for {module}.{name}, which weights do not need")


def _arrays(top: Any) -> Iterator[tuple[str, Tensor]]:
    waiting: list[tuple[str, Any]] = [("", top)]
    seen: set[int] = set()
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, _Array):
            yield path, value.tensor
        elif isinstance(value, dict) and id(value) not in seen:
            seen.add(id(value))
            waiting += [(f"{path}.{name}" if path else str(name), v) for name, v in value.items()]
