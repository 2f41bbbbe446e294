"""Files that appear whole or not at all."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_path", "file_identity", "flush_to_disk", "md5_of"]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of `path` to write; flush and rename it when the block ends well.

    When the block raises, the sibling is removed and `path` stays as it was.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        yield draft
        flush_to_disk(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Have the system write a file's pages (or a folder's entries) to the disk now."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder, and writes its entries through
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_identity(path: Path) -> list[str | int]:
    """What tells a changed file from the one packed before: address, size, time of change."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def md5_of(path: Path) -> str:
    """The md5 of a file in hexadecimal: the publishers' check against damage, not a safeguard."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
