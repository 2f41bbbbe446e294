"""The observation noise under which a decoder without a likelihood explains validation images."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from diptych.errors import DataError
from diptych.evaluation.density.annealed import anneal, linear_schedule, tune
from diptych.evaluation.density.fitting import climb, fit_gaussians
from diptych.evaluation.density.joint import Joint, gaussian_observation
from diptych.evaluation.sets import Progress, silent

__all__ = ["NoiseScale", "fit_noise_scale"]

RATIO = 2**0.25
"""Between neighbouring sigmas of the curve."""
MOST = 13
"""Sigmas tried."""
SMALLEST = 1e-3
"""Of the range of x: less than the noise of dequantization."""
TEMPERATURES, CHAINS = 20, 4


@dataclass(frozen=True)
class NoiseScale:
    """A curve and its maximum.

    Attributes:
        sigma: the chosen standard deviation, in units of x.
        sigmas: those tried, rising.
        nats: the mean estimate of log p(x) at each, nats per image.
    """

    sigma: float
    sigmas: tuple[float, ...]
    nats: tuple[float, ...]


def fit_noise_scale(
    decode_mean: Callable[[Tensor], Tensor],
    images: Tensor,
    starts: Tensor,
    prior: Distribution,
    *,
    generator: torch.Generator,
    steps: int = 300,
    heat: float = 36.0,
    progress: Progress = silent,
) -> NoiseScale:
    """Choose the sigma of N(x; G(z), sigma² I) that makes images most probable.

    The first sigma is the root mean squared error of the codes found; from there a geometric grid
    grows on the side that rises, each point a short annealed run, until the maximum has a lower
    neighbour on either side. A parabola in log sigma through these three gives the answer.

    Args:
        decode_mean: G, codes (B, L) to (B, *event).
        images: validation images, (N, *event); not those that are reported on.
        starts: of the search for codes, (R, N, L).
        prior: N(0, I), event (L,).
        generator: of all noise.
        steps: of the search, see `climb`.
        heat: of the search.
        progress: told how far the work is.

    Raises:
        DataError: the decoder's output is not finite.

    Source: Wu et al. 2017, arXiv 1611.04273, which took sigma from a few by hand.
    """

    def joint_at(sigma: float) -> Joint:
        return Joint(images, gaussian_observation(decode_mean, sigma), prior)

    def error_of(codes: Tensor) -> float:
        with torch.no_grad():
            decoded = decode_mean(codes.to(images.dtype))
        error = float((decoded - images).double().square().mean().sqrt())
        if not math.isfinite(error):
            raise DataError("The decoder's output is not finite; the model has failed.")
        return max(error, SMALLEST)

    # Twice, because the first search does not know the noise; it takes half the data's spread.
    half = max(0.5 * float(images.double().std(correction=0)), SMALLEST)
    codes = climb(joint_at(half), starts, steps=steps // 3, heat=1.0)
    sigma = error_of(codes)
    starts = torch.cat([codes[None], starts[1:].double()])
    codes = climb(joint_at(sigma), starts, steps=steps, heat=heat, progress=progress)
    first = error_of(codes)

    tried: dict[int, float] = {}

    def nats_at(place: int) -> float:
        if place not in tried:
            joint = joint_at(first * RATIO**place)
            start = fit_gaussians(joint, codes, steps=2)
            path = tune(joint, start, linear_schedule(TEMPERATURES), generator=generator)
            bounds = anneal(path, chains=CHAINS, generator=generator).bounds
            tried[place] = float(bounds.mean())
            progress("fitting sigma", len(tried), MOST)
        return tried[place]

    best = max((0, 2), key=nats_at)
    while len(tried) < MOST:
        missing = [side for side in (best - 1, best + 1) if side not in tried]
        if not missing:
            break
        for side in missing:
            nats_at(side)
        best = max(tried, key=tried.__getitem__)
    places = sorted(tried)
    sigmas = tuple(first * RATIO**place for place in places)
    return NoiseScale(
        first * RATIO ** _peak(tried, best), sigmas, tuple(tried[place] for place in places)
    )


def _peak(curve: dict[int, float], best: int) -> float:
    """Where the parabola through the best place and its neighbours has its top."""
    if best - 1 not in curve or best + 1 not in curve:
        return float(best)
    left, right = curve[best] - curve[best - 1], curve[best + 1] - curve[best]
    return best + (0.5 * (left + right) / (left - right) if left > right else 0.0)
