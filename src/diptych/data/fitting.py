"""Bringing pictures to one size: antialiased, and never squashed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diptych.errors import DataError

__all__ = ["Fit", "parse_fit", "resize_array"]

ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class Fit:
    """How pictures are brought to one size.

    Attributes:
        size: (height, width) in pixels, or None to leave pictures as they are.
        crop: cut the middle out where the aspect differs, rather than refuse.
    """

    size: tuple[int, int] | None = None
    crop: bool = False

    def objection(self, height: int, width: int) -> str | None:
        """Why a picture cannot be brought to the size without squashing it; None if it can."""
        if self.size is None or self.crop:
            return None
        if abs(log(width / height) - log(self.size[1] / self.size[0])) <= ASPECT_TOLERANCE:
            return None
        return (
            f"is {height} x {width}, whose aspect is not that of "
            f"{self.size[0]} x {self.size[1]} (height x width)"
        )

    def resize(self, image: Image.Image) -> Image.Image:
        """The picture at the size, by a Lanczos filter that widens when it shrinks.

        Transparent modes are resized with premultiplied alpha, so that hidden colours do not leak.
        """
        if self.size is None or image.size == (self.size[1], self.size[0]):
            return image
        height, width = self.size
        box = (0.0, 0.0, float(image.width), float(image.height))
        if self.crop:
            # The largest centred window of the target's aspect; resampling reads only from it.
            scale = min(image.width / width, image.height / height)
            left = (image.width - scale * width) / 2
            top = (image.height - scale * height) / 2
            box = (left, top, image.width - left, image.height - top)
        return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def parse_fit(size: int | Sequence[int] | None, crop: bool) -> Fit:
    """Check `size` (pixels, or height and width) and `crop` and make them a `Fit`.

    Raises:
        DataError: a size that is not one or two positive whole numbers, or a crop without size.
    """
    if size is None:
        if crop:
            raise DataError("crop was asked for without a size; give one, for example --size 64.")
        return Fit()
    pair = (size, size) if isinstance(size, int) else tuple(size)
    whole = all(isinstance(side, int) and not isinstance(side, bool) for side in pair)
    if len(pair) != 2 or not whole or min(pair) < 1:
        raise DataError(
            f"size is {size!r}; it must be one positive number of pixels, or (height, width)."
        )
    return Fit((pair[0], pair[1]), crop)


def resize_array(images: NDArray[np.uint8], fit: Fit) -> NDArray[np.uint8]:
    """Resize uint8 (N, H, W, C) channel by channel: an array does not say which one is alpha."""
    if fit.size is None or images.shape[1:3] == fit.size:
        return images
    resized = np.empty((len(images), *fit.size, images.shape[3]), np.uint8)
    for row, image in enumerate(images):
        for channel in range(images.shape[3]):
            plane: NDArray[Any] = np.ascontiguousarray(image[..., channel])
            resized[row, ..., channel] = np.asarray(fit.resize(Image.fromarray(plane)))
    return resized
