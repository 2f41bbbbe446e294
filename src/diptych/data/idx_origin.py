"""Sources made of idx files: the published sets, a person's own file, a folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diptych.data.arrays import prepare_images
from diptych.data.dataset import SplitName
from diptych.data.files import file_identity
from diptych.data.find import find_or_fetch
from diptych.data.fitting import Fit
from diptych.data.idx import labels_beside, read_idx
from diptych.data.origin import Allocate, Origin, Prepared, Progress
from diptych.data.published import Published
from diptych.data.splits import role_of
from diptych.errors import DataError

__all__ = ["idx_file_origin", "idx_folder_origin", "image_files_in", "published_origin"]


@dataclass(frozen=True)
class _Pair:
    """A file of images, its labels, the split it is, and what the two must hold if it is known."""

    images: Path
    labels: Path | None
    split: SplitName | None = None
    images_sha256: str | None = None
    labels_sha256: str | None = None


def published_origin(
    published: Published, data_dir: Path | None, cache_dir: Path, fit: Fit, progress: Progress
) -> Origin:
    """A published data set; its content is checked when it is read.

    Raises:
        MissingData, DataError: as `find_or_fetch`.
    """
    paths = find_or_fetch(published, data_dir, cache_dir, progress)
    pairs = [
        _Pair(
            paths[part.images],
            paths[part.labels],
            part.split,
            part.images.sha256,
            part.labels.sha256,
        )
        for part in published.parts
    ]
    return _origin(pairs, published.name, fit, None, published.class_names)


def idx_file_origin(path: Path, name: str, fit: Fit, labels: ArrayLike | None) -> Origin:
    """One idx file of images; labels are given, or lie beside it by its name."""
    return _origin([_Pair(path, labels_beside(path))], name, fit, labels, None)


def idx_folder_origin(images: Sequence[Path], name: str, fit: Fit) -> Origin:
    """The idx files of a folder: `train-` and `t10k-` or `test-` files are those splits.

    Raises:
        DataError: there are several files of images and their names do not tell the splits.
    """
    if len(images) == 1:
        return idx_file_origin(images[0], name, fit, None)
    pairs = [_Pair(path, labels_beside(path), _split_of(path)) for path in images]
    if sorted(str(pair.split) for pair in pairs) != ["test", "train"]:
        names = ", ".join(path.name for path in images)
        raise DataError(
            f"{images[0].parent} holds several idx files of images ({names}); one called train-… "
            "and one called t10k-… or test-… were expected. Name one file instead."
        )
    return _origin(pairs, name, fit, None, None)


def image_files_in(folder: Path) -> list[Path]:
    """The idx files of images directly in a folder; of a file and its .gz, the unpacked one."""
    found: dict[str, Path] = {}
    try:
        paths = sorted(folder.iterdir(), reverse=True)  # a .gz comes before its unpacked file
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}.") from error
    for path in paths:
        if "images" in path.name and "idx" in path.name and path.is_file():
            found[path.name.removesuffix(".gz")] = path
    return sorted(found.values())


def _split_of(path: Path) -> SplitName | None:
    if path.name.startswith("train"):
        return "train"
    return "test" if path.name.startswith(("t10k", "test")) else None


def _origin(
    pairs: list[_Pair],
    name: str,
    fit: Fit,
    labels: ArrayLike | None,
    class_names: tuple[str, ...] | None,
) -> Origin:
    files = [path for pair in pairs for path in (pair.images, pair.labels) if path]
    for path in files:
        if not path.is_file():
            raise DataError(f"{path} is not a file.")
    given = None if labels is None else np.asarray(labels).tolist()
    identity = ["idx", [file_identity(path) for path in files], fit.size, fit.crop, given]

    def prepare(allocate: Allocate, progress: Progress) -> Prepared:
        parts = [read_idx(pair.images, sha256=pair.images_sha256) for pair in pairs]
        numbers = labels if labels is not None else _labels(pairs)
        where = str(pairs[0].images)
        prepared = prepare_images(_joined(parts, pairs), numbers, where, fit, allocate, progress)
        if class_names is not None:
            prepared = replace(
                prepared, labels=np.asarray(numbers, np.int64), class_names=class_names
            )
        roles = [
            np.full(len(part), role_of(pair.split), np.int8)
            for part, pair in zip(parts, pairs, strict=True)
            if pair.split
        ]
        return replace(prepared, roles=np.concatenate(roles) if roles else None)

    return Origin(name, json.dumps(identity), prepare)


def _labels(pairs: list[_Pair]) -> NDArray[Any] | None:
    """The labels of all pairs, or None if one has none."""
    parts = [read_idx(p.labels, sha256=p.labels_sha256) for p in pairs if p.labels]
    return np.concatenate(parts) if len(parts) == len(pairs) else None


def _joined(parts: list[NDArray[Any]], pairs: list[_Pair]) -> NDArray[Any]:
    """All images after one another; they must be of one size."""
    for part, pair in zip(parts, pairs, strict=True):
        if part.shape[1:] != parts[0].shape[1:]:
            raise DataError(
                f"{pair.images} holds pictures of shape {part.shape[1:]}, and {pairs[0].images} "
                f"of shape {parts[0].shape[1:]}; one size was expected."
            )
    return np.concatenate(parts)
