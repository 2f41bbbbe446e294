"""Three ways to bring an image to the size a network expects; each moves a Fréchet distance.

Every one of them is linear and separable, so it is two small matrices: y = R x Cᵀ.

- ``tf1``: TensorFlow 1's ``resize_bilinear``: output pixel j lies at j·in/out, without the shift
  of half a pixel and without antialiasing. The FID of the literature.
- ``torch``: bilinear with half-pixel centres, no antialiasing: what pytorch-fid does.
- ``pil``: Pillow's bicubic (a = −½), widened when it shrinks so that nothing aliases, in floating
  point: what clean-fid does.

Source: Parmar, Zhang and Zhu 2022, arXiv:2104.11222 (how far they lie apart).
"""

from functools import lru_cache
from typing import Literal, get_args

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = ["RESIZES", "Resize", "resize", "resize_matrix"]

Resize = Literal["tf1", "torch", "pil"]
RESIZES: tuple[Resize, ...] = get_args(Resize)
"""The names of the protocols."""


def resize(images: Tensor, size: int, how: Resize) -> Tensor:
    """Resize images to a square; their aspect is not kept, as in every FID protocol.

    Args:
        images: (N, C, H, W), any type, in 0..255.
        size: pixels of a side.
        how: the protocol.

    Returns:
        float32 (N, C, size, size) in 0..255, on the device of the images; never rounded to bytes.

    Raises:
        DataError: an unknown protocol.
    """
    x = images.float()
    height, width = x.shape[2:]
    rows = resize_matrix(height, size, how).to(x.device)
    columns = resize_matrix(width, size, how).to(x.device)
    if (height, width) != (size, size):
        x = rows @ (x @ columns.T)
    # Bicubic weights are negative in places and overshoot; clean-fid clips this way.
    return x.clamp(0, 255) if how == "pil" else x


@lru_cache(maxsize=64)
def resize_matrix(size_in: int, size_out: int, how: Resize) -> Tensor:
    """Return the float32 (size_out, size_in) matrix of a resize along one axis; rows sum to 1.

    Args:
        size_in: pixels before.
        size_out: pixels after.
        how: the protocol.

    Raises:
        DataError: an unknown protocol.
    """
    place = torch.arange(size_out, dtype=torch.float64)
    scale = size_in / size_out
    if how == "tf1":
        # TensorFlow and PyTorch work out positions in float32, and an FID to the last digit
        # depends on it.
        return _bilinear((place.float() * scale).double(), size_in)
    if how == "torch":
        centre = ((place.float() + 0.5) * scale - 0.5).double()
        return _bilinear(centre.clamp(min=0), size_in)
    if how != "pil":
        raise DataError(f"There is no resize {how!r}; choose one of {', '.join(RESIZES)}.")
    centre, widening = (place + 0.5) * scale, max(scale, 1.0)
    pixels = torch.arange(size_in, dtype=torch.float64) + 0.5
    weights = _cubic((pixels[None] - centre[:, None]) / widening)
    return (weights / weights.sum(1, keepdim=True)).float()


def _bilinear(position: Tensor, size_in: int) -> Tensor:
    left = position.floor().long().clamp(max=size_in - 1)
    right = (left + 1).clamp(max=size_in - 1)
    share = position - left
    matrix = torch.zeros(len(position), size_in, dtype=torch.float64)
    rows = torch.arange(len(position))
    matrix[rows, left] = 1 - share
    matrix[rows, right] += share
    return matrix.float()


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic kernel with a = −½, zero from 2 on."""
    x = distance.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
