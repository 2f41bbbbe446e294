"""The instruments of this panel brought to a model: its codes, its paths, its noise."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from diptych.distributions import standard_normal
from diptych.evaluation.density.annealed import Path, anneal, linear_schedule, settle, tune
from diptych.evaluation.density.bidirectional import Bidirectional, bidirectional, simulate
from diptych.evaluation.density.elbo import dequantized
from diptych.evaluation.density.fitting import climb, fit_gaussians
from diptych.evaluation.density.gaussians import Gaussians, draw
from diptych.evaluation.density.joint import Decode, Joint
from diptych.evaluation.density.noise_scale import NoiseScale, fit_noise_scale
from diptych.evaluation.sets import Progress
from diptych.models import VAE, Game

__all__ = [
    "SETTINGS",
    "SETTLINGS",
    "Effort",
    "Settings",
    "at_rest",
    "both_bounds",
    "encoder_posterior",
    "generator_of",
    "noise_curve",
    "prior_of",
]

Effort = Literal["quick", "full"]


SETTLINGS = 2
"""Times the start is moved to where preliminary chains end."""


@dataclass(frozen=True)
class Settings:
    """How much work is done; all of it is in the protocols."""

    validation: int
    images: int
    simulated: int
    chains: int
    temperatures: int
    leapfrogs: int
    starts: int
    search: int
    samples: int
    sampled: int


SETTINGS: dict[Effort, Settings] = {
    "quick": Settings(8, 16, 8, 4, 120, 4, 4, 300, 500, 64),
    "full": Settings(64, 100, 50, 16, 500, 5, 16, 600, 5_000, 200),
}


def both_bounds(
    model: Game,
    decode: Decode,
    images: Tensor,
    seed: int,
    settings: Settings,
    progress: Progress,
) -> tuple[Tensor, Bidirectional]:
    """Lower bounds on images, and both bounds on images the model made."""
    betas = linear_schedule(settings.temperatures)
    joint = Joint(images, decode, prior_of(model, images))

    def path_of(x: Tensor, generator: torch.Generator) -> Path:
        mine = joint.of(x)
        steps, heat = (settings.search, 36.0) if _searches(model) else (50, 1.0)
        starts = _starts(model, x, settings, generator)
        codes = climb(mine, starts, steps=steps, heat=heat, progress=progress)
        start = fit_gaussians(mine, codes, steps=5)
        for _ in range(SETTLINGS):
            start = settle(
                mine,
                start,
                linear_schedule(max(1, settings.temperatures // 3)),
                generator=generator,
                leapfrogs=settings.leapfrogs,
                progress=progress,
            )
        return tune(
            mine,
            start,
            betas,
            generator=generator,
            leapfrogs=settings.leapfrogs,
            progress=progress,
        )

    generator = generator_of(seed, 1)
    path = path_of(images, generator)
    lower = anneal(path, chains=settings.chains, generator=generator, progress=progress)
    generator = generator_of(seed, 2)
    codes = draw((settings.simulated, model.latent_dim), generator, images).to(images)
    both = bidirectional(
        codes,
        simulate(decode, codes, seed=seed),
        lambda x: path_of(x, generator),
        chains=settings.chains,
        generator=generator,
        progress=progress,
    )
    return lower.bounds, both


def noise_curve(
    model: Game, validation: Tensor, seed: int, settings: Settings, progress: Progress
) -> NoiseScale:
    """The curve of `fit_noise_scale` for a model: on as many validation items as are asked."""
    some = validation[: settings.validation]
    if model.is_image:
        some = dequantized(some, seed=seed + 1)
    generator = generator_of(seed, 3)
    return fit_noise_scale(
        model.decode_mean,
        some,
        _starts(model, some, settings, generator),
        prior_of(model, some),
        generator=generator,
        steps=settings.search if _searches(model) else 50,
        heat=36.0 if _searches(model) else 1.0,
        progress=progress,
    )


def _searches(model: Game) -> bool:
    """Whether codes must be searched from nowhere, for want of an encoder."""
    return not isinstance(model, VAE)


def _starts(model: Game, images: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
    """Where searches begin, (R, N, L): the encoder's mean and 0, or small random codes."""
    if isinstance(model, VAE):
        mean = encoder_posterior(model, images).mean
        return torch.stack([mean, torch.zeros_like(mean)])
    return 0.3 * draw((settings.starts, len(images), model.latent_dim), generator, images)


def encoder_posterior(model: VAE, images: Tensor) -> Gaussians:
    """q(z|x) of a VAE's encoder, whose posterior must be a diagonal Gaussian."""
    with torch.no_grad():
        posterior = model.encode(images)
        return Gaussians.diagonal(posterior.mean, posterior.variance.sqrt())


def prior_of(model: Game, images: Tensor) -> Distribution:
    """p(z) = N(0, I), which every model of the package has, in the precision of the images."""
    return standard_normal(model.latent_dim, images)


def generator_of(seed: int, instrument: int) -> torch.Generator:
    """A stream of its own for each instrument, so that one does not move another."""
    return torch.Generator().manual_seed(4 * seed + instrument)


@contextmanager
def at_rest(model: Game) -> Iterator[None]:
    """In eval mode and without gradients of parameters, both put back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)
