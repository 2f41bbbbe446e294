"""The C library's allocator, told to keep what a training step will ask for again."""

import ctypes
import os
import platform
import sys

__all__ = ["tune_allocator", "why_allocator_stays"]


def why_allocator_stays() -> str | None:
    """Why the allocator cannot or must not be told anything here; None if it can."""
    if os.environ.get("DIPTYCH_MALLOPT") == "0":
        return "DIPTYCH_MALLOPT=0 is set"
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return "the C library is not glibc"
    return None


def tune_allocator() -> bool:
    """Tell glibc to keep and reuse large freed blocks instead of returning them to the system.

    Each training step frees and asks for the same buffers; with glibc's defaults each round trip
    is paid in page faults. It changes no arithmetic. DIPTYCH_MALLOPT=0 turns it off.

    Returns:
        True if all settings were accepted; False elsewhere than on Linux with glibc.
    """
    if why_allocator_stays() is not None:
        return False
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2  # M_* of malloc.h
    libc = ctypes.CDLL(None)
    settings = (
        (mmap_threshold, 32 << 20),
        (trim_threshold, 2**31 - 1),
        (top_pad, 64 << 20),
    )
    return all(libc.mallopt(option, value) == 1 for option, value in settings)
