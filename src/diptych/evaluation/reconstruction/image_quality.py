"""How alike an image and its reconstruction are: MSE, PSNR, SSIM and MS-SSIM.

Sources: Wang, Bovik, Sheikh and Simoncelli 2004, "Image quality assessment: from error visibility
to structural similarity", IEEE TIP 13(4) (SSIM); Wang, Simoncelli and Bovik 2003, "Multiscale
structural similarity for image quality assessment", Asilomar (MS-SSIM).

All take floating (N, C, H, W) of any number of channels and give one float64 number per image.
Nothing is quantised; values outside the range are taken as they are.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.reconstruction.pairs import check_pairs

__all__ = [
    "MS_SSIM_WEIGHTS",
    "WINDOW",
    "ms_ssim",
    "ms_ssim_scales",
    "ms_ssim_weights",
    "mse",
    "psnr",
    "ssim",
    "window_for",
]

SIGMA = 1.5  # pixels
K1, K2 = 0.01, 0.03
WINDOW = 11
SMALLEST_WINDOW = 7
"""Pixels; a smaller window sees so little that its variances are noise."""
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, the finest first, as fitted to what people judged."""
VALUES = 2**18  # of one batch worked on at a time: 2 MB in float64, which stay at hand


def mse(first: Tensor, second: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return mean (x − y)² of each pair, (N,), in squared units of the images.

    Args:
        first: (N, C, H, W), floating, in 0..`data_range`.
        second: the same shape.
        data_range: the brightest possible value; the darkest is 0.

    Raises:
        DataError: these are not two equal batches of images in the range.
    """
    check_pairs(first, second, data_range)
    return torch.cat(
        [(x - y).square().flatten(1).mean(1) for x, y in _blocks(first.detach(), second.detach())]
    )


def psnr(first: Tensor, second: Tensor, *, data_range: float = 1.0) -> Tensor:
    """Return the peak signal-to-noise ratio 10 log₁₀(range² / MSE) of each pair, (N,), in dB.

    Infinite for a pair without any difference. The mean of the ratios of several images is not
    the ratio of their mean error, which other packages report: say which.

    Args:
        first: (N, C, H, W), floating, in 0..`data_range`.
        second: the same shape.
        data_range: the brightest possible value; the darkest is 0.

    Raises:
        DataError: these are not two equal batches of images in the range.
    """
    return 10 * torch.log10(data_range**2 / mse(first, second, data_range=data_range))


def ssim(
    first: Tensor, second: Tensor, *, data_range: float = 1.0, window: int = WINDOW
) -> Tensor:
    """Return the structural similarity of each pair, (N,), in -1..1; 1 only for equal images.

    SSIM = mean of (2μ_x μ_y + C₁)(2σ_xy + C₂) / ((μ_x² + μ_y² + C₁)(σ_x² + σ_y² + C₂)), the
    moments weighted by a Gaussian of σ = 1.5 pixels cut to `window` × `window` and to sum 1
    (the biased covariance), over all places where the window lies inside the image, then over
    channels. C₁ = (0.01 range)², C₂ = (0.03 range)².

    Args:
        first: (N, C, H, W), floating, in 0..`data_range`.
        second: the same shape.
        data_range: the brightest possible value; the darkest is 0. It is never guessed from the
            images, because that would make the number depend on the batch.
        window: odd; see :func:`window_for`.

    Raises:
        DataError: these are not two equal batches of images in the range, or the window is even
            or larger than the images.

    Source: Wang et al. 2004.
    """
    check_pairs(first, second, data_range)
    kernel = _gaussian(window, first)
    values = [
        _similarity(x, y, kernel, data_range)[0].mean(1)
        for x, y in _blocks(first.detach(), second.detach())
    ]
    return torch.cat(values)


def ms_ssim(
    first: Tensor,
    second: Tensor,
    *,
    data_range: float = 1.0,
    window: int = WINDOW,
    scales: int = 5,
) -> Tensor:
    """Return the multi-scale structural similarity of each pair, (N,), in 0..1.

    MS-SSIM = SSIM_M^{w_M} Π_{j<M} CS_j^{w_j}: contrast and structure at every scale, luminance at
    the coarsest alone. CS is the second factor of :func:`ssim`. Each scale halves the one
    before by means of 2 × 2 pixels; a last odd row or column is dropped. Negative values at a
    scale count as 0. Per channel, then the mean.

    With fewer than five scales the weights are those of the finest ones, made to sum to the same:
    that number compares with those of the same number of scales only.

    Args:
        first: (N, C, H, W), floating, in 0..`data_range`.
        second: the same shape.
        data_range: the brightest possible value; the darkest is 0.
        window: odd.
        scales: 1 to 5; see :func:`ms_ssim_scales`.

    Raises:
        DataError: these are not two equal batches of images in the range, or the coarsest scale
            is smaller than the window.

    Source: Wang, Simoncelli and Bovik 2003, eq. 7 and section 3.2 (the weights).
    """
    check_pairs(first, second, data_range)
    weights = ms_ssim_weights(scales)
    kernel = _gaussian(window, first, 2 ** (scales - 1))
    return torch.cat(
        [
            _over_scales(x, y, kernel, data_range, weights)
            for x, y in _blocks(first.detach(), second.detach())
        ]
    )


def window_for(height: int, width: int) -> int | None:
    """The window for images of a size: 11, or the largest odd one that fits; None below 7."""
    window = min(WINDOW, height, width)
    window -= 1 - window % 2
    return window if window >= SMALLEST_WINDOW else None


def ms_ssim_scales(height: int, width: int) -> int:
    """How many of the five scales hold the 11 pixels of a window; 0 if not even the first.

    5 from 176 pixels on, 4 from 88, 3 from 44, 2 from 22.
    """
    return sum(min(height, width) >> scale >= WINDOW for scale in range(len(MS_SSIM_WEIGHTS)))


def ms_ssim_weights(scales: int) -> tuple[float, ...]:
    """The exponents of that many scales, the finest first; their sum is that of all five.

    Raises:
        DataError: not 1 to 5.
    """
    if not 1 <= scales <= len(MS_SSIM_WEIGHTS):
        raise DataError(f"MS-SSIM has 1 to {len(MS_SSIM_WEIGHTS)} scales, not {scales}.")
    share = sum(MS_SSIM_WEIGHTS) / sum(MS_SSIM_WEIGHTS[:scales])
    return tuple(weight * share for weight in MS_SSIM_WEIGHTS[:scales])


def _over_scales(
    x: Tensor, y: Tensor, kernel: Tensor, data_range: float, weights: tuple[float, ...]
) -> Tensor:
    product = torch.ones(x.shape[:2], dtype=x.dtype, device=x.device)
    for scale, weight in enumerate(weights):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        full, contrast = _similarity(x, y, kernel, data_range)
        factor = full if scale == len(weights) - 1 else contrast
        product = product * factor.clamp(min=0).pow(weight)
    return product.mean(1)


def _similarity(x: Tensor, y: Tensor, kernel: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Return SSIM and its factor of contrast and structure, each (N, C)."""
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_x, mean_y, xx, yy, xy = (_smooth(part, kernel) for part in (x, y, x * x, y * y, x * y))
    var_x = (xx - mean_x.square()).clamp(min=0)  # rounding may leave less than nothing
    var_y = (yy - mean_y.square()).clamp(min=0)
    contrast = (2 * (xy - mean_x * mean_y) + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return (luminance * contrast).mean((2, 3)), contrast.mean((2, 3))


def _smooth(x: Tensor, kernel: Tensor) -> Tensor:
    """The Gaussian over rows, then columns, of every channel alone; only whole windows.

    A sum of shifted images, which in float64 is ten times faster than a convolution.
    """
    for axis in (2, 3):
        kept = x.shape[axis] - len(kernel) + 1
        smooth = torch.zeros_like(x.narrow(axis, 0, kept))
        for shift, weight in enumerate(kernel.tolist()):
            smooth.add_(x.narrow(axis, shift, kept), alpha=weight)
        x = smooth
    return x


def _gaussian(window: int, images: Tensor, shrunk: int = 1) -> Tensor:
    """The weights of a window over one axis, (window,), float64 with sum 1."""
    smallest = min(images.shape[2:]) // shrunk
    if window < 1 or window % 2 == 0 or window > smallest:
        where = f", which are {smallest} at the coarsest scale" if shrunk > 1 else ""
        height, width = images.shape[2:]
        raise DataError(
            f"A window of {window} pixels must be odd and fit into the images of {height} x "
            f"{width}{where}; take a smaller window or fewer scales."
        )
    places = torch.arange(window, dtype=torch.float64, device=images.device) - window // 2
    weights = torch.exp(-0.5 * (places / SIGMA).square())
    return weights / weights.sum()


def _blocks(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The two in step, a few images at a time, as float64."""
    size = max(1, VALUES // first[0].numel())
    for x, y in zip(torch.split(first, size), torch.split(second, size), strict=True):
        yield x.double(), y.double()
