"""Tensors out of a TorchScript archive, without running anything that is in it.

Such a file is a zip of code, storages and a pickle. ``torch.jit.load`` compiles the code, and a
pickle may call what it likes. Here the code is never opened, storages are read as bytes, and the
pickle meets an unpickler that knows one way to build a tensor and gives an inert stand-in for
every class of the module; anything else in it ends the reading.
"""

import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = ["read_torchscript"]

MOST_BYTES = 4 << 30
"""In all storages together: no network that is wanted here has as many."""

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def read_torchscript(file: BinaryIO) -> dict[str, Tensor]:
    """Return the tensors of a scripted or traced module by their dotted names.

    Args:
        file: the archive, open for reading.

    Raises:
        DataError: it is no such archive, is damaged, or holds a pickle that asks for more than
            tensors.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            pickled = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            root = pickled.removesuffix("data.pkl")
            if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
                raise DataError("it holds more than 4 GiB")
            with archive.open(pickled) as record:
                top = _Unpickler(record, archive, root).load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle or zip breaks in more ways than can be listed
        raise DataError(f"it is damaged ({type(error).__name__}: {error})") from error
    return dict(_tensors(top))


class _Standin:
    """An object of a class that we do not want: its attributes, and nothing it could do."""

    attributes: Any = None

    def __setstate__(self, state: Any) -> None:
        self.attributes = state


class _Function:
    """A function that a pickle may call and not change: a bare one has attributes to set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise DataError("its pickle tries to change how tensors are built")


class _Unpickler(pickle.Unpickler):
    """Builds tensors, plain containers and stand-ins."""

    def __init__(self, record: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(record)
        self.archive, self.root = archive, root
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Answer what a pickle asks for by name: from a short list, or not at all."""
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if module.startswith("__torch__"):
            return type("Standin", (_Standin,), {})
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Function(_rebuild)
        # The one wraps a tensor; what is in the module only marks the type of a list.
        if name == "_rebuild_parameter" or module == "torch.jit._pickle":
            return _Function(_first)
        raise DataError(f"its pickle asks for {module}.{name}, which weights do not need")

    def persistent_load(self, reference: Any) -> Tensor:
        """Read the storage that a reference names, as a vector."""
        kind, dtype, key, _, count = reference
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise DataError("its pickle refers to something that is not a storage")
        if key not in self.storages:
            content = bytearray(self.archive.read(f"{self.root}data/{key}"))
            self.storages[key] = torch.frombuffer(content, dtype=dtype, count=count)
        return self.storages[key]


def _rebuild(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Tensor:
    if math.prod(size) > len(storage):
        raise DataError("it has a tensor that is larger than its storage")
    # A view beyond the storage is refused by torch itself.
    return torch.as_strided(storage, size, stride, offset).contiguous()


def _first(value: Any, *_: Any) -> Any:
    return value


def _tensors(top: Any) -> Iterator[tuple[str, Tensor]]:
    """Walk through modules and containers, each once, and give every tensor with its path."""
    waiting: list[tuple[str, Any]] = [("", top)]
    seen: set[int] = set()
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Tensor):
            yield path, value
            continue
        if isinstance(value, _Standin):
            value = value.attributes
        if isinstance(value, dict) and id(value) not in seen:
            seen.add(id(value))
            waiting += [(f"{path}.{name}" if path else str(name), v) for name, v in value.items()]
