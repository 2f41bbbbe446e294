"""One process at a time works on a study."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diptych.errors import RunError

__all__ = ["LOCK_NAME", "study_lock", "try_to_lock"]

LOCK_NAME = ".lock"
PATIENCE_SECONDS = 20.0
"""How long to wait for workers whose study was killed: they notice, save and end."""


@contextmanager
def study_lock(directory: Path) -> Iterator[int]:
    """Hold a study for this process and the workers that inherit the lock.

    The system releases the lock when the last process that holds it ends, however it ends, so
    there is no stale lock to clear away. The file stays; only its lock means anything.

    Args:
        directory: of the study.

    Yields:
        The file descriptor to hand to workers.

    Raises:
        RunError: another process holds it.
    """
    handle = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not try_to_lock(handle):
            owner = _owner(handle)
            if owner is None or _is_alive(owner) or time.monotonic() > deadline:
                raise RunError(
                    f"another process{f' ({owner})' if owner else ''} is working on {directory}; "
                    "wait for its end, or stop it first"
                )
            time.sleep(0.2)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _owner(handle: int) -> int | None:
    text = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdecimal() else None


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True


if sys.platform == "win32":
    import msvcrt

    def try_to_lock(handle: int) -> bool:
        """Lock an open file for this process, unless another holds it."""
        os.lseek(handle, 1 << 20, os.SEEK_SET)  # apart from the text, which others may read
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def try_to_lock(handle: int) -> bool:
        """Lock an open file for this process, unless another holds it."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
