"""How the Fréchet distance of one pair of Gaussians moves with the number of items.

    python -m benchmarks.bias [--d 2048] [--seed 0]

N(0, I) against N(0.01, 1.1 I) in D dimensions, whose distance is known in closed form. It prints
the distance measured at several N, and FD-infinity.
"""

from __future__ import annotations

import argparse

import torch

from diptych.evaluation.fidelity.frechet import frechet_between
from diptych.evaluation.fidelity.frechet_infinity import Blocks, frechet_infinity

SHIFT, VARIANCE = 0.01, 1.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    d, generator = arguments.d, torch.Generator().manual_seed(arguments.seed)
    print(f"truth {d * (SHIFT**2 + (VARIANCE**0.5 - 1) ** 2):.3f}, D = {d}")
    for n in (500, 1_000, 2_000, 5_000, 10_000):
        x = torch.randn(n, d, generator=generator)
        y = SHIFT + VARIANCE**0.5 * torch.randn(n, d, generator=generator)
        print(f"N = {n:6,}: {frechet_between(x, y):.2f}")
    limit = frechet_infinity(Blocks(x, generator=generator), Blocks(y, generator=generator))
    print(f"FD-infinity of the last: {limit.value:.2f}{'' if limit.trusted else ' (?)'}")


if __name__ == "__main__":
    main()
