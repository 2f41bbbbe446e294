"""Models whose log p(x) is known: probabilistic PCA, and codes of one or two dimensions."""

import math

import torch
from torch.distributions import MultivariateNormal

from diptych.distributions import standard_normal
from diptych.evaluation.density.joint import Joint, gaussian_observation


class LinearModel:
    """x = W z + mu + sigma noise: p(x) and p(z|x) are Gaussian."""

    def __init__(self, dimensions=784, latents=10, sigma=0.1, seed=0):
        generator = torch.Generator().manual_seed(seed)
        # Weights of variance 1/12 put log p(x) of 784 dimensions near 649 nats.
        self.weight = torch.randn(dimensions, latents, generator=generator).double() / 12**0.5
        self.mean = torch.rand(dimensions, generator=generator).double()
        self.sigma = sigma
        self.prior = standard_normal(latents, self.mean)
        self.decoded = 0

    def decode_mean(self, z):
        self.decoded += len(z)
        return z @ self.weight.T + self.mean

    def simulate(self, count, seed=1):
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(count, self.weight.shape[1], generator=generator).double()
        noise = torch.randn(count, len(self.mean), generator=generator).double()
        return z, z @ self.weight.T + self.mean + self.sigma * noise

    def joint(self, x, sigma=None, **settings):
        decode = gaussian_observation(self.decode_mean, sigma or self.sigma)
        return Joint(x, decode, self.prior, **settings)

    def log_evidence(self, x, sigma=None):
        eye = torch.eye(len(self.mean)).double()
        covariance = self.weight @ self.weight.T + (sigma or self.sigma) ** 2 * eye
        return MultivariateNormal(self.mean, covariance).log_prob(x)

    def posterior(self, x):
        """Mean (N, L) and precision (L, L)."""
        latents = self.weight.shape[1]
        precision = torch.eye(latents) + self.weight.T @ self.weight / self.sigma**2
        mean = (x - self.mean) @ self.weight @ torch.linalg.inv(precision) / self.sigma**2
        return mean, precision


def bent(z):
    """Codes (B, 1) or (B, 2) to a curve or a surface that folds: (B, 5)."""
    z = z if z.shape[1] == 2 else torch.cat([z, 0.5 * z], 1)
    a, b = z.unbind(1)
    return torch.stack([torch.sin(2 * a), a * b, b.tanh(), a.square() / 2, torch.cos(a + b)], 1)


def quadrature(joint, points=801, edge=8.0):
    """log ∫ p(x, z) dz on a regular grid, (N,)."""
    line = torch.linspace(-edge, edge, points, dtype=torch.float64)
    latents = joint.latent_dim
    z = torch.cartesian_prod(*[line] * latents).view(-1, 1, latents)
    log_values = joint(z.expand(-1, len(joint.images), -1))
    return log_values.logsumexp(0) + latents * math.log(2 * edge / (points - 1))
