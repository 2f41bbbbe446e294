"""Images as the bytes a viewer would see, so that real and generated ones take one path."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.errors import DataError

__all__ = ["to_bytes"]

Images = Tensor | NDArray[Any]


def to_bytes(images: Images) -> Tensor:
    """Return images as uint8 (N, C, H, W) in 0..255.

    Generated floats are rounded and clamped like a saved picture: a metric that sees more of a
    model's output than a file could hold measures something nobody will ever look at.

    Args:
        images: uint8 (N, H, W, C) in 0..255, as data are kept, or floating (N, C, H, W) in 0..1,
            as models give them. The type decides the layout.

    Returns:
        uint8 (N, C, H, W), contiguous, on the same device.

    Raises:
        DataError: another type or number of axes, no images, values that are not finite, or a
            range that is plainly not 0..1.
    """
    if not isinstance(images, Tensor):
        images = torch.from_numpy(np.array(images))  # a copy: memory maps are read-only
    if images.ndim != 4 or not images.numel():
        raise DataError(
            f"Images must be (N, H, W, C) bytes or (N, C, H, W) floats, not {tuple(images.shape)}."
        )
    if images.dtype == torch.uint8:
        return _laid_out(images.permute(0, 3, 1, 2))
    if not images.is_floating_point():
        raise DataError(f"Images must be uint8 or floating, not {images.dtype}.")
    if not bool(images.isfinite().all()):
        raise DataError("The images hold NaN or infinite values; the model that drew them failed.")
    low, high = (float(edge) for edge in images.aminmax())
    # Noise may leave 0..1 a little; -1..1 and 0..255 leave it by far and must not pass clamped.
    if low < -0.75 or high > 2:
        raise DataError(
            f"Floating images must lie in 0..1, but these reach from {low:.3g} to {high:.3g}; "
            "rescale them first."
        )
    return _laid_out(images.float().mul(255).round().clamp(0, 255).to(torch.uint8))


def _laid_out(images: Tensor) -> Tensor:
    # Convolutions round differently in another memory layout, and `contiguous` leaves the strides
    # of one channel as they are.
    return images.clone(memory_format=torch.contiguous_format)
