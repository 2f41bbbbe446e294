"""A moving average of the players that sample, and the batch statistics that fit it."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from diptych.models import Game, random_stream

__all__ = ["AVERAGE_EVERY", "EACH_STEP_UNTIL", "MovingAverage", "refresh_batch_statistics"]

AVERAGE_EVERY = 4
"""Steps between two updates: each reads and writes all weights, and a half-life is hundreds of
steps long."""
EACH_STEP_UNTIL = 100
"""Up to this step every one is an update, because a short run is all beginning."""


class MovingAverage:
    """average <- d average + (1 - d) parameter, with d = 2^(-batch / half-life).

    The half-life is in images, so the batch size does not change it, and it never exceeds a
    part of the images seen so far, so that the random start is forgotten in time. Buffers are
    copied: averaging them would mix counters and running statistics of different weights.

    Args:
        game: the game whose `averaged` players are followed; it is copied once.
        half_life: images after which an old weight counts half.
        ramp_up: the half-life is at most this part of the images seen.

    Source: the ramp-up follows Karras et al., "Training generative adversarial networks with
    limited data", NeurIPS 2020, arXiv 2006.06676.
    """

    def __init__(self, game: Game, *, half_life: float, ramp_up: float) -> None:
        self.game = copy.deepcopy(game).eval().requires_grad_(False)
        self.half_life = half_life
        self.ramp_up = ramp_up
        self._average: list[Tensor] = [
            p for player in _averaged(self.game) for p in player.parameters()
        ]
        self._live: list[Tensor] = [p for player in _averaged(game) for p in player.parameters()]
        self._average_buffers = [b for player in _averaged(self.game) for b in player.buffers()]
        self._live_buffers = [b for player in _averaged(game) for b in player.buffers()]

    def decay(self, *, batch: int, images_seen: int) -> float:
        """d for one update; 0 before anything was seen."""
        half_life = min(self.half_life, self.ramp_up * images_seen)
        return 0.5 ** (batch / half_life) if half_life > 0 else 0.0

    @torch.no_grad()
    def update(self, *, step: int, batch: int, images_seen: int) -> None:
        """Move towards the live weights: after each of the first steps, then for several at once.

        Args:
            step: steps taken so far.
            batch: images of one step.
            images_seen: in all of them.
        """
        steps = 1 if step <= EACH_STEP_UNTIL else AVERAGE_EVERY
        if step % steps:
            return
        weight = 1.0 - self.decay(batch=steps * batch, images_seen=images_seen)
        torch._foreach_lerp_(self._average, self._live, weight)
        for average, live in zip(self._average_buffers, self._live_buffers, strict=True):
            average.copy_(live)


def _averaged(game: Game) -> list[nn.Module]:
    return [game.get_submodule(player) for player in game.averaged]


def refresh_batch_statistics(game: Game, batches: Iterable[Tensor], *, seed: int) -> None:
    """Recompute the running statistics of batch normalisation for the weights as they are.

    Averaged weights never ran a batch themselves: statistics copied from the live network belong
    to other weights. Does nothing to games without batch normalisation.

    Args:
        game: changed in place, left in eval mode.
        batches: training images (N, *event) in [0, 1] (points as they are).
        seed: of the noise; the ambient random stream is not touched.
    """
    norms = [module for module in game.modules() if isinstance(module, _BatchNorm)]
    if norms:
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
        game.train()
        with torch.no_grad(), random_stream(seed):
            for batch in batches:
                game.rehearse(batch)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    game.eval()
