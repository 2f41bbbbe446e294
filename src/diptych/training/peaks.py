"""How fast this machine multiplies at best: what the speed of a training step is held against."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.networks.onednn import onednn_linear, onednn_linear_works
from diptych.training.machine import cpu_has_bf16

__all__ = ["Kernel", "Peaks", "kernels", "measure_peaks"]

SIDE = {"cpu": 1024, "cuda": 8192, "mps": 2048}
"""Of the square matrices."""
BATCH = {"cpu": 32, "cuda": 1024, "mps": 128}
"""Images of the convolution: 256 channels of 16 x 16 to as many, 3 x 3."""
CHANNELS, IMAGE = 256, 16
GIGA = 1e9


@dataclass(frozen=True)
class Kernel:
    """A product to be timed."""

    name: str
    """A field of `Peaks`."""
    flops: int
    """Floating-point operations of one call; a multiplication and an addition are two."""
    call: Callable[[], Tensor]


@dataclass(frozen=True)
class Peaks:
    """The best rate of each product, in GFLOP/s; None where this machine has no such way."""

    device: str
    threads: int
    gemm_fp32: float | None = None
    """torch.mm of square matrices; on a CPU this is MKL."""
    gemm_fp32_onednn: float | None = None
    """The same product through oneDNN's linear."""
    gemm_bf16: float | None = None
    conv_fp32: float | None = None
    """A 3 x 3 convolution forward, channels last."""
    conv_bf16: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure_peaks(*, threads: int = 1, seconds: float = 2.0, device: str = "cpu") -> Peaks:
    """Time the products in turns and keep the best call of each.

    The best, because a peak is what the machine can do when nothing disturbs it.

    Args:
        threads: of the CPU; torch's number is restored afterwards.
        seconds: for all products together, a little more where calls are long.
        device: "cpu", "cuda" or "mps".
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode(), _whole_fp32(device):
            timed = kernels(device)
            best = {kernel.name: 0.0 for kernel in timed}
            for kernel in timed:
                kernel.call()  # the first call sets up threads, workspaces and algorithms
            _wait_for(device)
            end = time.perf_counter() + seconds
            while True:
                for kernel in timed:
                    start = time.perf_counter()
                    kernel.call()
                    _wait_for(device)
                    rate = kernel.flops / (time.perf_counter() - start)
                    best[kernel.name] = max(best[kernel.name], rate / GIGA)
                if time.perf_counter() >= end:
                    break
    finally:
        torch.set_num_threads(before)
    return Peaks(device=device, threads=threads, **best)


def kernels(device: str = "cpu") -> list[Kernel]:
    """The products that this device computes natively."""
    random = torch.Generator().manual_seed(0)
    n, images = SIDE[device], BATCH[device]
    a = torch.randn(n, n, generator=random).to(device)
    b = torch.randn(n, n, generator=random).to(device)
    x = torch.randn(images, CHANNELS, IMAGE, IMAGE, generator=random).to(device)
    w = torch.randn(CHANNELS, CHANNELS, 3, 3, generator=random).to(device)
    x, w = (t.to(memory_format=torch.channels_last) for t in (x, w))
    gemm = 2 * n**3
    conv = 2 * images * CHANNELS * IMAGE**2 * CHANNELS * 3**2
    found = [
        Kernel("gemm_fp32", gemm, lambda: torch.mm(a, b)),
        Kernel("conv_fp32", conv, lambda: F.conv2d(x, w, padding=1)),
    ]
    if device == "cpu" and onednn_linear_works():
        found.append(Kernel("gemm_fp32_onednn", gemm, lambda: onednn_linear(a, b, None)))
    if cpu_has_bf16() if device == "cpu" else device == "cuda":
        a16, b16, x16, w16 = (t.bfloat16() for t in (a, b, x, w))
        found.append(Kernel("gemm_bf16", gemm, lambda: torch.mm(a16, b16)))
        found.append(Kernel("conv_bf16", conv, lambda: F.conv2d(x16, w16, padding=1)))
    return found


def _wait_for(device: str) -> None:
    """A GPU answers before it has computed."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


@contextmanager
def _whole_fp32(device: str) -> Iterator[None]:
    """On a GPU fp32 is fp32 here, not the TF32 that a plan may allow."""
    if device != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
