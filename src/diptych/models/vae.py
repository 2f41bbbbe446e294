"""The variational autoencoder: one turn, encoder and decoder lower the negative ELBO."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from diptych.distributions import (
    Likelihood,
    bounded_log_variance,
    diagonal_gaussian,
    standard_normal,
)
from diptych.models.game import Game, Moment, Turn, random_stream
from diptych.models.paths import linear_path
from diptych.objectives import (
    Terms,
    kl_per_dimension,
    kl_to_prior,
    linear_warmup,
    negative_elbo,
)
from diptych.objectives.precision import at_least_single
from diptych.workers import standard_noise

__all__ = ["VAE"]


class VAE(Game):
    """Encoder q(z|x) = N(mean, diag variance), prior p(z) = N(0, I), decoder p(x|z).

    Args:
        encoder: images scaled to [-1, 1] (points: as they are) to (N, 2L): the mean and the raw
            log-variance of the posterior.
        decoder: codes (N, L) to the likelihood's parameters (N, *event).
        likelihood: turns the decoder's output into p(x|z).
        event_shape: (C, H, W) or (D,).
        latent_dim: L.
        beta: weight of the KL, on the summed ELBO; 1 is the ELBO.
        kl_warmup: part of the budget over which the weight rises from 0 to `beta`; in [0, 1).
        free_nats: free bits per latent, in nats.

    Source: Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014, arXiv 1312.6114.
    """

    family: ClassVar[Literal["vae", "gan", "hybrid"]] = "vae"
    averaged: ClassVar[tuple[str, ...]] = ("encoder", "decoder", "likelihood")

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        *,
        event_shape: tuple[int, ...],
        latent_dim: int,
        beta: float = 1.0,
        kl_warmup: float = 0.0,
        free_nats: float = 0.0,
    ) -> None:
        super().__init__(event_shape, latent_dim)
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.free_nats = free_nats

    def encode(self, images: Tensor) -> Distribution:
        """The posterior q(z|x) of images (N, C, H, W) in [0, 1]: batch (N,), event (L,)."""
        scaled = images * 2.0 - 1.0 if self.is_image else images
        mean, raw = at_least_single(self.encoder(scaled)).chunk(2, dim=1)
        return diagonal_gaussian(mean, bounded_log_variance(raw))

    def prior(self) -> Distribution:
        """p(z) = N(0, I), event (L,)."""
        return standard_normal(self.latent_dim, next(self.parameters()))

    def decode(self, z: Tensor) -> Distribution:
        """The likelihood p(x|z) of codes (N, L): batch (N,), event (C, H, W) or (D,)."""
        return self._likelihood(self._decoder_output(z))

    def _decoder_output(self, z: Tensor) -> Tensor:
        return at_least_single(self.decoder(z))

    def _likelihood(self, output: Tensor) -> Distribution:
        distribution: Distribution = self.likelihood(output)
        return distribution

    def loss(self, images: Tensor, moment: Moment) -> Terms:
        """The negative ELBO with one reparameterised sample per image, in nats per image."""
        return self._bound(images, moment)[0]

    def _bound(self, images: Tensor, moment: Moment) -> tuple[Terms, Tensor]:
        """The negative ELBO, and the decoder's output for its sample, (N, *event)."""
        posterior, prior = self.encode(images), self.prior()
        z = self._draw(posterior)
        output = self._decoder_output(z)
        if self.training:
            self.likelihood.fit(output, images)
        log_likelihood = self._likelihood(output).log_prob(images)
        kl = kl_per_dimension(posterior, prior)
        terms = negative_elbo(
            log_likelihood,
            kl_to_prior(posterior, prior, z) if kl is None else kl,
            beta=self.beta * linear_warmup(moment.progress, self.kl_warmup),
            free_nats=self.free_nats,
        )
        return terms, output

    def _draw(self, posterior: Distribution) -> Tensor:
        """z = mean + stddev * noise, (N, L): `rsample`, where several workers share a batch.

        A posterior of another kind draws by itself, in its own way on each worker.
        """
        if isinstance(posterior, Independent) and isinstance(posterior.base_dist, Normal):
            mean, stddev = posterior.mean, posterior.stddev
            return mean + stddev * standard_noise(len(mean), self.latent_dim, like=mean)
        return posterior.rsample()

    def turns(self) -> tuple[Turn, ...]:
        """One turn: both networks, and the likelihood's own parameters if it has any."""
        return (
            Turn(
                name="autoencoder",
                players=("encoder", "decoder", "likelihood"),
                loss=self.loss,
                sentence="encoder and decoder lower the negative ELBO",
            ),
        )

    def log_evidence_bound(self, images: Tensor, *, seed: int | None = None) -> Tensor:
        """The ELBO (beta 1, no free bits) of each image at one sample of z, (N,), nats."""
        with torch.inference_mode(), random_stream(seed):
            posterior = self.encode(images)
            z = posterior.rsample()
            log_likelihood: Tensor = self.decode(z).log_prob(images)
            return log_likelihood - kl_to_prior(posterior, self.prior(), z)

    def decode_mean(self, z: Tensor) -> Tensor:
        """The mean of p(x|z), (N, *event); for images in [0, 1]."""
        return self.decode(z).mean

    @torch.inference_mode()
    def find_codes(self, images: Tensor, *, seed: int | None = None) -> Tensor:
        """The posterior's means, (N, L)."""
        return torch.cat([self.encode(batch).mean for batch in torch.split(images, 500)])

    def interpolate(self, start: Tensor, end: Tensor, *, steps: int = 9) -> Tensor:
        """Decode the straight line between two codes, (N, steps, *event)."""
        return self.decode_path(linear_path(start, end, steps))

    def rehearse(self, batch: Tensor) -> None:
        """Encode and decode a batch of training images."""
        self.decode(self._draw(self.encode(batch)))
