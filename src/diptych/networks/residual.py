"""The residual pair of the SNGAN: a generator and a discriminator of blocks with shortcuts.

Built for 32 x 32 as in the paper, and with as many halvings as other sizes want. All blocks have
the same width.

Average pooling and nearest upsampling are linear, and so are the convolutions beside them. That
allows three rewrites that compute the same values from the same weights for less work:

- a 1 x 1 convolution commutes with either, so shortcuts convolve at the smaller resolution;
- a 3 x 3 convolution followed by 2 x 2 average pooling is one 4 x 4 convolution of stride 2, its
  kernel the mean of the four shifts of the small one: 16 multiplications in place of 36;
- nearest upsampling followed by a 3 x 3 convolution is one transposed 4 x 4 convolution of stride
  2, its kernel the sum of the four shifts of the mirrored small one: the same saving.

Source: Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018,
arXiv 1802.05957, appendix B.4, table 4.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    avg_pool2d,
    conv2d,
    conv_transpose2d,
    interpolate,
    pad,
    relu,
    relu_,
)

from diptych.networks.spectral import SpectralConv2d, SpectralLinear

__all__ = [
    "ResidualDecoder",
    "ResidualEncoder",
    "Upsampling",
    "convolve_and_pool",
    "halvings",
    "upsample_and_convolve",
]

Upsampling = Literal["nearest", "bilinear"]

_GAIN = math.sqrt(2.0)
"""Of the 3 x 3 convolutions inside blocks, which a rectifier follows or precedes."""


def halvings(height: int, width: int) -> int | None:
    """How often the image is halved until its shorter side has 4 to 7 pixels.

    Returns:
        32 x 32 gives 3, 28 x 28 gives 2, 64 x 64 gives 4; None where a side is odd before that,
        or the image is smaller than 8 pixels: then these networks do not fit it.
    """
    count = max(0, min(height, width).bit_length() - 3)
    fits = count > 0 and height % 2**count == 0 and width % 2**count == 0
    return count if fits else None


def _shifts(kernel: Tensor) -> Tensor:
    """The sum of a (.., 3, 3) kernel in the four corners of (.., 4, 4)."""
    rows = pad(kernel, (0, 0, 0, 1)) + pad(kernel, (0, 0, 1, 0))
    return pad(rows, (0, 1)) + pad(rows, (1, 0))


def convolve_and_pool(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """avg_pool2d(conv2d(x, weight, bias, padding=1), 2) as one convolution of stride 2.

    Args:
        x: (N, C, H, W), H and W even.
        weight: (K, C, 3, 3).
        bias: (K,).

    Returns:
        (N, K, H / 2, W / 2).
    """
    return conv2d(x, _shifts(weight) / 4.0, bias, stride=2, padding=1)


def upsample_and_convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """conv2d(nearest upsampling of x by 2, weight, bias, padding=1) as one transposed convolution.

    Args:
        x: (N, C, H, W).
        weight: (K, C, 3, 3).
        bias: (K,).

    Returns:
        (N, K, 2 H, 2 W).
    """
    kernel = _shifts(weight.flip(2, 3)).transpose(0, 1)
    return conv_transpose2d(x, kernel, bias, stride=2, padding=1)


class _UpBlock(nn.Module):
    """Twice the resolution: normalise, rectify, upsample and convolve; again; plus a shortcut."""

    def __init__(self, channels: int, upsampling: Upsampling) -> None:
        super().__init__()
        self.upsampling: Upsampling = upsampling
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = _convolution(channels, channels, 3, gain=_GAIN)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(channels, channels, 3, gain=_GAIN)
        self.shortcut = _convolution(channels, channels, 1)

    def _upsample(self, x: Tensor) -> Tensor:
        larger: Tensor = interpolate(x, scale_factor=2.0, mode=self.upsampling)
        return larger

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, 2 H, 2 W)."""
        h = relu_(self.norm1(x))
        if self.upsampling == "nearest":
            h = upsample_and_convolve(h, self.conv1.weight, self.conv1.bias)
        else:
            h = self.conv1(self._upsample(h))
        h = self.conv2(relu_(self.norm2(h)))
        # Interpolation weights sum to 1, so the shortcut's bias passes through them unchanged.
        return torch.add(h, self._upsample(self.shortcut(x)))


