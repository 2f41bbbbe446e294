"""The speed plan: what is chosen for the machine, printed in one line and recorded in the run."""

import ctypes
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from diptych.errors import DiptychError

__all__ = [
    "SpeedPlan",
    "cpu_has_bf16",
    "fastest_thread_count",
    "processor_name",
    "tune_allocator",
]

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class SpeedPlan:
    """How the same arithmetic is run on this machine."""

    device: str
    """"cpu", "cuda" or "mps"."""
    precision: Literal["fp32", "bf16"]
    """bf16: networks under autocast, weights and losses stay in single precision."""
    threads: int
    channels_last: bool = True
    allocator: str = "default"
    """"mallopt" where glibc was told to keep freed memory."""

    @classmethod
    def choose(
        cls,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
    ) -> "SpeedPlan":
        """Pick what this machine does best.

        Args:
            device: "auto", "cpu", "cuda" or "mps".
            precision: "auto" takes bf16 where the processor computes in it natively.
            threads: None races one thread against all; a resumed run names what it began with,
                because the order of a sum, and so its last bit, depends on it.

        Raises:
            DiptychError: if the device that was asked for is not there.
        """
        chosen = _choose_device(device)
        if precision == "auto":
            native = cpu_has_bf16() if chosen == "cpu" else chosen == "cuda"
            precision = "bf16" if native else "fp32"
        allocator = "mallopt" if tune_allocator() else "default"
        if chosen == "cpu":
            torch.set_num_threads(threads or fastest_thread_count())
        return cls(
            device=chosen,
            precision=precision,
            threads=torch.get_num_threads(),
            allocator=allocator,
        )

    def to_dict(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)

    def __str__(self) -> str:
        plural = "" if self.threads == 1 else "s"
        return f"{self.device}, {self.precision}, {self.threads} thread{plural}"


def _choose_device(device: str) -> str:
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if device not in available:
        raise DiptychError(f"device {device!r} is unknown; allowed: auto, {', '.join(available)}")
    if not available[device]:
        raise DiptychError(f"device {device!r} is not available here; use --device auto or cpu")
    return device


def cpu_has_bf16() -> bool:
    """True where the processor multiplies in bfloat16 itself, rather than emulating it."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def fastest_thread_count(seconds: float = 0.25) -> int:
    """All of torch's threads, or one, whichever does more convolutions in a short probe.

    On a machine that is busy with something else, threads wait for each other at every barrier
    and all cores together can be many times slower than one. torch's own number
    (OMP_NUM_THREADS) is the upper limit and is restored afterwards.

    Args:
        seconds: how long each of the two is tried.
    """
    everything = torch.get_num_threads()
    if everything == 1:
        return 1
    images = torch.zeros(64, 32, 14, 14).to(memory_format=torch.channels_last)
    weights = torch.zeros(64, 32, 3, 3).to(memory_format=torch.channels_last)
    rates: dict[int, float] = {}
    try:
        with torch.inference_mode():
            for threads in (1, everything):
                torch.set_num_threads(threads)
                torch.conv2d(images, weights, padding=1)  # the first call sets the threads up
                count, start = 0, time.perf_counter()
                while (elapsed := time.perf_counter() - start) < seconds:
                    torch.conv2d(images, weights, padding=1)
                    count += 1
                rates[threads] = count / elapsed
    finally:
        torch.set_num_threads(everything)
    return max(rates, key=lambda threads: rates[threads])


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


def tune_allocator() -> bool:
    """Tell glibc to keep and reuse large freed blocks instead of returning them to the system.

    Each training step frees and asks for the same buffers; with glibc's defaults each round trip
    is paid in page faults. It changes no arithmetic. DIPTYCH_MALLOPT=0 turns it off.

    Returns:
        True if all settings were accepted; False elsewhere than on Linux with glibc.
    """
    if sys.platform != "linux" or os.environ.get("DIPTYCH_MALLOPT") == "0":
        return False
    if platform.libc_ver()[0] != "glibc":
        return False
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2  # M_* of malloc.h
    libc = ctypes.CDLL(None)
    settings = (
        (mmap_threshold, 32 << 20),
        (trim_threshold, 2**31 - 1),
        (top_pad, 64 << 20),
    )
    return all(libc.mallopt(option, value) == 1 for option, value in settings)
