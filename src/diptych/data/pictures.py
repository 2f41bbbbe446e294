"""Pictures people look at: grids of images and clouds of points, drawn with Pillow alone."""

from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from diptych.data.files import atomic_path
from diptych.errors import DataError

__all__ = ["COLOURS", "image_grid", "scatter", "to_visible", "write_png"]

VISIBLE = 96  # pixels; small pictures are enlarged by a whole number up to about this side

COLOURS = (
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
    (140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207),
)  # fmt: skip


def to_visible(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images of 1 to 4 channels as a screen can show them: uint8 (N, H, W, 3).

    Grey is repeated, RGBA is laid over white, and of two channels the first is shown as grey: the
    second has no colour of its own.

    Args:
        images: uint8 (N, H, W, C), C in 1..4.

    Raises:
        DataError: another type or number of axes or channels.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or not 1 <= images.shape[3] <= 4:
        raise DataError(
            f"images to draw have shape {images.shape} and type {images.dtype}; uint8 of shape "
            "(N, H, W, C) with 1 to 4 channels was expected."
        )
    channels = images.shape[3]
    if channels <= 2:
        return np.repeat(images[..., :1], 3, axis=-1)
    if channels == 3:
        return images
    alpha = images[..., 3:].astype(np.float64) / 255
    return np.rint(alpha * images[..., :3] + (1 - alpha) * 255).astype(np.uint8)


def image_grid(
    images: NDArray[np.uint8],
    columns: int | None = None,
    gap: int = 2,
    scale: int | None = None,
) -> Image.Image:
    """Lay images out in rows on white, first image top left.

    Pixels are only ever repeated, never blended, so that a grid shows what a model made. See
    `to_visible` for 2 and 4 channels.

    Args:
        images: uint8 (N, H, W, C), N at least 1, C in 1..4.
        columns: images per row; by default the grid is about as wide as high.
        gap: white pixels between images, after enlarging.
        scale: enlarge by this whole number; by default until small images are about 96 pixels.

    Returns:
        A picture of mode RGB.

    Raises:
        DataError: no images, another shape or type, or a number that is not positive.
    """
    visible = to_visible(images)
    count, height, width = visible.shape[:3]
    columns = min(count, ceil(sqrt(count))) if columns is None else columns
    scale = max(1, VISIBLE // max(height, width, 1)) if scale is None else scale
    if count == 0 or columns < 1 or scale < 1 or gap < 0:
        raise DataError(
            f"a grid of {count} images in {columns} columns, scale {scale} and gap {gap} cannot "
            "be drawn; all but the gap must be at least 1."
        )
    rows = ceil(count / columns)
    down, right = height * scale + gap, width * scale + gap
    sheet = np.full((rows * down - gap, columns * right - gap, 3), 255, np.uint8)
    for number, image in enumerate(visible):
        top, left = number // columns * down, number % columns * right
        large = image.repeat(scale, axis=0).repeat(scale, axis=1)
        sheet[top : top + height * scale, left : left + width * scale] = large
    return Image.fromarray(sheet)


def scatter(
    points: NDArray[Any], labels: NDArray[np.int64] | None = None, side: int = 640
) -> Image.Image:
    """Draw points as dots on white, both axes on one scale; the first two of more coordinates.

    Points that are not finite, as a diverged model makes them, are left out.

    Args:
        points: floats (N, D); with D = 1 a dot's height is its row number.
        labels: (N,) classes, told by colour.
        side: of the square picture, in pixels.

    Returns:
        A picture of mode RGB.

    Raises:
        DataError: there are no points.
    """
    if points.ndim != 2 or points.size == 0:
        raise DataError(f"points to draw have shape {points.shape}; (N, D) was expected.")
    finite = np.isfinite(points).all(axis=1)
    points, labels = points[finite], None if labels is None else labels[finite]
    image = Image.new("RGB", (side, side), "white")
    if len(points) == 0:
        return image
    x = points[:, 0].astype(np.float64)
    second = points[:, 1] if points.shape[1] > 1 else np.linspace(x.min(), x.max(), len(x))
    y = second.astype(np.float64)
    span = max(float(np.ptp(x)), float(np.ptp(y))) or 1.0
    margin = side / 20
    reach = side - 2 * margin
    across = side / 2 + (x - (x.min() + x.max()) / 2) / span * reach
    down = side / 2 - (y - (y.min() + y.max()) / 2) / span * reach
    pen = ImageDraw.Draw(image)
    colours = np.zeros(len(x), np.int64) if labels is None else labels % len(COLOURS)
    for left, top, colour in zip(across, down, colours, strict=True):
        pen.ellipse((left - 1.5, top - 1.5, left + 1.5, top + 1.5), fill=COLOURS[colour])
    return image


def write_png(image: Image.Image, path: Path) -> Path:
    """Write a picture as PNG, whole or not at all; its folder is made.

    Raises:
        DataError: the path cannot be written.
    """
    try:
        with atomic_path(path) as draft:
            image.save(draft, format="PNG")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path
