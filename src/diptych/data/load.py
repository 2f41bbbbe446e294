"""`load_data`: from what the person names to data that are ready."""

import difflib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diptych.data.arrays import (
    array_file_origin,
    open_array_file,
    prepare_images,
    with_factors,
)
from diptych.data.dataset import Data, Mixture
from diptych.data.fitting import Fit, parse_fit
from diptych.data.folder import folder_origin
from diptych.data.idx import looks_like_idx
from diptych.data.idx_origin import (
    idx_file_origin,
    idx_folder_origin,
    image_files_in,
    published_origin,
)
from diptych.data.listing import PICTURE_SUFFIXES
from diptych.data.locations import cache_root
from diptych.data.origin import Origin, Progress, silent
from diptych.data.packed import Packed, open_or_pack, settle
from diptych.data.points import MIXTURES, draw, is_table, prepare_points
from diptych.data.published import PUBLISHED
from diptych.data.splits import rows_of_roles
from diptych.errors import DataError, MissingData

__all__ = ["load_data"]

Source = str | os.PathLike[str] | NDArray[Any]


def load_data(
    source: Source,
    *,
    labels: ArrayLike | None = None,
    size: int | Sequence[int] | None = None,
    crop: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    skip_bad: bool = False,
    num_points: int = 100_000,
    split: bool = True,
    progress: Progress = silent,
) -> Data:
    """Find data, look at all of it, prepare it once, and split it.

    Args:
        source: `fashion-mini`, `fashion-mnist`, `mnist`, `ring` or `grid`; or a folder of PNG,
            JPEG, WebP, TIFF or BMP pictures (sub-folders are labels; `train`, `test` and
            `validation` are splits); or an .npy, .npz or idx file; or an array, images as
            (N, H, W), (N, H, W, C) or (N, C, H, W), points as floats (N, D). A name wins over a
            folder that is called the same; `./mnist` is the folder. An .npz may hold labels and
            known factors beside its rows, see `open_array_file`.
        labels: (N,) classes of the rows of an array or of an array file.
        size: bring pictures to this many pixels: a square, or (height, width).
        crop: cut the middle out of pictures of another aspect; without it they are refused.
        data_dir: where published data sets are looked for first.
        cache_dir: the root of the caches instead of `cache_root()`.
        skip_bad: leave unusable files of a folder out and note them, instead of refusing.
        num_points: how many points of `ring` or `grid` to draw.
        split: part the rows into train, validation and test. Without it every row is a test row,
            for sets that are only measured: these may be few, or all alike.
        progress: called with what is being done, how much is done, and the total.

    Returns:
        The data; images are uint8 (N, H, W, C), points float32 (N, D).

    Raises:
        MissingData: the data are not on this machine and cannot be fetched.
        DataError: the data cannot be used as they are.

    Example:
        >>> data = load_data("ring", num_points=1000)
        >>> data.kind, data.shape, data.num_classes
        ('points', (2,), 8)
        >>> data.take("test").shape
        (100, 2)
    """
    fit = parse_fit(size, crop)
    if not isinstance(source, (str, os.PathLike)):
        if not hasattr(source, "__array__"):
            raise DataError(
                f"data may be a name, a path or an array, and this is a {type(source).__name__}"
            )
        source = np.asarray(source)  # also tensors of torch and others
        return _from_array(source, labels, fit, split, progress)
    name = os.fspath(source)
    cache = Path(cache_dir).expanduser().absolute() if cache_dir is not None else cache_root()
    folder = Path(data_dir).expanduser().absolute() if data_dir is not None else None
    if not name:
        raise MissingData(_unknown(name))
    if name in MIXTURES or name in PUBLISHED:
        _refuse_labels(labels, name)
    if name in MIXTURES:
        _refuse_fit(fit, name)
        truth = MIXTURES[name]()
        drawn = settle(draw(truth, num_points), name, split=split)
        request = {"source": name, "num_points": num_points}
        return replace(_assemble(name, "points", drawn, fit, truth), request=request)
    if name in PUBLISHED:
        origin = published_origin(PUBLISHED[name], folder, cache, fit, progress)
        packed = open_or_pack(origin, cache, progress, split=split)
        data = _assemble(name, "images", packed, fit)
    else:
        path = Path(name).expanduser()
        data = _from_path(path, name, labels, fit, skip_bad, cache, split, progress)
    request = {
        "source": name if name in PUBLISHED else str(Path(name).expanduser().absolute()),
        "size": None if fit.size is None else list(fit.size),
        "crop": crop,
        "data_dir": None if folder is None else str(folder),
        "cache_dir": None if cache_dir is None else str(cache),
        "skip_bad": skip_bad,
    }
    # Labels from memory could not be given again, so such data must be passed by hand.
    return data if labels is not None else replace(data, request=request)


