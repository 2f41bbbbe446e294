"""Accuracy against cost of annealed importance sampling, where log p(x) is known.

Run from the root of the repository::

    python -m benchmarks.ais --threads 1

Probabilistic PCA of 784 dimensions, 10 latents and noise 0.1 has a closed-form log p(x).  Against
it: this package's way, a fitted Gaussian and a straight path from it, and the way of Wu et al.
2017 (arXiv 1611.04273), the prior and a sigmoid schedule.  The cost is the number of codes decoded
per image, search, curvature and preliminary runs included.  Beside it stands a start as an encoder
would give it: independent latents, means off by half a standard deviation, 1.5 times too wide.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from diptych.distributions import standard_normal
from diptych.evaluation.density.annealed import anneal, linear_schedule, sigmoid_schedule, tune
from diptych.evaluation.density.fitting import fit_gaussians
from diptych.evaluation.density.gaussians import Gaussians
from diptych.evaluation.density.joint import Joint, gaussian_observation

DIMENSIONS, LATENTS, SIGMA = 784, 10, 0.1
IMAGES, CHAINS = 16, 8


@dataclass(frozen=True)
class Row:
    """One way to estimate, at one number of temperatures."""

    name: str
    temperatures: int
    low: float
    """Nats per image below the truth, the mean over images."""
    decoded: float
    """Codes decoded per image."""
    seconds: float


class Linear:
    """x = W z + mu + noise, counting what it decodes."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        # Variance 1/12 puts log p(x) near 649 nats.
        self.weight = torch.randn(DIMENSIONS, LATENTS, generator=generator).double() / 12**0.5
        self.mean = torch.rand(DIMENSIONS, generator=generator).double()
        z = torch.randn(IMAGES, LATENTS, generator=generator).double()
        noise = torch.randn(IMAGES, DIMENSIONS, generator=generator).double()
        self.images = z @ self.weight.T + self.mean + SIGMA * noise
        self.decoded = 0

    def decode_mean(self, z: Tensor) -> Tensor:
        """W z + mu."""
        self.decoded += len(z)
        return z @ self.weight.T + self.mean

    def joint(self) -> Joint:
        """p(x, z) of the images."""
        decode = gaussian_observation(self.decode_mean, SIGMA)
        return Joint(self.images, decode, standard_normal(LATENTS, self.images))

    def log_evidence(self) -> Tensor:
        """log p(x), exact, (N,)."""
        covariance = self.weight @ self.weight.T + SIGMA**2 * torch.eye(DIMENSIONS)
        truth = MultivariateNormal(self.mean, covariance)
        exact: Tensor = truth.log_prob(self.images)  # type: ignore[no-untyped-call]
        return exact

    def encoder_like(self) -> Gaussians:
        """A start as an encoder gives it."""
        precision = torch.eye(LATENTS) + self.weight.T @ self.weight / SIGMA**2
        covariance = torch.linalg.inv(precision)
        mean = (self.images - self.mean) @ self.weight @ covariance / SIGMA**2
        std = covariance.diagonal().sqrt().expand_as(mean)
        off = torch.randn(mean.shape, generator=torch.Generator().manual_seed(9)).double()
        return Gaussians.diagonal(mean + 0.5 * std * off, 1.5 * std)


def measure(
    model: Linear, name: str, start: Callable[[], Gaussians], betas: Tensor, exact: Tensor
) -> Row:
    """Run one way, from its start to its bound."""
    model.decoded, begun = 0, time.perf_counter()
    generator = torch.Generator().manual_seed(1)
    path = tune(model.joint(), start(), betas, generator=generator)
    bounds = anneal(path, chains=CHAINS, generator=generator).bounds
    low, cost = float((exact - bounds).mean()), model.decoded / IMAGES
    return Row(name, len(betas) - 1, low, cost, time.perf_counter() - begun)


def main() -> None:
    """Print the table and the ratio of costs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=int, default=10_000, help="of the sigmoid schedule")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = Linear(arguments.seed)
    exact = model.log_evidence()
    print(
        f"exact log p(x): {float(exact.mean()):.2f} nats per image; "
        f"{IMAGES} images, {CHAINS} chains"
    )
    print(
        f"{'start':<10} {'T':>6} {'nats low':>9} {'decoded per image':>18} {'seconds':>8}",
        flush=True,
    )
    zeros = torch.zeros(IMAGES, LATENTS)
    ways = [
        ("fitted", lambda: fit_gaussians(model.joint(), zeros, steps=2), linear_schedule(t))
        for t in (2, 10)
    ]
    ways += [("encoder", model.encoder_like, linear_schedule(t)) for t in (3, 10, 30)]

    def prior() -> Gaussians:
        return Gaussians.standard(IMAGES, LATENTS)

    lengths = [t for t in (100, 300, 1000, 3000, 10_000, 30_000) if t <= arguments.longest]
    ways += [("prior", prior, sigmoid_schedule(t)) for t in lengths]
    rows = []
    for name, start, betas in ways:
        rows.append(row := measure(model, name, start, betas, exact))
        print(
            f"{row.name:<10} {row.temperatures:>6} {row.low:>9.3f} {row.decoded:>18.0f} "
            f"{row.seconds:>8.2f}",
            flush=True,
        )
    ours = [row for row in rows if row.name != "prior" and abs(row.low) < 0.5]
    classic = [row for row in rows if row.name == "prior" and abs(row.low) < 0.5]
    for name in ("fitted", "encoder"):
        cheapest = min((row.decoded for row in ours if row.name == name), default=None)
        if cheapest is None:
            print(f"{name}: never within 0.5 nats")
        elif classic:
            ratio = min(row.decoded for row in classic) / cheapest
            print(f"{name}: within 0.5 nats at 1/{ratio:.0f} of the work from the prior")
        else:
            ratio = rows[-1].decoded / cheapest
            print(
                f"{name}: within 0.5 nats at less than 1/{ratio:.0f} of the work from the prior, "
                f"which is still {rows[-1].low:.1f} low"
            )


if __name__ == "__main__":
    main()
