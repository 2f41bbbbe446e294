"""The idx format of MNIST and its successors, plain or gzipped."""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diptych.errors import DataError, MissingData

__all__ = ["labels_beside", "looks_like_idx", "read_idx"]

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path, *, sha256: str | None = None) -> NDArray[Any]:
    """Read one idx file: two zero bytes, a type, the number of axes, their lengths, the values.

    Args:
        path: the file, plain or gzipped.
        sha256: of the unpacked content, when it is known what it must be.

    Returns:
        The array in the file's own type and shape, in this machine's byte order.

    Raises:
        MissingData: there is no such file.
        DataError: the file is damaged, cut short, too long, not idx, or not the known content.
    """
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in DTYPES or not content[3]:
        raise DataError(
            f"{path} does not begin like an idx file: its first bytes are "
            f"{content[:4].hex(' ') or 'missing'}, and 00 00 08 03 or the like was expected."
        )
    dtype, axes = np.dtype(DTYPES[content[2]]), content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise DataError(f"{path} ends inside its own header; fetch or copy it again.")
    shape = struct.unpack(f">{axes}I", content[4:start])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            f"{path} should hold {expected:,} bytes for shape {shape} and holds "
            f"{len(content):,}; fetch or copy it again."
        )
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(
            f"{path} is not the published file: the sha256 of its content is not "
            f"{sha256[:16]}…; "
            "remove it and fetch it again."
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def looks_like_idx(path: Path) -> bool:
    """Whether a file's name, or the first bytes of an unpacked file, are those of idx.

    Raises:
        DataError: the file cannot be read.
    """
    if "idx" in path.name.lower():
        return True
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    return len(start) == 4 and start[:2] == b"\0\0" and start[2] in DTYPES


def labels_beside(images: Path) -> Path | None:
    """The label file that belongs to a file of images by its name, gzipped or not.

    `train-images-idx3-ubyte.gz` goes with `train-labels-idx1-ubyte`, with or without `.gz`.
    """
    name = images.name.removesuffix(".gz")
    other = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    if other == name:
        return None
    candidates = (images.with_name(other + ending) for ending in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _content(path: Path) -> bytes:
    """All bytes of a file, unzipped when it starts as gzip does, whatever its name."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except FileNotFoundError as error:
        raise MissingData(f"{path} does not exist.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path} is a damaged or unfinished gzip file; fetch or copy it again."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