def _from_path(
    path: Path,
    name: str,
    labels: ArrayLike | None,
    fit: Fit,
    skip_bad: bool,
    cache: Path,
    split: bool,
    progress: Progress,
) -> Data:
    """A folder or a file."""
    if path.suffix.lower() in {".npy", ".npz"} and path.is_file():
        file = open_array_file(path)
        if is_table(file.shape):
            _refuse_fit(fit, name)
            held = file.load()
            chosen = held.labels if labels is None else labels
            table = with_factors(prepare_points(held.rows, chosen, name), held, name)
            return _assemble(name, "points", settle(table, name, split=split), fit)
        origin = array_file_origin(file, name, fit, labels)
    else:
        origin = _origin_of_path(path, name, fit, labels, skip_bad)
    return _assemble(name, "images", open_or_pack(origin, cache, progress, split=split), fit)


def _origin_of_path(
    path: Path, name: str, fit: Fit, labels: ArrayLike | None, skip_bad: bool
) -> Origin:
    """The source that a folder or an idx file is."""
    if path.is_dir():
        _refuse_labels(labels, name)
        if images := image_files_in(path):
            return idx_folder_origin(images, name, fit)
        return folder_origin(path, name, fit, skip_bad)
    if not path.exists():
        raise MissingData(_unknown(name))
    if path.suffix.lower() in PICTURE_SUFFIXES:
        raise DataError(f"{path} is a single picture; give the folder that holds all of them.")
    if looks_like_idx(path):
        return idx_file_origin(path, name, fit, labels)
    raise DataError(
        f"{path} is no data file that Diptych reads; give a folder of pictures, or a .npy, .npz "
        "or idx file."
    )


def _unknown(name: str) -> str:
    """The sentence for what is neither a name nor a path."""
    known = [*PUBLISHED, *MIXTURES]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return (
        f"{name!r} is neither a file or folder here nor a data set known by name "
        f"({', '.join(known)}).{hint}"
    )


def _from_array(
    array: NDArray[Any], labels: ArrayLike | None, fit: Fit, split: bool, progress: Progress
) -> Data:
    """An array in memory; nothing is cached."""
    if is_table(array.shape):
        _refuse_fit(fit, "array")
        table = prepare_points(array, labels, "array")
        return _assemble("array", "points", settle(table, "array", split=split), fit)
    prepared = prepare_images(
        array, labels, "the array", fit, lambda shape: np.empty(shape, np.uint8), progress
    )
    return _assemble("array", "images", settle(prepared, "the array", split=split), fit)


def _assemble(
    name: str,
    kind: Literal["images", "points"],
    packed: Packed,
    fit: Fit,
    truth: Mixture | None = None,
) -> Data:
    """The finished data, with a fingerprint of content, preparation and splits."""
    splits = hashlib.sha256(packed.roles.tobytes()).hexdigest()
    parts: list[Any] = [kind, packed.content, fit.size, fit.crop, splits]
    if packed.factors is not None:
        # Beside the content and not within it: what is known of rows must not move the splits.
        digest = hashlib.sha256(packed.factors.astype("<i8").tobytes()).hexdigest()
        parts += [digest, list(packed.factor_names)]
    whole = json.dumps(parts)
    return Data(
        name=name,
        kind=kind,
        array=packed.rows,
        labels=packed.labels,
        class_names=packed.class_names,
        splits=rows_of_roles(packed.roles),
        fingerprint=hashlib.sha256(whole.encode()).hexdigest(),
        truth=truth,
        notes=packed.notes,
        factors=packed.factors,
        factor_names=packed.factor_names,
    )


def _refuse_labels(labels: ArrayLike | None, name: str) -> None:
    if labels is not None:
        raise DataError(f"{name} brings its own labels; give labels only with arrays.")


def _refuse_fit(fit: Fit, name: str) -> None:
    if fit.size is not None:
        raise DataError(
            f"{name} holds points, and size and crop are for pictures; leave them out."
        )
