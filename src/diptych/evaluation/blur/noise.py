"""How noisy images are, so that noise does not read as sharpness.

Source: Donoho and Johnstone 1994, "Ideal spatial adaptation by wavelet shrinkage", Biometrika
81(3): the median absolute coefficient of the finest diagonal wavelets tells the noise, because
edges fill few of them. Here with Haar wavelets at all four offsets.
"""

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.blur.sharpness import grey_blocks
from diptych.evaluation.quantise import Images, to_bytes

__all__ = ["LAPLACIAN_GAIN", "ROUNDING", "noise_levels", "noise_ratio", "noise_share"]

NORMAL_QUARTILE = 0.6744897501960817  # the median of |ε| for ε ~ N(0, 1)
LAPLACIAN_GAIN = 20.0
"""Var[Δε] / Var[ε] of white noise: 4² + 1 + 1 + 1 + 1."""
ROUNDING = 1 / 12
"""Squared grey levels: the noise that rounding to bytes leaves in any picture."""


def noise_levels(images: Images) -> Tensor:
    """Return σ of white noise in each image, (N,), float64, in grey levels of 0..255.

    σ = median |d| / 0.6745 over d = (g₀₀ − g₀₁ − g₁₀ + g₁₁) / 2 of all 2 × 2 neighbours in grey.
    Ramps and straight edges along the axes give 0; so does noise that fills less than half of the
    picture. Fine texture reads as noise, so only the excess over real images means something.

    Args:
        images: uint8 (N, H, W, C) or floating (N, C, H, W) in 0..1; floats are quantised.

    Raises:
        DataError: what is given are no images, or a side has one pixel.
    """
    pixels = to_bytes(images)
    if min(pixels.shape[2:]) < 2:
        height, width = pixels.shape[2:]
        raise DataError(f"Noise needs images of 2 x 2 pixels or more, not {height} x {width}.")
    levels = []
    for g in grey_blocks(pixels):
        rows = g[:, :-1] - g[:, 1:]
        diagonal = (rows[:, :, :-1] - rows[:, :, 1:]) / 2
        levels.append(diagonal.flatten(1).abs().median(1).values / NORMAL_QUARTILE)
    return torch.cat(levels)


def noise_ratio(fake: Tensor, real: Tensor) -> Tensor:
    """Return √((σ² + 1/12) / (σ'² + 1/12)) of generated and real noise levels, > 0.

    The rounding noise of bytes is added to both, because real pictures with flat grounds have a
    level of 0, and what lies below rounding is not noise that anybody could see.
    """
    return ((fake.square() + ROUNDING) / (real.square() + ROUNDING)).sqrt()


def noise_share(sharpness: float, fake: float, real: float) -> float:
    """Return how much of a Laplacian variance is noise in excess of the real, a share in 0..1.

    White noise of variance σ² adds 20 σ² to the variance of the four-neighbour Laplacian.

    Args:
        sharpness: Laplacian variance of the generated images, squared grey levels.
        fake: their noise level σ, grey levels.
        real: the noise level of real images.
    """
    excess = max(0.0, fake**2 - real**2)
    return min(1.0, LAPLACIAN_GAIN * excess / sharpness) if sharpness > 0 else 0.0
