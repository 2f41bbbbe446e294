"""Distances between pictures that need no trained weights, for use where LPIPS is not at hand.

Every distance here is a squared one, |f(a) − f(b)|² for some map f: path length divides it by ε²,
and its root obeys the triangle inequality, which the smoothness of paths relies on. LPIPS is of
the same kind. None of them rounds pictures to 8 bits: at a step of 1e-4 rounding is all that
would be seen.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.errors import DataError

__all__ = ["Distance", "pyramid_distance", "squared_distance"]

Distance = Callable[[Tensor, Tensor], Tensor]
"""From two sets of floating items, images (N, C, H, W) in 0..1 or points (N, D), to squared
distances (N,), the i-th of one to the i-th of the other."""

LEVELS = 4
SMALLEST_SIDE = 4
CONTRAST = 0.1  # local root mean square at which a detail counts half of what a strong one does


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return Σ (a − b)² over the values of each item.

    Args:
        a: floating (N, ...).
        b: the same shape.

    Returns:
        (N,), float64, in squared units of the values.

    Raises:
        DataError: the shapes differ, or the values are not floating.
    """
    _check(a, b)
    return (a - b).double().square().flatten(1).sum(1)


def pyramid_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared distance between normalised Laplacian pyramids; it has no weights.

    Level l of picture x is y_l = x_l / sqrt(m(x_l²) + c²), where x_l is a band of the Laplacian
    pyramid (the last one the low-pass that remains), m the mean over 3 × 3 pixels and all
    channels, and c = 0.1. d² = Σ_l mean (y_l(a) − y_l(b))²: a difference weighs less where the
    picture is busy, as it does for the eye. This is not LPIPS, and its values may not be compared
    with LPIPS's.

    Args:
        a: floating (N, C, H, W) in 0..1, any size.
        b: the same shape.

    Returns:
        (N,), float64, without unit; 0 for equal pictures.

    Raises:
        DataError: the shapes differ, or these are no floating pictures.

    Source: after Laparra, Ballé, Berardino & Simoncelli, "Perceptual image quality assessment
    using a normalized Laplacian pyramid", HVEI 2016, with the same constant at all scales.
    """
    _check(a, b)
    if a.ndim != 4:
        raise DataError(f"A pyramid needs pictures (N, C, H, W), not {tuple(a.shape)}.")
    levels = zip(_pyramid(a), _pyramid(b), strict=True)
    squares = [(x - y).double().square().mean((1, 2, 3)) for x, y in levels]
    return torch.stack(squares).sum(0)


def _pyramid(images: Tensor) -> list[Tensor]:
    """The normalised bands, the finest first."""
    bands: list[Tensor] = []
    while len(bands) < LEVELS - 1 and min(images.shape[2:]) >= 2 * SMALLEST_SIDE:
        below = _blur(images)[:, :, ::2, ::2]
        again = F.interpolate(below, images.shape[2:], mode="bilinear", align_corners=False)
        bands.append(_normalised(images - again))
        images = below
    return [*bands, _normalised(images)]


def _blur(images: Tensor) -> Tensor:
    """Each channel under the 5-tap binomial filter; edges are repeated."""
    channels = images.shape[1]
    taps = images.new_tensor([1, 4, 6, 4, 1]) / 16
    for kernel in (taps.view(1, 1, 5, 1), taps.view(1, 1, 1, 5)):
        tall, wide = kernel.shape[2] // 2, kernel.shape[3] // 2
        padded = F.pad(images, (wide, wide, tall, tall), mode="replicate")
        images = F.conv2d(padded, kernel.expand(channels, 1, -1, -1), groups=channels)
    return images


def _normalised(band: Tensor) -> Tensor:
    energy = band.square().mean(1, keepdim=True)
    local = F.avg_pool2d(F.pad(energy, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return band / (local + CONTRAST**2).sqrt()


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise DataError(
            f"A distance needs pairs of one shape, not {tuple(a.shape)} and {tuple(b.shape)}."
        )
    if not a.is_floating_point() or not b.is_floating_point():
        raise DataError(
            f"A distance needs floating values, not {a.dtype} and {b.dtype}: rounded ones hide "
            "small steps."
        )
