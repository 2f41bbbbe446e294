"""The generative adversarial network: two turns, the discriminator's and the generator's."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from diptych.models.game import Game, Moment, Turn, random_stream
from diptych.models.inversion import search_codes
from diptych.models.judging import Judge, PenaltyForm, logits_of
from diptych.models.paths import spherical_path
from diptych.objectives import (
    Terms,
    discriminator_loss,
    discriminator_loss_hinge,
    generator_loss_hinge,
    generator_loss_minimax,
    generator_loss_non_saturating,
)
from diptych.objectives.precision import at_least_single
from diptych.workers import standard_noise

__all__ = ["GAN"]

_LOSSES = {
    "minimax": (discriminator_loss, generator_loss_minimax),
    "non-saturating": (discriminator_loss, generator_loss_non_saturating),
    "hinge": (discriminator_loss_hinge, generator_loss_hinge),
}
"""The discriminator's and the generator's side."""


class GAN(Game):
    """Generator G(z) from noise z ~ N(0, I), discriminator D(x) to one logit.

    Inside the game images lie in [-1, 1], as in the papers, so that published values of gamma
    keep their meaning; outside they lie in [0, 1] like everywhere else.

    Args:
        generator: codes (N, L) to images in [-1, 1], (N, C, H, W); points (N, D) unbounded.
        discriminator: the same images to logits (N, 1).
        event_shape: (C, H, W) or (D,).
        latent_dim: L.
        loss: "non-saturating"; "minimax", the original saturating game; or "hinge".
        r1_gamma, r2_gamma, r1_interval, penalty: of the gradient penalties, see `Judge`.
        reuse_fakes: let the discriminator judge the images of the generator's turn, which saves
            one pass through the generator per step.

    Source: Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, arXiv 1406.2661.
    """

    family: ClassVar[Literal["vae", "gan", "hybrid"]] = "gan"
    averaged: ClassVar[tuple[str, ...]] = ("generator",)

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        event_shape: tuple[int, ...],
        latent_dim: int,
        loss: Literal["minimax", "non-saturating", "hinge"] = "non-saturating",
        r1_gamma: float = 0.0,
        r2_gamma: float = 0.0,
        r1_interval: int = 1,
        penalty: PenaltyForm = "exact",
        reuse_fakes: bool = False,
    ) -> None:
        super().__init__(event_shape, latent_dim)
        self.generator = generator
        self.discriminator = discriminator
        discriminator_objective, self.generator_objective = _LOSSES[loss]
        self.judge = Judge(discriminator_objective, r1_gamma, r2_gamma, r1_interval, penalty)
        self.reuse_fakes = reuse_fakes
        self._kept_fakes: Tensor | None = None

    def generate(self, z: Tensor) -> Tensor:
        """G(z) in the game's own range, [-1, 1] for images; (N, *event)."""
        return at_least_single(self.generator(z))

    def discriminate(self, images: Tensor) -> Tensor:
        """D(x) of images in the game's own range, as logits (N, 1)."""
        return logits_of(self.discriminator, images)

    def _noise(self, batch: Tensor) -> Tensor:
        return standard_noise(batch.shape[0], self.latent_dim, like=batch)

    def loss_discriminator(self, images: Tensor, moment: Moment) -> Terms:
        """-E[log D(x)] - E[log(1 - D(G(z)))] or its hinge, plus penalties where they are due."""
        real = images * 2.0 - 1.0 if self.is_image else images
        fake = self._fakes_to_judge(images)
        return self.judge.terms(self.discriminator, real, fake, step=moment.step)

    def loss_generator(self, images: Tensor, moment: Moment) -> Terms:
        """The generator's side on fresh noise, as many images as the batch has."""
        fake = self.generate(self._noise(images))
        if self.reuse_fakes:
            self._kept_fakes = fake.detach()
        loss = self.generator_objective(self.discriminate(fake))
        return Terms(loss, {"loss": loss.detach()})

    def _fakes_to_judge(self, images: Tensor) -> Tensor:
        """What the discriminator sees: never a path for gradients into the generator."""
        if self._kept_fakes is not None:
            kept, self._kept_fakes = self._kept_fakes, None
            return kept
        with torch.no_grad():
            return self.generate(self._noise(images))

    def turns(self) -> tuple[Turn, ...]:
        """The discriminator, then the generator against the one just improved.

        With `reuse_fakes` the generator goes first, and the discriminator judges the fakes that
        were just made: the same alternation, begun at the other player.
        """
        discriminator = Turn(
            name="discriminator",
            players=("discriminator",),
            loss=self.loss_discriminator,
            sentence="the discriminator learns to tell real images from generated ones",
        )
        generator = Turn(
            name="generator",
            players=("generator",),
            loss=self.loss_generator,
            sentence="the generator learns to pass for real",
        )
        return (generator, discriminator) if self.reuse_fakes else (discriminator, generator)

    def decode_mean(self, z: Tensor) -> Tensor:
        """G(z) as images in [0, 1], (N, C, H, W); points as they are."""
        images = self.generate(z)
        return (images + 1.0) / 2.0 if self.is_image else images

    def find_codes(self, images: Tensor, *, seed: int | None = None) -> Tensor:
        """Codes found by search, (N, L): a GAN has no encoder. See `search_codes`."""
        with random_stream(seed):
            return search_codes(self.decode_mean, images, self.latent_dim).codes

    def interpolate(self, start: Tensor, end: Tensor, *, steps: int = 9) -> Tensor:
        """Decode the great circle between two codes, (N, steps, *event)."""
        return self.decode_path(spherical_path(start, end, steps))

    def rehearse(self, batch: Tensor) -> None:
        """Generate as many images as the batch has."""
        self.generate(self._noise(batch))
