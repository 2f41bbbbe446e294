"""The packed cache: pictures decoded once into one memory-mapped file, whole or absent.

An entry is the folder `packed/<key>/`, where the key is the sha256 of the source's identity:
`images.npy` uint8 (N, H, W, C), `roles.npy` int8 (N,) with each row's split, `labels.npy` int64
(N,) if there are labels, `factors.npy` int64 (N, F) if there are factors, and `meta.json`. It is
written to a temporary sibling, flushed and then renamed, so that several processes may pack the
same source at once: the first to finish wins.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from diptych.data.files import flush_to_disk
from diptych.data.origin import Origin, Prepared, Progress
from diptych.data.splits import content_hash, make_roles, role_of, row_digests

__all__ = ["Packed", "in_memory", "open_or_pack", "settle"]

VERSION = 1  # part of every key: change it when the same inputs would pack differently
STALE_SECONDS = 24 * 3600


@dataclass(frozen=True, eq=False)
class Packed:
    """Data that are ready: `Prepared`, with every row's split and the hash of the content."""

    rows: NDArray[Any]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    roles: NDArray[np.int8]
    content: str
    notes: tuple[str, ...]
    factors: NDArray[np.int64] | None = None
    factor_names: tuple[str, ...] = ()


class _DamagedError(Exception):
    """An entry that is not there, not whole, or not ours."""


class _CannotWriteError(Exception):
    """The cache's folder cannot take the entry; the message says why."""


def open_or_pack(
    origin: Origin, cache_dir: Path, progress: Progress, *, split: bool = True
) -> Packed:
    """Open the entry of a source, making it first when it is missing or damaged.

    A cache that cannot be written is no obstacle: the pictures are then held in memory, and a note
    says so.

    Args:
        origin: the source.
        cache_dir: the root of the caches; `packed/` inside it is used.
        progress: told how far reading is.
        split: see `settle`.

    Raises:
        DataError: from the source, in the person's words.
    """
    whole = "" if split else "\nnot split"
    key = hashlib.sha256(f"{VERSION}\n{origin.identity}{whole}".encode()).hexdigest()
    entry = cache_dir / "packed" / key
    with contextlib.suppress(_DamagedError):
        return _open(entry)
    try:
        return _pack(origin, entry, progress, split)
    except _CannotWriteError as error:
        note = f"{entry.parent} cannot be written ({error}), so the pictures are held in memory"
    packed = in_memory(origin, progress, split=split)
    return replace(packed, notes=(*packed.notes, note))


def in_memory(origin: Origin, progress: Progress, *, split: bool = True) -> Packed:
    """Read a source without any cache; `split` as in `settle`."""
    prepared = origin.prepare(lambda shape: np.empty(shape, np.uint8), progress)
    return settle(prepared, origin.name, split=split)


def settle(prepared: Prepared, name: str, *, split: bool = True) -> Packed:
    """Hash the rows and give each its split.

    Args:
        prepared: the rows.
        name: what the person asked for.
        split: False makes every row a test row, however few or alike they are.
    """
    digests = row_digests(prepared.rows)
    content = content_hash(prepared.rows, digests, prepared.labels, prepared.class_names)
    if split:
        roles = make_roles(digests, content, prepared.roles, name)
    else:
        roles = np.full(len(digests), role_of("test"), np.int8)
    copies = _copies_of_given_test(digests, prepared.roles) if split else 0
    said = f"{copies:,} rows outside the given test split are exact copies of rows in it"
    notes = (*prepared.notes, said) if copies else prepared.notes
    return Packed(
        prepared.rows,
        prepared.labels,
        prepared.class_names,
        roles,
        content,
        notes,
        prepared.factors,
        prepared.factor_names,
    )


def _copies_of_given_test(digests: Sequence[bytes], roles: NDArray[np.int8] | None) -> int:
    """How many rows of other splits are in a test split that the source itself made."""
    if roles is None:
        return 0
    test = role_of("test")
    tested = {digest for digest, role in zip(digests, roles, strict=True) if role == test}
    return sum(d in tested for d, role in zip(digests, roles, strict=True) if role != test)


