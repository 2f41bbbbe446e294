"""Facts about the machine that a plan is chosen from."""

import os
import platform
import shutil
import sys

import torch

__all__ = ["available_devices", "cpp_compiler", "cpu_has_bf16", "processor_name"]


def available_devices() -> dict[str, int]:
    """How many of each kind of device torch can compute on; 0 where there is none."""
    return {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }


def cpu_has_bf16() -> bool:
    """True where the processor multiplies in bfloat16 itself, rather than emulating it."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def cpp_compiler() -> str | None:
    """The path of the C++ compiler torch.compile would call for CPU code; None if there is none.

    The same rule as torch's own (the variable CXX, else the platform's usual name), because
    asking torch means importing its compiler, which takes seconds.
    """
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX") or usual)


def processor_name() -> str:
    """The processor as its maker calls it, or the architecture where that is not told."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:  # noqa: PTH123 - not a real file
            for line in info:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()
