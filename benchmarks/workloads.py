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

__all__ = ["WORKLOADS", "Workload", "data_of", "floats", "pictures"]


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
        game: what it takes to the game of this package.
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


def mlp_encoder() -> nn.Sequential:
    """784-400-(2 x 20)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 40))


def mlp_decoder() -> nn.Sequential:
    """20-400-784, logits."""
    return nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784), Unfold(1, 28, 28))


def conv_encoder() -> nn.Sequential:
    """Convolutions 1-32-64, then 3136-256-(2 x 20)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3136, 256),
        nn.ReLU(),
        nn.Linear(256, 40),
    )


def conv_decoder() -> nn.Sequential:
    """The mirror of `conv_encoder`, logits."""
    return nn.Sequential(
        nn.Linear(20, 256),
        nn.ReLU(),
        nn.Linear(256, 3136),
        nn.ReLU(),
        Unfold(64, 7, 7),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),
    )


def dcgan_generator() -> nn.Sequential:
    """100-256-128-64-1 for 32 x 32, batch norm between, tanh at the end."""
    made: list[nn.Module] = [Unfold(100, 1, 1)]
    for before, after, stride, padding in ((100, 256, 1, 0), (256, 128, 2, 1), (128, 64, 2, 1)):
        made += [
            nn.ConvTranspose2d(before, after, 4, stride=stride, padding=padding, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    last = nn.ConvTranspose2d(64, 1, 4, stride=2, padding=1)
    return nn.Sequential(*made, last, nn.Tanh())


def dcgan_discriminator() -> nn.Sequential:
    """1-64-128-256-1 for 32 x 32, batch norm on all but the first and the last."""
    made: list[nn.Module] = [nn.Conv2d(1, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for before, after in ((64, 128), (128, 256)):
        made += [
            nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*made, nn.Conv2d(256, 1, 4), nn.Flatten())


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


def mlp_vae() -> Game:
    return _vae(mlp_encoder(), mlp_decoder())


def conv_vae() -> Game:
    return _vae(conv_encoder(), conv_decoder())


def dcgan(**settings: Any) -> Game:
    return GAN(
        dcgan_generator(),
        dcgan_discriminator(),
        event_shape=(1, 32, 32),
        latent_dim=100,
        **settings,
    )


def sn_resnet(**settings: Any) -> Game:
    """Our residual pair with the peer's upsampling; `peers_mimicry` compares their outputs."""
    from diptych.networks.residual import ResidualDecoder, ResidualEncoder

    shape = (3, 32, 32)
    return GAN(
        nn.Sequential(ResidualDecoder(128, shape, width=64, upsampling="bilinear"), nn.Tanh()),
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
