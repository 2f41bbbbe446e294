"""Time panel 1 on synthetic features, part by part, floors included.

    python -m benchmarks.panel [--n 10000] [--d 2048] [--threads 2]

Features are taken as given: what a network needs to make them is not in it. The target is 30 s at
10,000 x 2048 on two idle cores.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import torch

from diptych.evaluation.extractors.features import PointFeatures
from diptych.evaluation.fidelity.panel import fidelity_panel
from diptych.evaluation.sets import Sets
from diptych.training.allocator import tune_allocator


def synthetic(n: int, d: int, seed: int, drift: float = 0.0) -> torch.Tensor:
    """Return ReLU-like features with a decaying spectrum, (n, d) float32."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(d // 8, d, generator=generator) / (d // 8) ** 0.5
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(n, d // 8, generator=generator) * (1 + drift)
    noise = torch.randn(n, d, generator=generator)
    return (latent @ mix + 0.3 * noise + drift).relu()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    tune_allocator()  # as the command line does
    torch.set_num_threads(arguments.threads)
    n, d = arguments.n, arguments.d
    described = Sets(synthetic(n, d, 1, 0.1), synthetic(n, d, 2), synthetic(n, d, 3))
    with tempfile.TemporaryDirectory() as folder:
        for title in ("with its floors", "floors kept from before"):
            marks: list[tuple[str, float, float]] = []

            def mark(
                what: str, done: int, total: int, marks: list[tuple[str, float, float]] = marks
            ) -> None:
                marks.append((what, time.perf_counter(), time.process_time()))

            figures = fidelity_panel(
                described,
                extractor=PointFeatures(),
                base={},
                cache_dir=Path(folder),
                progress=mark,
            )
            print(title)
            for (what, wall, cpu), (_, wall_end, cpu_end) in itertools.pairwise(marks):
                taken, busy = wall_end - wall, cpu_end - cpu
                print(f"  {what:36s} {taken:7.2f} s  ({busy:7.2f} s of processor time)")
            wall, cpu = (marks[-1][i] - marks[0][i] for i in (1, 2))
            print(f"  {f'panel 1, {n} x {d}':36s} {wall:7.2f} s  ({cpu:7.2f} s of processor time)")
    for figure in figures:
        bar = "" if figure.low is None else f"[{figure.low:.5g}, {figure.high:.5g}]"
        print(f"  {figure.name:38s} {figure.value:10.5g} {bar:24s} floor {figure.floor:.5g}")


if __name__ == "__main__":
    main()
