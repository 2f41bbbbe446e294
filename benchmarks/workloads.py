"""The same networks for everybody: what is trained, in which batches, on which images."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diptych.data import Data, load_data
from diptych.distributions import BernoulliLikelihood
from diptych.models import GAN, VAE, Game

__all__ = ["OURS", "STOCK", "WORKLOADS", "Layers", "Workload", "data_of", "floats", "pictures"]


@dataclass(frozen=True)
class Layers:
    """Which classes the networks are made of; ours compute the same as torch's."""

    linear: type[nn.Module]
    conv: type[nn.Module]
    transposed: type[nn.Module]


STOCK = Layers(nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def _ours() -> Layers:
    from diptych import networks

    return Layers(
        getattr(networks, "Linear", nn.Linear),
        getattr(networks, "Conv2d", nn.Conv2d),
        getattr(networks, "ConvTranspose2d", nn.ConvTranspose2d),
    )


OURS = _ours()


@dataclass(frozen=True)
class Workload:
    """One network, its batch and its images.

    Attributes:
        key: what --only takes.
        title: the heading of its table.
        shape: (C, H, W).
        batch: images of a step.
        turn: images of one timed turn; every variant trains on as many.
        learning_rate, betas: Adam's.
        game: layers, and what else the game takes, to the game of this package.
        peers: functions of benchmarks.peers, by the name of the variant.
    """

    key: str
    title: str
    shape: tuple[int, int, int]
    batch: int
    turn: int
    learning_rate: float
    betas: tuple[float, float]
    game: Callable[..., Game]
    peers: tuple[str, ...]
    options: tuple[tuple[str, dict[str, Any]], ...] = (("", {}),)
    """Variants of ours: what is added to the name, and what is passed to `game`."""


class Unfold(nn.Module):
    """(N, C H W) to (N, C, H, W), channels last as convolutions of the plan want it."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, *self.shape)


def mlp_encoder(layers: Layers) -> nn.Sequential:
    """784-400-(2 x 20)."""
    return nn.Sequential(nn.Flatten(), layers.linear(784, 400), nn.ReLU(), layers.linear(400, 40))


def mlp_decoder(layers: Layers) -> nn.Sequential:
    """20-400-784, logits."""
    return nn.Sequential(
        layers.linear(20, 400), nn.ReLU(), layers.linear(400, 784), Unfold(1, 28, 28)
    )


def conv_encoder(layers: Layers) -> nn.Sequential:
    """Convolutions 1-32-64, then 3136-256-(2 x 20)."""
    return nn.Sequential(
        layers.conv(1, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        layers.conv(32, 64, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        layers.linear(3136, 256),
        nn.ReLU(),
        layers.linear(256, 40),
    )


def conv_decoder(layers: Layers) -> nn.Sequential:
    """The mirror of `conv_encoder`, logits."""
    return nn.Sequential(
        layers.linear(20, 256),
        nn.ReLU(),
        layers.linear(256, 3136),
        nn.ReLU(),
        Unfold(64, 7, 7),
        layers.transposed(64, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        layers.transposed(32, 1, 4, stride=2, padding=1),
    )


def dcgan_generator(layers: Layers) -> nn.Sequential:
    """100-256-128-64-1 for 32 x 32, batch norm between, tanh at the end."""
    made: list[nn.Module] = [Unfold(100, 1, 1)]
    for before, after, stride, padding in ((100, 256, 1, 0), (256, 128, 2, 1), (128, 64, 2, 1)):
        made += [
            layers.transposed(before, after, 4, stride=stride, padding=padding, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    last = layers.transposed(64, 1, 4, stride=2, padding=1)
    return nn.Sequential(*made, last, nn.Tanh())


def dcgan_discriminator(layers: Layers) -> nn.Sequential:
    """1-64-128-256-1 for 32 x 32, batch norm on all but the first and the last."""
    made: list[nn.Module] = [layers.conv(1, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for before, after in ((64, 128), (128, 256)):
        made += [
            layers.conv(before, after, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*made, layers.conv(256, 1, 4), nn.Flatten())


class FromZeroToOne(nn.Module):
    """Images scaled to [-1, 1] back to [0, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 1.0) * 0.5


def _vae(encoder: nn.Sequential, decoder: nn.Module) -> VAE:
    shape = (1, 28, 28)
    # Our VAE shows its encoder images in [-1, 1], pythae in [0, 1]. Early in training that alone
    # is worth 16 nats to ours, so it is undone, at our cost: the peer stays as its user runs it.
    encoder = nn.Sequential(FromZeroToOne(), *encoder)
    # pythae's "bce" is the Bernoulli likelihood of grey pixels, so it is ours here too.
    return VAE(encoder, decoder, BernoulliLikelihood(shape), event_shape=shape, latent_dim=20)


def mlp_vae(layers: Layers) -> Game:
    return _vae(mlp_encoder(layers), mlp_decoder(layers))


def conv_vae(layers: Layers) -> Game:
    return _vae(conv_encoder(layers), conv_decoder(layers))


def dcgan(layers: Layers, **settings: Any) -> Game:
    return GAN(
        dcgan_generator(layers),
        dcgan_discriminator(layers),
        event_shape=(1, 32, 32),
        latent_dim=100,
        **settings,
    )


def sn_resnet(layers: Layers, **settings: Any) -> Game:
    """Our residual pair; it is made of its own layers, which `layers` does not change."""
    from diptych.networks.residual import ResidualDecoder, ResidualEncoder

    shape = (3, 32, 32)
    return GAN(
        nn.Sequential(ResidualDecoder(128, shape, width=64), nn.Tanh()),
        ResidualEncoder(shape, 1, width=64),
        event_shape=shape,
        latent_dim=128,
        loss="hinge",
        **settings,
    )


_REUSE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("", {}),
    (", fakes reused", {"reuse_fakes": True}),
)