class _DownBlock(nn.Module):
    """Half the resolution: rectify and convolve, twice, pool; plus a shortcut.

    The first block of a network sees pixels, which it does not rectify.
    """

    def __init__(self, before: int, after: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.conv1 = SpectralConv2d(before, after, 3, gain=_GAIN)
        self.conv2 = SpectralConv2d(after, after, 3, gain=_GAIN)
        self.shortcut = SpectralConv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H / 2, W / 2)."""
        h = relu_(self.conv1(x if self.first else relu(x)))
        h = convolve_and_pool(h, self.conv2.normalised_weight(), self.conv2.bias)
        shortcut: Tensor = self.shortcut(avg_pool2d(x, 2))
        return h + shortcut


class _PlainBlock(nn.Module):
    """The same resolution and width: rectify and convolve, twice; plus the input itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = SpectralConv2d(channels, channels, 3, gain=_GAIN)
        self.conv2 = SpectralConv2d(channels, channels, 3, gain=_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        residual: Tensor = self.conv2(relu_(self.conv1(relu(x))))
        return x + residual


class ResidualDecoder(nn.Module):
    """(N, L) to (N, C, H, W): a linear map to the smallest resolution, then a block per doubling.

    For 3 x 32 x 32, L = 128 and width 64 it has 368,771 parameters. In the paper the width is 256.

    Args:
        latent_dim: L.
        event_shape: (C, H, W), of a size that `halvings` takes.
        width: channels of all blocks.
        upsampling: nearest as in the authors' code, which is the cheaper one here, or bilinear.

    Raises:
        ValueError: if the size does not fit.
    """

    def __init__(
        self,
        latent_dim: int,
        event_shape: tuple[int, int, int],
        *,
        width: int,
        upsampling: Upsampling = "nearest",
    ) -> None:
        super().__init__()
        channels, height, width_pixels = event_shape
        count = _fitting(height, width_pixels)
        self.base = (height // 2**count, width_pixels // 2**count)
        self.width = width
        self.project = nn.Linear(latent_dim, width * math.prod(self.base))
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        self.blocks = nn.Sequential(*(_UpBlock(width, upsampling) for _ in range(count)))
        self.norm = nn.BatchNorm2d(width)
        self.last = _convolution(width, channels, 3)

    def forward(self, z: Tensor) -> Tensor:
        """(N, L) to (N, C, H, W), unbounded; a GAN puts tanh after it."""
        base = self.project(z).view(-1, self.width, *self.base)
        h = self.blocks(base.contiguous(memory_format=torch.channels_last))
        images: Tensor = self.last(relu_(self.norm(h)))
        return images


class ResidualEncoder(nn.Module):
    """(N, C, H, W) to (N, out_features): a discriminator, spectrally normalised throughout.

    A block per halving, one halving less than the decoder has doublings (32 x 32 ends at 8 x 8),
    two blocks that keep the size, then the sum over all positions and a linear map. Images of
    less than 16 pixels are halved once.

    For 3 x 32 x 32 and width 64 it has 264,769 parameters. In the paper the width is 128.

    Args:
        event_shape: (C, H, W), of a size that `halvings` takes.
        out_features: 1 for a logit.
        width: channels of all blocks.

    Raises:
        ValueError: if the size does not fit.
    """

    def __init__(
        self, event_shape: tuple[int, int, int], out_features: int, *, width: int
    ) -> None:
        super().__init__()
        channels, height, width_pixels = event_shape
        count = max(1, _fitting(height, width_pixels) - 1)
        blocks: list[nn.Module] = [
            _DownBlock(width if index else channels, width, first=index == 0)
            for index in range(count)
        ]
        self.blocks = nn.Sequential(*blocks, _PlainBlock(width), _PlainBlock(width))
        self.head = SpectralLinear(width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out_features)."""
        h = relu_(self.blocks(x))
        # Summed in single precision or better, also under autocast.
        pooled = h.sum((2, 3), dtype=torch.promote_types(h.dtype, torch.float32))
        features: Tensor = self.head(pooled)
        return features


def _convolution(before: int, after: int, kernel_size: int, *, gain: float = 1.0) -> nn.Conv2d:
    made = nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2)
    nn.init.xavier_uniform_(made.weight, gain)
    nn.init.zeros_(made.bias)  # type: ignore[arg-type]
    return made


def _fitting(height: int, width: int) -> int:
    count = halvings(height, width)
    if count is None:
        raise ValueError(
            f"residual networks take images whose sides can be halved until the shorter one has "
            f"4 to 7 pixels, such as 28, 32 or 64; {height} x {width} cannot"
        )
    return count
