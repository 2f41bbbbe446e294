"""Fréchet distance from moments: ours against the scipy.linalg.sqrtm form, taken in turns.

    python -m benchmarks.frechet [--n 10000] [--d 2048] [--rounds 3] [--threads 2]

Both get the same means and covariances. The target is 10 times at 10,000 x 2048. Needs scipy.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg
import torch

from benchmarks.panel import synthetic
from diptych.evaluation.fidelity.frechet import frechet_distance, moments

Moments = tuple[torch.Tensor, torch.Tensor]


def by_sqrtm(x: Moments, y: Moments) -> float:
    """Return d² with the matrix square root, as most packages take it."""
    (mu1, sigma1), (mu2, sigma2) = ((a.numpy(), b.numpy()) for a, b in (x, y))
    root = np.real(scipy.linalg.sqrtm(sigma1 @ sigma2))
    gap = mu1 - mu2
    return float(gap @ gap + np.trace(sigma1) + np.trace(sigma2) - 2 * np.trace(root))


def timed(work: Callable[[], float]) -> tuple[float, float, float]:
    """Return the value, and the seconds of wall clock and of processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = work()
    return value, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    x = moments(synthetic(arguments.n, arguments.d, 1))
    y = moments(synthetic(arguments.n, arguments.d, 2, 0.1))
    ratios = []
    for turn in range(arguments.rounds):
        ours, our_wall, our_cpu = timed(lambda: frechet_distance(*x, *y))
        theirs, their_wall, their_cpu = timed(lambda: by_sqrtm(x, y))
        ratios.append(their_wall / our_wall)
        print(
            f"{turn}: ours {ours:.9f} in {our_wall:.2f} s ({our_cpu:.2f} s of processor time), "
            f"sqrtm {theirs:.9f} in {their_wall:.2f} s ({their_cpu:.2f} s): {ratios[-1]:.1f} times"
        )
    print(f"median: {statistics.median(ratios):.1f} times")


if __name__ == "__main__":
    main()
