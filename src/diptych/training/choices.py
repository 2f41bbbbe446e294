"""One choice per element of the execution plan: a value, and the reason for it.

What is asked for wins and is refused where it cannot be had. What a run began with is kept where
it can be had. The rest is what was measured to be fastest; docs/performance.md has the figures.
"""

import importlib.util
import os
from typing import Literal

import torch

from diptych.errors import DiptychError
from diptych.networks.onednn import onednn_linear_works
from diptych.training.allocator import tune_allocator, why_allocator_stays
from diptych.training.machine import (
    available_devices,
    cpp_compiler,
    cpu_has_bf16,
    processor_name,
)
from diptych.training.onednn import onednn_speedup
from diptych.training.threads import fastest_thread_count
from diptych.training.wishes import Wishes

__all__ = [
    "choose_allocator",
    "choose_compile",
    "choose_device",
    "choose_layers",
    "choose_linear",
    "choose_memory_format",
    "choose_precision",
    "choose_threads",
]

ASKED = "asked for"
BEGUN = "as the run began"
CLEARLY = 1.15
"""A gain below this is not taken: noise must not decide between two equal ways."""


def choose_device(wishes: Wishes) -> tuple[str, str]:
    """The device, of which there are as many as are asked for.

    Raises:
        DiptychError: if it is not there, or not so many times.
    """
    available = available_devices()
    if wishes.device == "auto":
        device = next(name for name in ("cuda", "mps", "cpu") if available[name])
        reason = "torch finds no GPU" if device == "cpu" else "a GPU is here"
    else:
        device, reason = wishes.device, ASKED
    if not available[device]:
        raise DiptychError(f"device {device!r} is not available here; use --device auto or cpu")
    if device != "cpu" and wishes.devices > available[device]:
        raise DiptychError(
            f"{wishes.devices} devices were asked for and this machine has {available[device]} "
            f"of {device}; use --devices {available[device]}, or --device cpu"
        )
    return device, reason


def choose_precision(
    wishes: Wishes, begun: Wishes | None, device: str, *, points: bool
) -> tuple[Literal["fp32", "bf16"], str]:
    """bf16 where it is computed natively; points stay in single precision."""
    if wishes.precision != "auto":
        return wishes.precision, ASKED
    if begun is not None and begun.precision != "auto":
        return begun.precision, BEGUN
    if points:
        return "fp32", "bfloat16 has steps of 0.008 at 1, too coarse for coordinates"
    if device == "cpu":
        if cpu_has_bf16():
            return "bf16", "this processor multiplies in bfloat16; weights and losses stay fp32"
        return "fp32", "this processor does not multiply in bfloat16"
    if device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16", "this GPU multiplies in bfloat16; weights and losses stay fp32"
    return "fp32", f"bfloat16 is not native to this {device} device"