def _pack(origin: Origin, entry: Path, progress: Progress, split: bool) -> Packed:
    """Write an entry beside its place, move it there, and open it."""
    desk = entry.parent / f".{entry.name}.{uuid.uuid4().hex[:12]}.tmp"
    try:
        desk.mkdir(parents=True)
        _sweep(entry.parent)
    except OSError as error:
        raise _CannotWriteError(error.strerror or str(error)) from error
    images = desk / "images.npy"

    def allocate(shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        try:
            # A full disk under a memory map kills the process, so the space is asked for before.
            if shutil.disk_usage(desk).free < 2 * math.prod(shape):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return open_memmap(images, mode="w+", dtype=np.uint8, shape=shape)
        except OSError as error:
            raise _CannotWriteError(error.strerror or str(error)) from error

    try:
        packed = settle(origin.prepare(allocate, progress), origin.name, split=split)
        try:
            _write(desk, packed)
            del packed  # Windows moves no folder while a file in it is mapped
            _move(desk, entry)
        except OSError as error:
            raise _CannotWriteError(error.strerror or str(error)) from error
    finally:
        shutil.rmtree(desk, ignore_errors=True)
    try:
        return _open(entry)
    except _DamagedError as error:
        raise _CannotWriteError(f"the entry could not be read back: {error}") from error


def _write(desk: Path, packed: Packed) -> None:
    """Bring the pictures on the desk to the rows that were kept and write all that goes with them.

    `packed.rows` maps the desk's own file; rows that were left out are at its end.
    """
    written = np.load(desk / "images.npy", mmap_mode="r")
    if len(written) != len(packed.rows):
        shorter = desk / "shorter.npy"
        kept = open_memmap(shorter, mode="w+", dtype=np.uint8, shape=packed.rows.shape)
        for start in range(0, len(kept), 1024):
            kept[start : start + 1024] = packed.rows[start : start + 1024]
        kept.flush()
        del kept, written
        shorter.replace(desk / "images.npy")
    elif isinstance(packed.rows, np.memmap):
        packed.rows.flush()
    np.save(desk / "roles.npy", packed.roles)
    if packed.labels is not None:
        np.save(desk / "labels.npy", packed.labels)
    meta = {
        "version": VERSION,
        "shape": list(packed.rows.shape),
        "labelled": packed.labels is not None,
        "class_names": list(packed.class_names),
        "content": packed.content,
        "notes": list(packed.notes),
    }
    if packed.factors is not None:
        np.save(desk / "factors.npy", packed.factors)
        meta["factor_names"] = list(packed.factor_names)
    (desk / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    for path in [*desk.iterdir(), desk]:
        flush_to_disk(path)


def _move(desk: Path, entry: Path) -> None:
    """Rename the desk to its place; give way to a whole entry, and push a damaged one aside."""
    for attempt in range(3):  # others may move the same entry between our looks at it
        try:
            desk.rename(entry)
            break
        except OSError:
            with contextlib.suppress(_DamagedError):
                _open(entry)
                return
            if attempt == 2:
                raise
            aside = desk.with_suffix(".old.tmp")
            with contextlib.suppress(FileNotFoundError):
                entry.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
    flush_to_disk(entry.parent)


def _open(entry: Path) -> Packed:
    """Open an entry, or raise `_DamagedError` when anything in it does not fit together."""
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        shape = tuple(meta["shape"])
        rows = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
        roles = np.load(entry / "roles.npy", allow_pickle=False)
        labels = None
        if meta["labelled"]:
            labels = np.load(entry / "labels.npy", allow_pickle=False)
        factors, factor_names = None, tuple(meta.get("factor_names", ()))
        if factor_names:
            factors = np.load(entry / "factors.npy", allow_pickle=False)
        whole = (
            meta["version"] == VERSION
            and rows.shape == shape
            and rows.dtype == np.uint8
            and (entry / "images.npy").stat().st_size == rows.offset + rows.nbytes
            and roles.shape == shape[:1]
            and (labels is None or labels.shape == shape[:1])
            and (factors is None or factors.shape == (shape[0], len(factor_names)))
        )
        if not whole:
            raise _DamagedError("its parts do not fit together")
        return Packed(
            rows,
            labels,
            tuple(meta["class_names"]),
            roles,
            meta["content"],
            tuple(meta["notes"]),
            factors,
            factor_names,
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise _DamagedError(str(error)) from error


def _sweep(folder: Path) -> None:
    """Remove what killed processes left behind a day ago or more."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):  # another process swept or finished first
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
