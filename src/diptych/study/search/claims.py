"""Claims: who works on what, told by locks that the system drops when their holder ends.

A process that is killed cannot give anything back, so a note of who holds what would go stale.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diptych.study.lock import try_to_lock

__all__ = ["Claim", "held"]

WAIT_SECONDS = 0.05


class Claim:
    """A lock on a file; it is given back by `release`, or by the end of the process."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def attempt(cls, path: Path) -> "Claim | None":
        """The claim, or None where another holds it, in this process or in any other.

        The file is made if need be and stays: only its lock means anything.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if try_to_lock(handle):
            return cls(handle)
        os.close(handle)
        return None

    def release(self) -> None:
        """Give it back."""
        os.close(self._handle)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Wait for a claim and hold it for as long as the block lasts."""
    while (claim := Claim.attempt(path)) is None:
        time.sleep(WAIT_SECONDS)
    try:
        yield
    finally:
        claim.release()
