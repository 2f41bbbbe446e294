"""What a process holds in memory, told apart into its own and the pages of mapped files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["Memory", "above", "parsed"]


class Memory(NamedTuple):
    """Resident memory in bytes; anonymous memory includes shared memory without a file."""

    anonymous: int
    mapped: int
    peak: int
    """The most that was resident at any time, both kinds together."""

    @classmethod
    def now(cls) -> Memory:
        """Return that of this process. Linux only."""
        return parsed(Path("/proc/self/status").read_text(encoding="utf-8"))


def parsed(status: str) -> Memory:
    """Return what the text of /proc/PID/status says."""
    lines = (line.partition(":") for line in status.splitlines())
    kilobytes = {key: int(value.split()[0]) for key, _, value in lines if value.endswith("kB")}
    return Memory(
        1024 * (kilobytes["RssAnon"] + kilobytes["RssShmem"]),
        1024 * kilobytes["RssFile"],
        1024 * kilobytes["VmHWM"],
    )


def above(before: Memory, after: Memory) -> dict[str, float]:
    """Return the cells of a table: GB more than before, and the peak above what was then."""
    return {
        "anonymous, GB": (after.anonymous - before.anonymous) / 1e9,
        "mapped, GB": (after.mapped - before.mapped) / 1e9,
        "peak, GB": (after.peak - before.anonymous - before.mapped) / 1e9,
    }
