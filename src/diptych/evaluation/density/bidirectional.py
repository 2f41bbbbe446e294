"""How far the two bounds of annealed importance sampling are apart, where both can be had."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.evaluation.density.annealed import Annealed, Path, anneal, anneal_back
from diptych.evaluation.density.joint import Decode
from diptych.evaluation.sets import Progress, silent
from diptych.models.game import random_stream

__all__ = ["Bidirectional", "bidirectional", "simulate"]


@dataclass(frozen=True, eq=False)
class Bidirectional:
    """Both bounds of log p(x) of simulated images, in nats."""

    lower: Annealed
    upper: Annealed

    @property
    def gaps(self) -> Tensor:
        """Upper minus lower, (N,), float64: at least 0 in expectation."""
        return self.upper.bounds - self.lower.bounds


def simulate(decode: Decode, codes: Tensor, *, seed: int) -> Tensor:
    """Images x ~ p(x|z), noise included: the codes are then exact samples of p(z|x).

    Args:
        decode: the likelihood.
        codes: from the prior, (N, L).
        seed: of the noise.
    """
    with torch.no_grad(), random_stream(seed):
        return decode(codes).sample()


def bidirectional(
    codes: Tensor,
    images: Tensor,
    path_of: Callable[[Tensor], Path],
    *,
    chains: int,
    generator: torch.Generator,
    progress: Progress = silent,
) -> Bidirectional:
    """Bidirectional Monte Carlo on simulated images.

    If the bounds meet, the sampler does its work on images like these; held-out images can still
    be harder for it.

    Args:
        codes: (N, L), from the prior.
        images: made from them by `simulate`.
        path_of: images to a path; it must not know the codes.
        chains: per image and direction.
        generator: of all noise.
        progress: told how far the work is.

    Source: Grosse, Ghahramani & Adams 2015, arXiv 1511.02543; Wu et al. 2017, arXiv 1611.04273.
    """
    path = path_of(images)
    return Bidirectional(
        anneal(path, chains=chains, generator=generator, progress=progress),
        anneal_back(path, codes, chains=chains, generator=generator, progress=progress),
    )