def choose_threads(wishes: Wishes, begun: Wishes | None, device: str) -> tuple[int, str]:
    """Threads of each worker: all of its share, or one, by a short probe.

    Raises:
        DiptychError: for many more than there are processors: they would wait for each other.
    """
    processors = os.cpu_count() or 1
    bearable = max(4, 2 * processors)
    if wishes.threads is not None:
        if wishes.threads > bearable:
            raise DiptychError(
                f"threads {wishes.threads} are too many for {processors} processors; "
                f"use at most {bearable}"
            )
        return wishes.threads, ASKED
    torchs = torch.get_num_threads()
    most = max(1, torchs // wishes.devices)
    if begun is not None and begun.threads is not None and begun.threads <= bearable:
        if wishes.devices == 1:
            return begun.threads, BEGUN
        return min(begun.threads, most), f"as the run began, at most {most} for each worker"
    share = f"its share of {torchs} for {wishes.devices} workers" if wishes.devices > 1 else ""
    if most == 1:
        return 1, share or "torch was given one (cores, or OMP_NUM_THREADS)"
    if device != "cpu":
        return most, share or "all: the device computes"
    fastest = fastest_thread_count(most=most)
    if fastest == 1:
        return 1, f"{most} gain nothing in a short probe: the cores are busy or shared"
    return fastest, f"faster than 1 in a short probe{', ' + share if share else ''}"


def choose_memory_format(
    wishes: Wishes, begun: Wishes | None
) -> tuple[Literal["channels_last", "contiguous"], str]:
    """Layout of images and of convolutions' weights."""
    if wishes.memory_format != "auto":
        return wishes.memory_format, ASKED
    if begun is not None and begun.memory_format != "auto":
        return begun.memory_format, BEGUN
    return "channels_last", "convolutions are faster in it than in N, C, H, W"


def choose_allocator(wishes: Wishes) -> tuple[Literal["mallopt", "default"], str]:
    """Whether glibc keeps freed memory; if so it has been told when this returns.

    Raises:
        DiptychError: if mallopt was asked for and cannot be had.
    """
    if wishes.allocator == "default":
        return "default", ASKED
    obstacle = why_allocator_stays()
    if obstacle is None and not tune_allocator():
        obstacle = "glibc did not accept the settings"
    if obstacle is None:
        asked = wishes.allocator == "mallopt"
        return "mallopt", ASKED if asked else "freed buffers are kept for the next step"
    if wishes.allocator == "mallopt":
        raise DiptychError(
            f"allocator 'mallopt' cannot be had: {obstacle}; use --allocator default"
        )
    return "default", obstacle


def choose_layers(
    wishes: Wishes, begun: Wishes | None, device: str, compile_: str
) -> tuple[Literal["faster", "stock"], str]:
    """Whether plain layers are computed in the forms of networks/faster.py.

    Raises:
        DiptychError: if they were asked for where there are none.
    """
    if wishes.layers == "stock":
        return "stock", ASKED
    if wishes.layers == "auto" and begun is not None and begun.layers == "stock":
        return "stock", BEGUN
    obstacle = None
    if device != "cpu":
        obstacle = f"faster forms are for the CPU, and the device is {device}"
    elif compile_ != "off":
        obstacle = "compiled layers have forms of their own"
    if wishes.layers == "faster":
        if obstacle is not None:
            raise DiptychError(f"layers 'faster' cannot be had: {obstacle}; use --layers stock")
        return "faster", ASKED
    if obstacle is not None:
        return "stock", obstacle
    if begun is not None and begun.layers == "faster":
        return "faster", BEGUN
    return "faster", "the same sums of a convolution, in the order a CPU computes fastest"


def choose_linear(
    wishes: Wishes, begun: Wishes | None, device: str, precision: str, compile_: str
) -> tuple[Literal["onednn", "default"], str]:
    """Which library multiplies in fp32 linear layers; call it with the threads of the plan set.

    Raises:
        DiptychError: if oneDNN was asked for and cannot be had.
    """
    if wishes.linear == "default":
        return "default", ASKED
    began = begun is not None and begun.linear != "auto"
    if wishes.linear == "auto" and began and begun is not None and begun.linear == "default":
        return "default", BEGUN
    obstacle = None
    if device != "cpu":
        obstacle = f"oneDNN is for the CPU, and the device is {device}"
    elif compile_ != "off":
        obstacle = "compiled layers choose their own products"
    elif not onednn_linear_works():
        obstacle = "this build of torch has no working oneDNN linear"
    if wishes.linear == "onednn":
        if obstacle is not None:
            raise DiptychError(f"linear 'onednn' cannot be had: {obstacle}; use --linear default")
        return "onednn", ASKED
    if obstacle is not None:
        return "default", obstacle
    if began:
        return "onednn", BEGUN
    if precision == "bf16":
        return "default", "bf16 products go through oneDNN anyway"
    gain = onednn_speedup()
    if gain >= CLEARLY:
        return "onednn", f"{gain:.1f} times as fast as torch's own fp32 linear in a short probe"
    if "AMD" in processor_name() and gain > 1 / CLEARLY:
        # Not by the clock alone, or two runs of one seed would differ as the load changes.
        return (
            "onednn",
            "torch's own fp32 products take a slow path on AMD; busy cores hide it now",
        )
    return "default", f"oneDNN is {gain:.2f} times as fast in a short probe: no clear gain"


def choose_compile(
    wishes: Wishes, begun: Wishes | None, device: str
) -> tuple[Literal["off", "default", "reduce-overhead", "max-autotune"], str]:
    """Off unless asked for.

    Raises:
        DiptychError: if it was asked for and what it needs is not installed.
    """
    if wishes.compile == "off":
        return "off", ASKED
    obstacle = _why_not_compiled(device)
    if wishes.compile != "auto":
        if obstacle is not None:
            raise DiptychError(
                f"compile {wishes.compile!r} cannot be had: {obstacle}; use --compile off"
            )
        return wishes.compile, ASKED
    if begun is not None and begun.compile != "auto" and begun.compile != "off":
        return ("off", obstacle) if obstacle is not None else (begun.compile, BEGUN)
    if device == "cpu":
        return "off", "half a minute to compile and no steady gain on a CPU"
    return "off", "its gain was not measured on a GPU yet"


def _why_not_compiled(device: str) -> str | None:
    if device == "cpu" and cpp_compiler() is None:
        return "it needs a C++ compiler (g++ or the one in CXX), and there is none"
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        return "it needs the package triton, which is not installed"
    return None
