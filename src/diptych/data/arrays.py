"""Arrays in memory and in .npy and .npz files; nothing pickled is ever loaded."""

import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray

from diptych.data.factors import DSPRITES_NAMES, normalise_factors
from diptych.data.files import file_identity
from diptych.data.fitting import Fit, resize_array
from diptych.data.labels import normalise_labels
from diptych.data.origin import Allocate, Origin, Prepared, Progress
from diptych.data.pixels import CHUNK, choose_scale, layout_note, layout_of, to_nhwc
from diptych.errors import DataError, MissingData

__all__ = [
    "ArrayFile",
    "Contents",
    "array_file_origin",
    "open_array_file",
    "prepare_images",
    "with_factors",
]

ROW_KEYS = ("images", "x", "points")
ROW_KEY_OF_DSPRITES = "imgs"
LABEL_KEYS = ("labels", "y")
FACTOR_KEYS = ("factors", "latents_classes")
FACTOR_NAMES_KEY = "factor_names"
DSPRITES_ENTRIES = {"imgs", "latents_classes", "latents_values", "metadata"}
UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, eq=False)
class Contents:
    """What an array file holds; `factor_names` may be empty beside factors."""

    rows: NDArray[Any]
    labels: NDArray[Any] | None = None
    factors: NDArray[Any] | None = None
    factor_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ArrayFile:
    """A .npy or .npz file whose header was read.

    Attributes:
        path: the file.
        rows_key: the entry of an .npz that holds the rows; None for .npy.
        labels_key: the entry of an .npz that holds labels, if there is one.
        shape: of the rows.
        dtype: of the rows.
        factors_key: the entry of an .npz that holds known factors, if there is one.
        names_key: the entry of an .npz that names them, if there is one.
        known_names: their names where the file is of a known kind.
    """

    path: Path
    rows_key: str | None
    labels_key: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    factors_key: str | None = None
    names_key: str | None = None
    known_names: tuple[str, ...] = ()

    def load(self) -> Contents:
        """The rows (memory-mapped from .npy), and labels and factors if the file holds any."""
        try:
            if self.rows_key is None:
                return Contents(np.load(self.path, mmap_mode="r", allow_pickle=False))
            with np.load(self.path, allow_pickle=False) as archive:
                labels = archive[self.labels_key] if self.labels_key else None
                factors = archive[self.factors_key] if self.factors_key else None
                names = self.known_names
                if self.names_key:
                    names = tuple(str(name) for name in np.ravel(archive[self.names_key]))
                return Contents(archive[self.rows_key], labels, factors, names)
        except UNREADABLE as error:
            raise _unreadable(self.path, error) from error


def open_array_file(path: Path) -> ArrayFile:
    """Read what a .npy or .npz file says of itself.

    An .npz gives its rows as `images`, `x`, `points` or `imgs` (or as its only entry), its labels,
    if any, as `labels` or `y`, and the known factors of its rows, if any, as `factors` (with
    their names in `factor_names`) or, like dSprites, as `latents_classes`. Other entries are
    never opened.

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
            factors_key = next((key for key in FACTOR_KEYS if key in keys), None)
            named = factors_key is not None and FACTOR_NAMES_KEY in keys
            names_key = FACTOR_NAMES_KEY if named else None
            headers = {}
            for key in (rows_key, labels_key, factors_key, names_key):
                if key is not None:
                    with archive.open(f"{key}.npy") as file:
                        headers[key] = _header(file, path)
            known = _names_known_of(keys, headers[factors_key][0]) if factors_key else ()
            return ArrayFile(
                path, rows_key, labels_key, *headers[rows_key], factors_key, names_key, known
            )
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
        held, where = file.load(), str(file.path)
        chosen = held.labels if labels is None else labels
        prepared = prepare_images(held.rows, chosen, where, fit, allocate, progress)
        return with_factors(prepared, held, where)

    identity = ["array", file_identity(file.path), fit.size, fit.crop, given]
    if file.factors_key is not None:  # entries packed before factors were read lack them
        identity.append(file.factors_key)
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


def with_factors(prepared: Prepared, held: Contents, where: str) -> Prepared:
    """The prepared rows with the factors their file holds, if any.

    Raises:
        DataError: the factors are not whole numbers (N, F).
    """
    if held.factors is None:
        return prepared
    factors, names = normalise_factors(held.factors, held.factor_names, len(prepared.rows), where)
    return replace(prepared, factors=factors, factor_names=names)


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
    if not rows and ROW_KEY_OF_DSPRITES in keys:
        rows = [ROW_KEY_OF_DSPRITES]
    beside = (labels, *FACTOR_KEYS, FACTOR_NAMES_KEY)
    rest = [key for key in keys if key not in beside]
    if len(rows) == 1:
        return rows[0], labels
    if not rows and len(rest) == 1:
        return rest[0], labels
    raise DataError(
        f"{path} holds the entries {', '.join(keys) or '(none)'}; exactly one called "
        f"{', '.join(ROW_KEYS)} was expected, and labels may be called {' or '.join(LABEL_KEYS)}."
    )


def _names_known_of(keys: list[str], factors: tuple[int, ...]) -> tuple[str, ...]:
    """The factors' names in dSprites, told by its entries: its own list of them is a pickle."""
    is_dsprites = set(keys) == DSPRITES_ENTRIES and factors[1:] == (len(DSPRITES_NAMES),)
    return DSPRITES_NAMES if is_dsprites else ()


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
