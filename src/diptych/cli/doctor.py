"""`diptych doctor`."""

import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from rich.table import Table

from diptych import __version__
from diptych.cli.console import format_number, print_json, print_table, stdout
from diptych.cli.options import JsonOutput

if TYPE_CHECKING:
    from diptych.training.peaks import Peaks
    from diptych.training.plan import ExecutionPlan

__all__ = ["doctor"]

PACKAGES = ("torch", "lightning-fabric", "numpy", "pillow", "pydantic", "safetensors", "typer")
PEAK_SECONDS = 2.0
"""Spent on the peaks of each number of threads."""

PRODUCTS = {
    "gemm_fp32": "GEMM, fp32, torch.mm",
    "gemm_fp32_onednn": "GEMM, fp32, oneDNN linear",
    "gemm_bf16": "GEMM, bf16",
    "conv_fp32": "3 x 3 convolution, fp32",
    "conv_bf16": "3 x 3 convolution, bf16",
}


def doctor(json: JsonOutput = False) -> None:
    """Say what this machine has, how fast it is, what would be used and why; for bug reports."""
    import torch

    from diptych.data import cache_root, is_offline, load_data
    from diptych.models.build import build
    from diptych.training.machine import processor_name
    from diptych.training.peaks import measure_peaks
    from diptych.training.plan import ExecutionPlan

    everything = torch.get_num_threads()
    plan = ExecutionPlan.choose()
    if plan.device == "cpu":
        peaks = [
            measure_peaks(threads=threads, seconds=PEAK_SECONDS)
            for threads in sorted({1, everything})
        ]
    else:
        peaks = [measure_peaks(device=plan.device, seconds=PEAK_SECONDS)]
    mini = load_data("fashion-mini")
    for name in ("vae", "gan"):
        build(name, mini).eval().sample(2, seed=0)
    facts: dict[str, Any] = {
        "diptych": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        **{name: metadata.version(name) for name in PACKAGES},
        "cache": str(cache_root()),
        "offline": is_offline(),
        "fashion-mini": f"{len(mini.array):,} images",
        "models": "a VAE and a GAN were built and sampled",
        "executable": sys.executable,
    }
    if json:
        print_json(
            {
                **facts,
                "plan": plan.to_dict(),
                "peaks_gflops": [each.to_dict() for each in peaks],
            }
        )
        return
    _print_facts({**facts, "plan": str(plan)})
    _print_plan(plan)
    _print_peaks(peaks)


def _print_facts(facts: Mapping[str, Any]) -> None:
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        stdout.print(f"{name:<{width}}  {value}")


def _print_plan(plan: "ExecutionPlan") -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("plan", "chosen", "why"):
        table.add_column(column, overflow="fold")
    for name, reason in plan.reasons.items():
        table.add_row(name.replace("_", " "), str(getattr(plan, name)), reason)
    stdout.print()
    print_table(table)


def _print_peaks(peaks: "Sequence[Peaks]") -> None:
    """A row per product, a column per number of threads, in GFLOP/s."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("peak, GFLOP/s")
    for each in peaks:
        on_cpu = f"{each.threads} thread" + ("s" if each.threads > 1 else "")
        table.add_column(on_cpu if each.device == "cpu" else each.device, justify="right")
    for field, product in PRODUCTS.items():
        table.add_row(product, *(format_number(getattr(each, field)) for each in peaks))
    stdout.print()
    print_table(table)
