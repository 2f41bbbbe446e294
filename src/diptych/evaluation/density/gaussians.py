"""One Gaussian over codes per image: the proposal of importance sampling, the start of AIS."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Gaussians", "draw"]


@dataclass(frozen=True, eq=False)
class Gaussians:
    """N(mean_n, scale_n scale_nᵀ) for each of N images, in float64.

    Attributes:
        mean: (N, L).
        scale: (N, L, L), triangular with a positive diagonal.
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def standard(cls, count: int, latent_dim: int) -> "Gaussians":
        """N(0, I) for every image: the prior as a start."""
        return cls.diagonal(*(torch.full((count, latent_dim), v) for v in (0.0, 1.0)))

    @classmethod
    def diagonal(cls, mean: Tensor, std: Tensor) -> "Gaussians":
        """Of means and standard deviations (N, L), e.g. an encoder's posterior."""
        return cls(mean.double(), torch.diag_embed(std.double()))

    @classmethod
    def of_precision(cls, mean: Tensor, precision: Tensor) -> "Gaussians":
        """Of inverse covariances (N, L, L), symmetric and positive definite."""
        root = torch.linalg.cholesky(precision.double()).mT
        eye = torch.eye(root.shape[-1], dtype=root.dtype, device=root.device)
        return cls(mean.double(), torch.linalg.solve_triangular(root, eye, upper=True))

    @property
    def log_det(self) -> Tensor:
        """log |det scale|, (N,)."""
        return self.scale.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def codes(self, noise: Tensor) -> Tensor:
        """Standard-normal noise (C, N, L) as codes mean + scale noise."""
        return self.mean + torch.einsum("nij,cnj->cni", self.scale, noise)

    def noise(self, codes: Tensor) -> Tensor:
        """The reverse of `codes`."""
        noise: Tensor = torch.linalg.solve(self.scale, (codes - self.mean).unsqueeze(-1))
        return noise.squeeze(-1)

    def log_prob(self, codes: Tensor) -> Tensor:
        """log q(z), (C, N), nats."""
        squares = self.noise(codes).square().sum(-1)
        return -0.5 * (squares + self.mean.shape[1] * math.log(2 * math.pi)) - self.log_det


def draw(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Standard-normal float64 noise from a CPU generator, on the device of `like`."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(like.device)