WORKLOADS = (
    Workload(
        "mlp-vae", "MLP VAE 784-400-20, batch 128", (1, 28, 28), 128, 25_600, 1e-3, (0.9, 0.999),
        mlp_vae, ("pythae",),
    ),
    Workload(
        "conv-vae", "Conv VAE 28 x 28, 1.7 M parameters, batch 128", (1, 28, 28), 128, 6_400,
        1e-3, (0.9, 0.999), conv_vae, ("pythae",),
    ),
    Workload(
        "dcgan", "DCGAN 32 x 32, 64 channels, batch 64", (1, 32, 32), 64, 1_280, 2e-4,
        (0.5, 0.999), dcgan, ("lightning", "torchgan"), _REUSE,
    ),
    Workload(
        "sn-resnet", "SN-ResNet (SNGAN) 32 x 32, 64 channels, batch 64", (3, 32, 32), 64, 320,
        2e-4, (0.0, 0.9), sn_resnet, ("mimicry",), _REUSE,
    ),
)  # fmt: skip


def pictures(shape: tuple[int, int, int], split: str = "train") -> NDArray[np.uint8]:
    """Real images, uint8 (N, H, W, C): Fashion-MNIST where DIPTYCH_DATA is set, else the sample.

    Larger sizes get a black border, more channels the same grey.
    """
    name = "fashion-mnist" if "DIPTYCH_DATA" in os.environ else "fashion-mini"
    data = load_data(name)
    channels, height, width = shape
    images = np.asarray(data.take(split))  # type: ignore[arg-type]
    top, left = (height - images.shape[1]) // 2, (width - images.shape[2]) // 2
    border = ((0, 0), (top, top), (left, left), (0, 0))
    return np.repeat(np.pad(images, border), channels, axis=3)


def floats(images: NDArray[np.uint8]) -> Tensor:
    """What peers train on: float32 (N, C, H, W) in [0, 1], contiguous, in memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    return tensor.float() / 255.0


def data_of(array: NDArray[np.uint8], name: str = "benchmark") -> Data:
    """An array as data whose every row is for training."""
    rows = np.arange(len(array), dtype=np.int64)
    nothing = np.empty(0, dtype=np.int64)
    splits = {"train": rows, "validation": nothing, "test": nothing}
    return Data(name, "images", array, None, (), splits, fingerprint="")
