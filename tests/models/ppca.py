"""Probabilistic PCA: the one VAE whose likelihood, posterior and optimum are known exactly.

x = W z + mu + sigma noise, z ~ N(0, I), so x ~ N(mu, W W^T + sigma^2 I).
Source: Tipping & Bishop, "Probabilistic principal component analysis", JRSS B 61 (1999).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from diptych.distributions import GaussianLikelihood
from diptych.distributions.gaussian import LOG_VARIANCE_BOUND
from diptych.models import VAE
from diptych.networks import MLPDecoder, MLPEncoder


@dataclass(frozen=True)
class PPCA:
    """Maximum-likelihood W (D, L), mu (D,) and sigma^2, with W's columns orthogonal."""

    weight: Tensor
    mean: Tensor
    variance: float

    @classmethod
    def fit(cls, x: Tensor, latents: int) -> "PPCA":
        mean = x.mean(0)
        covariance = (x - mean).T @ (x - mean) / len(x)
        values, vectors = torch.linalg.eigh(covariance)
        variance = values[:-latents].mean().item()
        weight = vectors[:, -latents:] * (values[-latents:] - variance).sqrt()
        return cls(weight, mean, variance)

    def log_likelihood(self, x: Tensor) -> Tensor:
        """log p(x), exact, (N,) nats."""
        covariance = self.weight @ self.weight.T
        covariance = covariance + self.variance * torch.eye(len(self.mean)).to(covariance)
        return MultivariateNormal(self.mean, covariance).log_prob(x)


def linear_vae(dimensions: int, latents: int, mode: str = "learned", **settings) -> VAE:
    """A VAE of linear maps in double precision."""
    return VAE(
        MLPEncoder((dimensions,), 2 * latents, width=1, depth=0),
        MLPDecoder(latents, (dimensions,), width=1, depth=0),
        GaussianLikelihood((dimensions,), sigma=1.0, mode=mode, bounded_mean=False),
        event_shape=(dimensions,),
        latent_dim=latents,
        **settings,
    ).double()


@torch.no_grad()
def set_to(vae: VAE, ppca: PPCA) -> None:
    """Decoder W z + mu; encoder the exact posterior N(M^-1 W^T (x - mu), sigma^2 M^-1).

    M = W^T W + sigma^2 I is diagonal because W's columns are orthogonal.
    """
    (up,), (down,) = vae.decoder.layers, vae.encoder.layers
    up.weight.copy_(ppca.weight)
    up.bias.copy_(ppca.mean)
    scale = ppca.weight.square().sum(0) + ppca.variance
    projection = ppca.weight.T / scale[:, None]
    log_variance = math.log(ppca.variance) - scale.log()
    raw = LOG_VARIANCE_BOUND * torch.atanh(log_variance / LOG_VARIANCE_BOUND)
    down.weight.copy_(torch.cat([projection, torch.zeros_like(projection)]))
    down.bias.copy_(torch.cat([-projection @ ppca.mean, raw]))
    vae.likelihood.log_sigma.fill_(0.5 * math.log(ppca.variance))
