"""Precision, recall, density and coverage: ours against the prdc package, taken in turns.

    python -m benchmarks.prdc_speed [--n 10000] [--d 2048] [--rounds 2] [--threads 2]
    python -m benchmarks.prdc_speed --alone --n 50000      ours only, and its peak memory

Both use k = 5 and must agree to every digit. prdc gets the same features in float64: from float32
it keeps distances in float32, which can move a count by a pair or two. Targets: twice the speed
at 10,000 x 2048, and 4 GB at 50,000 x 2048. Needs prdc, unless alone.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import torch

from benchmarks.panel import synthetic
from diptych.evaluation.fidelity.neighbours import Balls, Containment, Nearest
from diptych.evaluation.fidelity.pairs import prepare, sweep


def ours(real: torch.Tensor, fake: torch.Tensor, k: int = 5) -> dict[str, float]:
    """Return the four figures from three sweeps, balls open as in prdc."""
    x, y = prepare(real, fake)
    balls = []
    for points in (x, y):
        nearest = Nearest(points, k)
        sweep(points, None, [nearest])
        balls.append(Balls(nearest.squared()[:, k - 1], closed=False))
    counts = Containment(x, y, {"real": balls[0]}, {"fake": balls[1]})
    sweep(x, y, [counts])
    return {
        "precision": float((counts.around_y["real"] > 0).double().mean()),
        "recall": float((counts.around_x["fake"] > 0).double().mean()),
        "density": float(counts.around_y["real"].double().mean()) / k,
        "coverage": float((counts.in_x["real"] > 0).double().mean()),
    }


def peak_gb() -> float:
    """Return the most memory that this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    n, d = arguments.n, arguments.d
    if arguments.alone:
        # Without the making of features, whose temporaries are not ours.
        real, fake = (
            torch.empty(n, d).normal_(generator=torch.Generator().manual_seed(seed))
            for seed in (1, 2)
        )
        before, start, cpu = peak_gb(), time.perf_counter(), time.process_time()
        print(ours(real, fake))
        print(
            f"{n} x {d}: {time.perf_counter() - start:.0f} s "
            f"({time.process_time() - cpu:.0f} s of processor time), peak {peak_gb():.2f} GB, "
            f"of which {before:.2f} GB were torch and both sets"
        )
        return
    import prdc

    real, fake = synthetic(n, d, 1), synthetic(n, d, 2, 0.01)
    double = real.double().numpy(), fake.double().numpy()
    ratios = []
    for turn in range(arguments.rounds):
        start = time.perf_counter()
        mine = ours(real, fake)
        middle = time.perf_counter()
        theirs = prdc.compute_prdc(*double, nearest_k=5)
        end = time.perf_counter()
        ratios.append((end - middle) / (middle - start))
        equal = all(abs(mine[name] - float(theirs[name])) < 1e-9 for name in mine)
        print(
            f"{turn}: ours {middle - start:.2f} s, prdc {end - middle:.2f} s: "
            f"{ratios[-1]:.1f} times; equal digits: {equal}; {mine}"
        )
    print(f"median: {statistics.median(ratios):.1f} times; peak {peak_gb():.2f} GB")


if __name__ == "__main__":
    main()
