"""What every comparison of an image with its reconstruction asks of the two."""

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = ["check_pairs"]


def check_pairs(first: Tensor, second: Tensor, data_range: float = 1.0) -> None:
    """Refuse what are not two equally shaped batches of images in 0..`data_range`.

    Nothing is quantised or clamped here: a step of a model's latent code may move its image by
    far less than a byte, and must still be seen.

    Args:
        first: (N, C, H, W), floating; values may leave the range a little, as noise does.
        second: the same shape.
        data_range: the brightest possible value, > 0; the darkest is 0.

    Raises:
        DataError: other axes or types, no images, unequal shapes, values that are not finite, or
            a range that is plainly another.
    """
    if not data_range > 0:
        raise DataError(f"The range of image values must be above 0, not {data_range}.")
    for images in (first, second):
        if images.ndim != 4 or not images.numel() or not images.is_floating_point():
            kind = str(images.dtype).removeprefix("torch.")
            raise DataError(
                f"Images to compare must be floats (N, C, H, W) in 0..{data_range:g}, not "
                f"{kind} {tuple(images.shape)}."
            )
    if first.shape != second.shape:
        raise DataError(
            "Images are compared one by one and need equal shapes, not "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    for images in (first, second):
        low, high = (float(edge) for edge in images.detach().aminmax())
        if not torch.isfinite(torch.tensor([low, high])).all():  # aminmax passes NaN on
            raise DataError("The images hold NaN or infinite values; the model failed.")
        if low < -0.75 * data_range or high > 2 * data_range:
            raise DataError(
                f"Images to compare must lie in 0..{data_range:g}, but these reach from {low:.3g} "
                f"to {high:.3g}; rescale them first."
            )
