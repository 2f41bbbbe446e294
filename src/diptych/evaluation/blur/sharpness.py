"""Sharpness as the variance of the Laplacian: blurred images have little of it.

Source: Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy". Noise has a
large Laplacian too and reads as sharp: quote the ratio to real images, and look at the samples.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.quantise import Images, to_bytes

__all__ = ["grey_blocks", "laplacian_variance", "sharpness", "sharpness_ratio"]

PIXELS = 2**18  # worked on at a time: 2 MB in float64, about what a processor keeps at hand
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def laplacian_variance(images: Images) -> Tensor:
    """Return Var[Δ g] of each image, g its grey version in 0..255.

    Δ is the four-neighbour stencil with weights 1, 1, 1, 1 and -4; pixels beyond the border
    repeat the edge, so that a constant image gives 0. Contrast c·g gives c² times the value.

    Args:
        images: uint8 (N, H, W, C) or floating (N, C, H, W) in 0..1; floats are quantised. Three
            channels, or the first three of four, are weighed as red, green and blue; one or two
            are averaged.

    Returns:
        (N,), float64, in squared grey levels.

    Raises:
        DataError: what is given are no images.
    """
    variances = []
    for block in grey_blocks(to_bytes(images)):
        g = F.pad(block, (1, 1, 1, 1), mode="replicate")
        laplacian = g[:, :-2, 1:-1] + g[:, 2:, 1:-1] + g[:, 1:-1, :-2] + g[:, 1:-1, 2:]
        laplacian -= 4 * g[:, 1:-1, 1:-1]
        variances.append(laplacian.flatten(1).var(1, correction=0))
    return torch.cat(variances)


def sharpness(images: Images) -> float:
    """Return the median of :func:`laplacian_variance`, in squared grey levels."""
    return float(laplacian_variance(images).median())


def sharpness_ratio(fake: Images, real: Images) -> float:
    """Return the sharpness of generated images over that of real ones.

    Below 1 the generated images are blurrier; above 1 they are sharper, or noisier.

    Raises:
        DataError: the real images are flat, so there is nothing to compare with.
    """
    reference = sharpness(real)
    if reference == 0:
        raise DataError("Half of the real images are flat, so sharpness relative to them is void.")
    return sharpness(fake) / reference


def grey_blocks(images: Tensor) -> Iterator[Tensor]:
    """Yield the luma of images, some at a time, as float64 (n, H, W) in 0..255.

    Args:
        images: uint8 (N, C, H, W). Three channels, or the first three of four, are weighed as
            red, green and blue; one or two are averaged.
    """
    weights = torch.tensor(LUMA, dtype=torch.float64, device=images.device)
    height, width = images.shape[2:]
    for block in torch.split(images, max(1, PIXELS // (height * width))):
        block = block.double()
        yield (
            block.mean(1)
            if block.shape[1] < 3
            else torch.einsum("nchw,c->nhw", block[:, :3], weights)
        )
