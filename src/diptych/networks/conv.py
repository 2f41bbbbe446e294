"""A convolutional pair in the manner of DCGAN, for images of any size and channel count.

Encoder and decoder walk the same ladder of resolutions, one down and one up, so that a VAE and a
GAN built from them have the same capacity on each side.

Source: Radford, Metz & Chintala, "Unsupervised representation learning with deep convolutional
generative adversarial networks", ICLR 2016, arXiv 1511.06434.
"""

import math

import torch
from torch import Tensor, nn

from diptych.networks.faster import flatten_pixels

__all__ = ["ConvDecoder", "ConvEncoder", "Crop", "resolutions"]

_SMALLEST_BASE = 4


def resolutions(height: int, width: int, stages: int | None = None) -> list[tuple[int, int]]:
    """The ladder: full size first, each step half the one before, rounded up.

    Args:
        height: H.
        width: W.
        stages: halvings; None takes as many as leave at least 4 pixels on the short side.

    Returns:
        stages + 1 pairs (h, w); 28 x 28 gives 28, 14, 7 (and 64 x 64: 64, 32, 16, 8, 4).
    """
    ladder = [(height, width)]
    while stages is None or len(ladder) <= stages:
        h, w = ladder[-1]
        below = (math.ceil(h / 2), math.ceil(w / 2))
        if below == (h, w) or (stages is None and min(h // 2, w // 2) < _SMALLEST_BASE):
            break
        ladder.append(below)
    return ladder


class ConvEncoder(nn.Module):
    """(N, C, H, W) to (N, out_features): a VAE's encoder or a GAN's discriminator.

    Each stage halves the resolution by a 4 x 4 convolution of stride 2.

    Args:
        event_shape: (C, H, W).
        out_features: 2L for a posterior, 1 for a logit.
        width: channels at the full resolution, which only the decoder computes; they double with
            each halving.
        stages: halvings, see `resolutions`.
        batch_norm: normalise over the batch after each convolution. Not for a discriminator under
            a gradient penalty, which must treat every image on its own.
    """

    def __init__(
        self,
        event_shape: tuple[int, int, int],
        out_features: int,
        *,
        width: int,
        stages: int | None = None,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        before, height, width_pixels = event_shape
        ladder = resolutions(height, width_pixels, stages)
        layers: list[nn.Module] = []
        for level, (h, w) in enumerate(ladder[:-1], start=1):
            after = width * 2**level
            if h % 2 or w % 2:  # pad, so that each stage gives ceil(size / 2)
                layers.append(nn.ZeroPad2d((0, w % 2, 0, h % 2)))
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(0.2))
            before = after
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(before * math.prod(ladder[-1]), out_features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out_features)."""
        features: Tensor = self.head(flatten_pixels(self.body(x)))
        return features


class ConvDecoder(nn.Module):
    """(N, L) to (N, C, H, W): the mirror of `ConvEncoder`, a VAE's decoder or a generator.

    Each stage doubles the resolution by a transposed 4 x 4 convolution of stride 2: the stride
    divides the kernel, so every pixel is reached by equally many weights and no checkerboard is
    built in. Where a size was odd on the way down, the surplus row or column is cut off.

    Args:
        latent_dim: L.
        event_shape: (C, H, W).
        width: channels at the full resolution; they double with each halving.
        stages: halvings, see `resolutions`.
    """

    def __init__(
        self,
        latent_dim: int,
        event_shape: tuple[int, int, int],
        *,
        width: int,
        stages: int | None = None,
    ) -> None:
        super().__init__()
        channels, height, width_pixels = event_shape
        ladder = resolutions(height, width_pixels, stages)
        self.base = ladder[-1]
        self.top_channels = before = width * 2 ** (len(ladder) - 1)
        self.project = nn.Linear(latent_dim, before * math.prod(self.base))
        layers: list[nn.Module] = [nn.BatchNorm2d(before), nn.ReLU()]
        for above, (h, w) in zip(ladder[:0:-1], ladder[-2::-1], strict=True):
            after = before // 2
            layers.append(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False))
            if (2 * above[0], 2 * above[1]) != (h, w):
                layers.append(Crop(h, w))
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        layers.append(nn.Conv2d(before, channels, 3, padding=1))
        self.body = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """(N, L) to (N, C, H, W), unbounded."""
        base = self.project(z).view(-1, self.top_channels, *self.base)
        images: Tensor = self.body(base.contiguous(memory_format=torch.channels_last))
        return images


class Crop(nn.Module):
    """The top left corner of the given size."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, height, width)."""
        return x[..., : self.height, : self.width]
