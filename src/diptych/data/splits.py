"""Train, validation and test: made once, from the content alone.

The same pictures give the same splits on every machine and with every version of numpy, because
rows are put in order by a keyed hash of their bytes and no random generator is asked. Exact
copies of a picture have the same hash and so stay on one side, unless the source itself parts
them.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diptych.data.dataset import SPLITS, SplitName
from diptych.errors import DataError

__all__ = [
    "MOST_VALIDATION",
    "content_hash",
    "make_roles",
    "role_of",
    "row_digests",
    "rows_of_roles",
]

FEWEST_ROWS = 10
MOST_VALIDATION = 5_000


def role_of(split: SplitName) -> int:
    """The small number that stands for a split in arrays of roles: its place in `SPLITS`."""
    return SPLITS.index(split)


def row_digests(rows: NDArray[Any]) -> list[bytes]:
    """A 16-byte hash of each row of an array (N, ...)."""
    digests = []
    for start in range(0, len(rows), 1024):
        chunk = rows[start : start + 1024]
        content, step = chunk.tobytes(), chunk[0].nbytes
        for begin in range(0, len(content), step):
            row = content[begin : begin + step]
            digests.append(hashlib.blake2b(row, digest_size=16).digest())
    return digests


def content_hash(
    rows: NDArray[Any],
    digests: Sequence[bytes],
    labels: NDArray[np.int64] | None,
    class_names: Sequence[str],
) -> str:
    """Hexadecimal sha256 of what the data are: shape, type, every row, labels and their names."""
    digest = hashlib.sha256()
    digest.update(json.dumps([list(rows.shape), rows.dtype.str, list(class_names)]).encode())
    digest.update(b"".join(digests))
    if labels is not None:
        digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def make_roles(
    digests: Sequence[bytes], content: str, given: NDArray[np.int8] | None, name: str
) -> NDArray[np.int8]:
    """Give every row a split.

    Rows with a role of their own keep it; a split that is missing is drawn from the training rows.
    Without any given role, a tenth goes to validation and a tenth to test. Beside an official test
    set, validation is a tenth of the training rows and at most 5,000.

    Args:
        digests: one hash per row.
        content: the `content_hash`, which decides the draw.
        given: int8 (N,) roles that the source itself gives, or None.
        name: the data's name, for the error.

    Returns:
        int8 (N,), places in `SPLITS`; every split has at least one row.

    Raises:
        DataError: fewer than 10 rows, or too few different ones to fill three splits.
    """
    if len(digests) < FEWEST_ROWS:
        raise DataError(
            f"{name} has {len(digests)} usable rows; at least {FEWEST_ROWS} are needed to train, "
            "to choose and to test on different ones. Add more."
        )
    train = role_of("train")
    roles = np.full(len(digests), train, np.int8) if given is None else given.copy()
    missing: list[SplitName] = [
        split for split in ("test", "validation") if not np.any(roles == role_of(split))
    ]
    copies: dict[bytes, list[int]] = defaultdict(list)
    for row in np.flatnonzero(roles == train).tolist():
        copies[digests[row]].append(row)
    if len(copies) <= len(missing):
        raise DataError(
            f"{name} has only {len(copies)} different training rows among {len(digests)}; "
            f"at least {len(missing) + 1} are needed to fill train, validation and test."
        )
    seed = bytes.fromhex(content)
    order = sorted(copies, key=lambda d: hashlib.blake2b(d, key=seed, digest_size=16).digest())
    pool = int(np.sum(roles == train))
    most = pool if given is None else MOST_VALIDATION
    for split in missing:
        room = max(1, min(round(pool / 10), most))
        chosen = _fill(order, copies, room)
        for digest in chosen:
            roles[copies[digest]] = role_of(split)
        order = [digest for digest in order if digest not in chosen]
    return roles


def rows_of_roles(roles: NDArray[np.int8]) -> dict[SplitName, NDArray[np.int64]]:
    """The sorted row numbers of each split, int64."""
    return {
        split: np.flatnonzero(roles == role_of(split)).astype(np.int64, copy=False)
        for split in SPLITS
    }


def _fill(order: Sequence[bytes], copies: dict[bytes, list[int]], room: int) -> set[bytes]:
    """Groups of copies taken in order while they fit into `room` rows; always at least one."""
    chosen: set[bytes] = set()
    for digest in order:
        size = len(copies[digest])
        if size <= room:
            chosen.add(digest)
            room -= size
        if room == 0:
            break
    return chosen or {min(order, key=lambda digest: len(copies[digest]))}
