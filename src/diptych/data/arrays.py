"""Arrays in memory and in .npy and .npz files; nothing pickled is ever loaded."""

import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray

from diptych.data.files import file_identity
from diptych.data.fitting import Fit, resize_array
from diptych.data.labels import normalise_labels
from diptych.data.origin import Allocate, Origin, Prepared, Progress
from diptych.data.pixels import CHUNK, choose_scale, layout_note, layout_of, to_nhwc
from diptych.errors import DataError, MissingData

__all__ = ["ArrayFile", "array_file_origin", "open_array_file", "prepare_images"]

ROW_KEYS = ("images", "x", "points")
LABEL_KEYS = ("labels", "y")
UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class ArrayFile:
    """A .npy or .npz file whose header was read.

    Attributes:
        path: the file.
        rows_key: the entry of an .npz that holds the rows; None for .npy.
        labels_key: the entry of an .npz that holds labels, if there is one.
        shape: of the rows.
        dtype: of the rows.
    """

    path: Path
    rows_key: str | None
    labels_key: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def load(self) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """The rows (memory-mapped from .npy) and the labels, if the file holds any."""
        try:
            if self.rows_key is None:
                return np.load(self.path, mmap_mode="r", allow_pickle=False), None
            with np.load(self.path, allow_pickle=False) as archive:
                labels = archive[self.labels_key] if self.labels_key else None
                return archive[self.rows_key], labels
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from error


def open_array_file(path: Path) -> ArrayFile:
    """Read what a .npy or .npz file says of itself.

    An .npz gives its rows as `images`, `x` or `points` (or as its only entry) and its labels, if
    any, as `labels` or `y`.

    Raises:
        MissingData: there is no such file.
        DataError: the file is damaged, holds Python objects, or has no entry we know.
    """
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return ArrayFile(path, None, None, *_header(file, path))
        with zipfile.ZipFile(path) as archive:
            keys = [name.removesuffix(".npy") for name in archive.namelist()]
            rows_key, labels_key = _choose_keys(path, keys)
            if labels_key is not None:
                with archive.open(f"{labels_key}.npy") as file:
                    _header(file, path)
            with archive.open(f"{rows_key}.npy") as file:
                return ArrayFile(path, rows_key, labels_key, *_header(file, path))
    except FileNotFoundError as error:
        raise MissingData(f"{path} does not exist.") from error
    except DataError:
        raise
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def array_file_origin(file: ArrayFile, name: str, fit: Fit, labels: ArrayLike | None) -> Origin:
    """Pictures in an array file as a source for the packed cache.

    Args:
        file: the opened file.
        name: what the person asked for.
        fit: the size that pictures are brought to.
        labels: labels (N,) that take the place of the file's own.

    Raises:
        DataError: the shape or aspect is not one of pictures that can be used.
    """
    check = _check_shape(file.shape, str(file.path), fit)
    given = None if labels is None else np.asarray(labels).tolist()

    def prepare(allocate: Allocate, progress: Progress) -> Prepared:
        check()
        rows, own = file.load()
        return prepare_images(
            rows, own if labels is None else labels, str(file.path), fit, allocate, progress
        )

    identity = ["array", file_identity(file.path), fit.size, fit.crop, given]
    return Origin(name, json.dumps(identity), prepare)


def prepare_images(
    images: NDArray[Any],
    labels: ArrayLike | None,
    where: str,
    fit: Fit,
    allocate: Allocate,
    progress: Progress,
) -> Prepared:
    """Bring an array of pictures to uint8 (N, H, W, C), some rows at a time.

    Args:
        images: (N, H, W), (N, H, W, C) or (N, C, H, W), see `choose_scale` for types and ranges.
        labels: (N,) or None.
        where: what errors call the array.
        fit: the size that pictures are brought to.
        allocate: gives the array to fill.
        progress: told how far the work is.

    Raises:
        DataError: the array is not one of pictures.
    """
    _check_shape(images.shape, where, fit)()
    layout = layout_of(images.shape, where)
    scale = choose_scale(images, where)
    count, height, width, channels = to_nhwc(images[:1], layout).shape
    count = len(images)
    numbers, names = (None, ()) if labels is None else normalise_labels(labels, count, where)
    out = allocate((count, *(fit.size or (height, width)), channels))
    for start in range(0, count, CHUNK):
        chunk = scale.apply(to_nhwc(images[start : start + CHUNK], layout))
        out[start : start + CHUNK] = resize_array(chunk, fit)
        progress("reading pictures", min(start + CHUNK, count), count)
    notes = [note for note in (layout_note(layout), scale.note) if note]
    if fit.size not in (None, (height, width)):
        how = "cropped to the aspect and resized" if fit.crop else "resized"
        notes.append(
            f"pictures were {how} from {height} x {width} to {fit.size[0]} x {fit.size[1]}"
        )
    return Prepared(out, numbers, names, None, tuple(notes))


def _check_shape(shape: tuple[int, ...], where: str, fit: Fit) -> Callable[[], None]:
    """Check a shape when called: cached data have passed already."""

    def check() -> None:
        layout = layout_of(shape, where)
        height, width = shape[2:4] if layout == "NCHW" else shape[1:3]
        if objection := fit.objection(height, width):
            raise DataError(f"every picture in {where} {objection}; --crop cuts out the middle.")

    return check


def _choose_keys(path: Path, keys: list[str]) -> tuple[str, str | None]:
    """Which entries of an .npz hold the rows and the labels."""
    labels = next((key for key in LABEL_KEYS if key in keys), None)
    rows = [key for key in ROW_KEYS if key in keys]
    rest = [key for key in keys if key != labels]
    if len(rows) == 1:
        return rows[0], labels
    if not rows and len(rest) == 1:
        return rest[0], labels
    raise DataError(
        f"{path} holds the entries {', '.join(keys) or '(none)'}; exactly one called "
        f"{', '.join(ROW_KEYS)} was expected, and labels may be called {' or '.join(LABEL_KEYS)}."
    )


def _header(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type from the header of one .npy; arrays of Python objects are refused here."""
    old = npy.read_magic(file) == (1, 0)
    shape, _, dtype = npy.read_array_header_1_0(file) if old else npy.read_array_header_2_0(file)
    if dtype.hasobject:
        raise DataError(
            f"{path} holds Python objects (a pickle), which could run code and are never loaded; "
            "save plain numbers."
        )
    return shape, dtype


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return DataError(
        f"{path} is damaged or no array file of numpy ({reason}); save or copy it again."
    )
