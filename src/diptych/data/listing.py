"""What lies in a folder of pictures: the files, their labels, and the splits it may hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from diptych.data.dataset import SplitName
from diptych.data.splits import role_of

__all__ = ["PICTURE_SUFFIXES", "Found", "Listing", "list_folder"]

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"})

SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class Found:
    """One picture file: its path below the folder, size in bytes (-1: broken link), and age."""

    path: PurePosixPath
    num_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Listing:
    """The picture files of a folder in the order of their paths, and what else was met.

    Attributes:
        root: the folder.
        pictures: every file with the suffix of a picture, hidden ones left out.
        others: paths of files without such a suffix.
        repeated: folders reached a second time through a link, and not entered again.
    """

    root: Path
    pictures: tuple[Found, ...]
    others: tuple[str, ...]
    repeated: tuple[str, ...]

    @property
    def has_splits(self) -> bool:
        """Whether the folder holds nothing but `train` and one or two other splits."""
        tops = {found.path.parts[0] for found in self.pictures if len(found.path.parts) > 1}
        loose = any(len(found.path.parts) == 1 for found in self.pictures)
        known = tops <= set(SPLIT_FOLDERS)
        return not loose and known and "train" in tops and len(tops) > 1

    def roles(self, paths: list[PurePosixPath]) -> NDArray[np.int8] | None:
        """int8 (N,): the split that each path lies in, or None if the folder has no splits."""
        if not self.has_splits:
            return None
        return np.array([role_of(SPLIT_FOLDERS[path.parts[0]]) for path in paths], np.int8)

    def classes(self, paths: list[PurePosixPath]) -> list[str | None]:
        """The sub-folder that each path lies in, below its split; None for a loose file."""
        level = 1 if self.has_splits else 0
        return [path.parts[level] if len(path.parts) > level + 1 else None for path in paths]


def list_folder(root: Path) -> Listing:
    """Walk a folder once, in the order of names. Each real folder is entered once, so that links
    that lead back up end there.

    Raises:
        OSError: a folder cannot be listed.
    """
    pictures: list[Found] = []
    others: list[str] = []
    repeated: list[str] = []
    for path in _walk(root, set(), repeated):
        below = PurePosixPath(path.relative_to(root).as_posix())
        if path.suffix.lower() not in PICTURE_SUFFIXES:
            others.append(str(below))
        elif path.exists():
            status = path.stat()
            pictures.append(Found(below, status.st_size, status.st_mtime_ns))
        else:
            pictures.append(Found(below, -1, 0))
    return Listing(root, tuple(pictures), tuple(others), tuple(repeated))


def _walk(folder: Path, entered: set[tuple[int, int]], repeated: list[str]) -> Iterator[Path]:
    """Every file below a folder that is not hidden."""
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in entered:
        repeated.append(str(folder))
        return
    entered.add(identity)
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path, entered, repeated)
        else:
            yield path
