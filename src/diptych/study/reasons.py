"""Why something ended with an error, in a line."""

from diptych.errors import DiptychError

__all__ = ["in_a_line"]

LONGEST = 300
"""Characters that are kept of a message."""


def in_a_line(error: Exception) -> str:
    """What went wrong, without the traceback."""
    first = (str(error).splitlines() or [""])[0][:LONGEST]
    if isinstance(error, DiptychError):
        return first
    if isinstance(error, MemoryError) or "out of memory" in first or "allocate memory" in first:
        return f"not enough memory ({first or 'MemoryError'})"
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
