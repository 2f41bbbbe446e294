"""The power spectrum of images over frequency: what blur takes away, and what noise adds.

Natural images have a power of about 1/f², a straight line of slope -2 over two logarithmic axes.
Blur bends its end down, noise lifts it, and upsampling layers leave bumps near the highest
frequencies.

Sources: van der Schaaf and van Hateren 1996, "Modelling the power spectra of natural images",
Vision Research 36(17); Durall, Keuper and Keuper 2020, arXiv:2003.01826 (generated images).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.blur.sharpness import grey_blocks
from diptych.evaluation.quantise import Images, to_bytes

__all__ = [
    "HIGH",
    "LOWEST",
    "SMALLEST_SIDE",
    "Spectra",
    "high_frequency_share",
    "power_spectra",
    "spectral_distance",
    "spectral_slope",
]

LOWEST = 0.05  # cycles per pixel; below it lies what the picture shows, not how sharply
HIGH = 0.25  # cycles per pixel: half of what the pixels can hold
SMALLEST_SIDE = 8
"""Pixels without which fewer than three rings are left to lay a line through."""
FAINTEST = 1e-3  # squared grey levels, far below the 1/12 that rounding to bytes leaves


@dataclass(frozen=True, eq=False)
class Spectra:
    """The power of images, ring by ring of equal frequency.

    Attributes:
        frequencies: (K,), mean frequency of each ring, cycles per pixel, up to 0.5.
        power: (N, K), mean power in each ring, squared grey levels: white noise of variance σ²
            has σ² in every ring.
        high: (N,), summed power above :data:`HIGH`, the corners beyond 0.5 included.
        total: (N,), summed power without the mean level.
    """

    frequencies: Tensor
    power: Tensor
    high: Tensor
    total: Tensor


def power_spectra(images: Images) -> Spectra:
    """Return the radially averaged power spectrum of each image, in grey.

    P(f) = |FFT(w (g − ḡ))|² / Σw², with w the symmetric Hann window over both axes, so that
    opposite edges need not fit together, and ḡ the mean under the window. A ring is one step of
    the coarser axis's frequencies wide, 1 / min(H, W). The rings begin above the mean's own lobe,
    at the second, and at 0.05 cycles per pixel or more; they end at 0.5.

    Args:
        images: uint8 (N, H, W, C) or floating (N, C, H, W) in 0..1; floats are quantised.

    Returns:
        The spectra, float64.

    Raises:
        DataError: what is given are no images, or a side has fewer than 8 pixels.
    """
    pixels = to_bytes(images)
    height, width = pixels.shape[2:]
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(
            f"A spectrum needs images of {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels or more, not "
            f"{height} x {width}."
        )
    window = _hann(height)[:, None] * _hann(width)
    frequency = (
        torch.fft.fftfreq(height, dtype=torch.float64)[:, None].square()
        + torch.fft.rfftfreq(width, dtype=torch.float64).square()
    ).sqrt()
    # Of the spectrum of a real image only half is computed; the other half is its mirror image.
    twice = torch.full_like(frequency, 2.0)
    twice[:, 0] = 1
    if width % 2 == 0:
        twice[:, -1] = 1
    side = min(height, width)
    ring = (frequency * side).round().long().flatten()
    first, last = max(2, int(-(-LOWEST * side // 1))), side // 2
    weight = twice.flatten()
    members = torch.zeros(int(ring.max()) + 1, dtype=torch.float64).index_add_(0, ring, weight)
    centre = torch.zeros_like(members).index_add_(0, ring, weight * frequency.flatten()) / members
    power, high, total = [], [], []
    for block in grey_blocks(pixels):
        g = block.cpu()
        g = g - g[:, :1, :1]  # flat images become exactly 0
        level = (g * window).sum((1, 2), keepdim=True) / window.sum()
        spectrum = torch.fft.rfft2(window * (g - level)).abs().square() / window.square().sum()
        spectrum = (spectrum * twice).flatten(1)
        spectrum[:, 0] = 0  # what rounding leaves of the mean
        sums = torch.zeros(len(g), len(members), dtype=torch.float64)
        power.append(sums.index_add_(1, ring, spectrum)[:, first : last + 1])
        high.append(spectrum[:, frequency.flatten() > HIGH].sum(1))
        total.append(spectrum.sum(1))
    return Spectra(
        centre[first : last + 1],
        torch.cat(power) / members[first : last + 1],
        torch.cat(high),
        torch.cat(total),
    )


def spectral_slope(frequencies: Tensor, power: Tensor) -> Tensor:
    """Return the slope of log power over log frequency, by least squares over the rings.

    0 for white noise, -2 for noise whose amplitude is 1/f; the contrast does not matter.

    Args:
        frequencies: (K,), K ≥ 2, cycles per pixel.
        power: (..., K), usually the mean over images.

    Returns:
        (...), without a unit.
    """
    x = frequencies.log()
    x = x - x.mean()
    return (_log(power) * x).sum(-1) / x.square().sum()


def high_frequency_share(high: Tensor, total: Tensor) -> Tensor:
    """Return Σ power above 0.25 cycles per pixel / Σ power, a share; 0 where there is no power.

    White noise has 1 − π/16 = 0.804, the part of the square of frequencies outside the circle.
    """
    return torch.where(total > 0, high / total.clamp(min=torch.finfo(total.dtype).tiny), 0.0)


def spectral_distance(power: Tensor, other: Tensor) -> Tensor:
    """Return how differently two mean spectra are bent, in decibels, ≥ 0.

    The standard deviation over rings of 10 log₁₀(P / P'): a factor in contrast moves all rings
    alike and does not count.

    Args:
        power: (..., K), means over images.
        other: (..., K).

    Returns:
        (...), decibels.
    """
    return (10 / torch.log(torch.tensor(10.0).double()) * (_log(power) - _log(other))).std(
        -1, correction=0
    )


def _log(power: Tensor) -> Tensor:
    return power.clamp(min=FAINTEST).log()


def _hann(length: int) -> Tensor:
    return torch.hann_window(length, periodic=False, dtype=torch.float64)
