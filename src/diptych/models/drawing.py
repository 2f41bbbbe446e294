"""From a model's floats to pictures and files."""

import math
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diptych.data.files import atomic_path
from diptych.data.pictures import image_grid, scatter
from diptych.errors import DataError

__all__ = ["picture_of", "to_bytes", "write_blocks", "write_samples"]

SPARE_BYTES = 1_000_000
"""Left free on a disk beside a file of samples: its header, and what others write meanwhile."""


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
    write_blocks([samples], len(samples), tuple(samples.shape[1:]), path)


def write_blocks(
    blocks: Iterable[Tensor], count: int, event_shape: tuple[int, ...], path: Path
) -> None:
    """Write samples as they come: one block is held in memory, and no other.

    Args:
        blocks: images (N, C, H, W) in [0, 1] or points (N, D), `count` in all.
        count: how many there will be.
        event_shape: (C, H, W) or (D,).
        path: `.npy` for the array alone, images as uint8 (count, H, W, C), points as float32
            (count, D); `.npz` for the same, compressed, under `images` or `points`. Appears when
            it is whole; what was there before is replaced then and not earlier.

    Raises:
        DataError: an `.npy` that does not fit on the disk; nothing is drawn.
        OSError: the disk cannot be written, or is full after all.
        ValueError: there are more or fewer samples than `count`.
    """
    is_image = len(event_shape) == 3
    shape = (event_shape[1], event_shape[2], event_shape[0]) if is_image else event_shape
    dtype = np.dtype(np.uint8 if is_image else np.float32)
    whole = path.suffix.lower() == ".npy"
    if whole:
        _check_space(path, count * math.prod(shape) * dtype.itemsize)
    with atomic_path(path) as draft:
        if whole:
            with draft.open("wb") as file:
                _write_array(file, blocks, (count, *shape), dtype)
            return
        # The first level of compression: the higher ones take longer than decoding does.
        with (
            zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open(
                "images.npy" if is_image else "points.npy", "w", force_zip64=True
            ) as file,
        ):
            _write_array(file, blocks, (count, *shape), dtype)


def _check_space(path: Path, needed: int) -> None:
    """Refuse before the work what would end with a full disk."""
    free = shutil.disk_usage(path.parent).free
    if needed + SPARE_BYTES > free:
        raise DataError(
            f"{path} would take {_in_words(needed)} and {_in_words(free)} are free there; "
            "ask for fewer samples, or write them elsewhere"
        )


def _write_array(
    file: IO[bytes], blocks: Iterable[Tensor], shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> None:
    header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
    write_array_header_1_0(file, header)
    written = 0
    for block in blocks:
        array = to_bytes(block) if block.dim() == 4 else block.detach().float().cpu().numpy()
        if array.shape[1:] != shape[1:]:
            raise ValueError(f"samples of shape {array.shape[1:]} in a file of {shape[1:]}")
        file.write(np.ascontiguousarray(array, dtype).data)
        written += len(array)
    if written != shape[0]:
        raise ValueError(f"{written} samples in a file of {shape[0]}")


def _in_words(count: int) -> str:
    """Bytes as people say them: 58.4 GB, 144.0 MB."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
