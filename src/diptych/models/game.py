"""A game: a generative model together with the turns its players take.

A VAE is a game of one turn, a GAN of two. The training loop knows nothing else about them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from diptych.models.sampling import Sampler
from diptych.objectives import Terms

__all__ = ["Game", "Moment", "Turn", "random_stream"]

CODES_AT_ONCE = 512
"""Codes are drawn in blocks of so many, whole ones always: what the first ones are then does not
depend on how many follow."""


@dataclass(frozen=True)
class Moment:
    """Where training stands when a turn is taken."""

    progress: float
    """Part of the budget that is spent, in [0, 1]."""
    step: int
    """Steps taken before this one; one step is one batch and every turn on it."""


@dataclass(frozen=True)
class Turn:
    """One move of the game: the players it moves and the loss it lowers."""

    name: str
    players: tuple[str, ...]
    """Names of the game's sub-modules whose parameters this turn owns; all others are frozen."""
    loss: Callable[[Tensor, Moment], Terms]
    """From a batch in [0, 1] (points: as they are) and the moment to the terms."""
    sentence: str
    """What the turn does, in words, for the report."""


@contextmanager
def random_stream(seed: int | None) -> Iterator[None]:
    """Draw from a stream of its own: torch's generators are seeded inside, restored after.

    With None nothing is changed and the ambient stream goes on.
    """
    if seed is None:
        yield
        return
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


class Game(nn.Module, ABC):
    """A generative model that can be trained by the loop and used afterwards.

    Images enter and leave as floats (N, C, H, W) in [0, 1]; points as (N, D).

    Args:
        event_shape: (C, H, W) or (D,).
        latent_dim: the number of latents L.
    """

    family: ClassVar[Literal["vae", "gan", "hybrid"]]
    averaged: ClassVar[tuple[str, ...]]
    """Players of which a moving average is kept; the average is what samples."""

    def __init__(self, event_shape: tuple[int, ...], latent_dim: int) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.latent_dim = latent_dim

    @property
    def is_image(self) -> bool:
        """True for images (C, H, W), False for points (D,)."""
        return len(self.event_shape) == 3

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @abstractmethod
    def turns(self) -> tuple[Turn, ...]:
        """The turns of one step, in the order they are taken."""

    def forward(self, turn: str, batch: Tensor, progress: float, step: int) -> Terms:
        """The terms of the named turn.

        The whole loss is computed inside one forward, so that wrappers which synchronise workers
        or set the precision see all of it.
        """
        by_name = {known.name: known for known in self.turns()}
        return by_name[turn].loss(batch, Moment(progress, step))

    @abstractmethod
    def decode_mean(self, z: Tensor) -> Tensor:
        """Codes (N, L) to images (N, C, H, W) in [0, 1], or points (N, D), without noise."""

    @abstractmethod
    def find_codes(self, images: Tensor, *, seed: int | None = None) -> Tensor:
        """Codes (N, L) whose decoding resembles the images: by encoder, or by search."""

    @abstractmethod
    def interpolate(self, start: Tensor, end: Tensor, *, steps: int = 9) -> Tensor:
        """Decode a path between codes.

        Args:
            start: (N, L).
            end: (N, L).
            steps: pictures on the path, both ends included; >= 2.

        Returns:
            (N, steps, *event).
        """

    def sample_codes(self, n: int, *, seed: int | None = None) -> Tensor:
        """n codes from the prior, (n, L), in the precision and on the device of the parameters.

        With the same seed the first of many are those of few.
        """
        blocks = -(-n // CODES_AT_ONCE)
        with random_stream(seed):
            drawn = [torch.randn(CODES_AT_ONCE, self.latent_dim) for _ in range(blocks)]
        codes = torch.cat(drawn)[:n] if drawn else torch.empty(0, self.latent_dim)
        return codes.to(next(self.parameters()))

    def code_blocks(self, n: int, *, seed: int | None = None) -> Iterator[Tensor]:
        """The codes of `sample_codes` in blocks, (at most 512, L): one stream, drawn in order.

        Between two blocks the ambient generators are as the caller left them.
        """
        cpu, gpu = None, None
        on_gpu = torch.cuda.is_available()  # a game of one's own may draw there
        for start in range(0, n, CODES_AT_ONCE):
            with random_stream(seed):
                if cpu is not None:
                    torch.set_rng_state(cpu)
                if gpu is not None:
                    torch.cuda.set_rng_state(gpu)
                codes = self.sample_codes(CODES_AT_ONCE)
                if seed is not None:
                    cpu = torch.get_rng_state()
                    gpu = torch.cuda.get_rng_state() if on_gpu else None
            yield codes[: n - start]

    @torch.inference_mode()
    def sample(self, n: int, *, seed: int | None = None, batch_size: int | None = None) -> Tensor:
        """n new images from the prior, decoded without pixel noise, (n, C, H, W) in [0, 1].

        Args:
            n: how many; all are returned at once. `diptych sample` writes any number to a file.
            seed: the same seed gives the same images, and the first of many are those of few.
            batch_size: decoded at a time; None takes as many as stay in the processor's cache.
        """
        blocks = list(Sampler(self).draw(n, seed=seed, batch_size=batch_size))
        return torch.cat(blocks) if blocks else self.decode_mean(self.sample_codes(0))

    def reconstruct(self, images: Tensor, *, seed: int | None = None) -> Tensor:
        """The model's own version of the images: their codes, decoded."""
        codes = self.find_codes(images, seed=seed)
        with torch.inference_mode():
            return torch.cat([self.decode_mean(z) for z in torch.split(codes, 500)])

    @abstractmethod
    def rehearse(self, batch: Tensor) -> None:
        """One forward pass as in training, to refresh batch statistics (see training/ema.py)."""

    def count_parameters(self) -> dict[str, int]:
        """The number of trainable values of each player."""
        return {
            name: sum(p.numel() for p in player.parameters())
            for name, player in self.named_children()
            if any(True for _ in player.parameters())
        }

    def decode_path(self, paths: Iterable[Tensor]) -> Tensor:
        """Decode codes along paths: an iterable of (N, L), one per step, to (N, steps, *event)."""
        with torch.inference_mode():
            return torch.stack([self.decode_mean(z) for z in paths], dim=1)
