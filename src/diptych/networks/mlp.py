"""Fully connected networks: for points, and as the plainest choice for images."""

import math
from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor, nn

__all__ = ["MLPDecoder", "MLPEncoder"]


def _layers(sizes: list[int]) -> Iterator[nn.Module]:
    """Linear maps between the sizes, with a leaky rectifier between each two."""
    for index, (before, after) in enumerate(pairwise(sizes)):
        if index:
            yield nn.LeakyReLU(0.2)
        yield nn.Linear(before, after)


class MLPEncoder(nn.Module):
    """(N, *event) to (N, out_features): a VAE's encoder or a GAN's discriminator.

    Args:
        event_shape: (C, H, W) or (D,).
        out_features: 2L for a posterior, 1 for a logit.
        width: units of each hidden layer.
        depth: hidden layers; 0 is a linear map.
    """

    def __init__(
        self, event_shape: tuple[int, ...], out_features: int, *, width: int, depth: int
    ) -> None:
        super().__init__()
        sizes = [math.prod(event_shape), *[width] * depth, out_features]
        self.layers = nn.Sequential(*_layers(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, *event) to (N, out_features)."""
        features: Tensor = self.layers(x.flatten(1))
        return features


class MLPDecoder(nn.Module):
    """(N, L) to (N, *event): the mirror of `MLPEncoder`.

    Args:
        latent_dim: L.
        event_shape: (C, H, W) or (D,).
        width: units of each hidden layer.
        depth: hidden layers; 0 is a linear map.
    """

    def __init__(
        self, latent_dim: int, event_shape: tuple[int, ...], *, width: int, depth: int
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        sizes = [latent_dim, *[width] * depth, math.prod(event_shape)]
        self.layers = nn.Sequential(*_layers(sizes))

    def forward(self, z: Tensor) -> Tensor:
        """(N, L) to (N, *event), unbounded."""
        values: Tensor = self.layers(z)
        return values.view(-1, *self.event_shape)
