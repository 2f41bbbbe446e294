"""From a model's floats to pictures and files."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diptych.data.files import atomic_path
from diptych.data.pictures import image_grid, scatter

__all__ = ["picture_of", "to_bytes", "write_samples"]


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """(N, C, H, W) in [0, 1] to uint8 (N, H, W, C), rounded to the nearest."""
    levels = (images.detach().float().clamp(0.0, 1.0) * 255.0).round()
    array: NDArray[np.uint8] = levels.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return array


def picture_of(samples: Tensor, *, columns: int = 8, scale: int | None = None) -> Image.Image:
    """A grid of images (N, C, H, W), or a scatter plot of points (N, D)."""
    if samples.dim() == 4:
        return image_grid(to_bytes(samples), columns=columns, scale=scale)
    return scatter(samples.detach().float().cpu().numpy())


def write_samples(samples: Tensor, path: Path) -> None:
    """Write images as bytes under `images`, (N, H, W, C), or points as floats under `points`."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if samples.dim() == 4:
            np.savez_compressed(file, images=to_bytes(samples))
        else:
            np.savez_compressed(file, points=samples.detach().float().cpu().numpy())
