"""Planted copies: what a model that only repeats its training set would give.

Measured in place of the generated items they give every figure its ceiling, and show whether an
instrument could have found copies in these data at all.
"""

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.copies.nearest import nearest

__all__ = ["near_copies", "noisy_bytes", "planted_rows"]

NOISE = 0.01
"""The length of the noise of a near copy over the usual distance between training items."""


def planted_rows(train: int, count: int, *, generator: torch.Generator) -> Tensor:
    """Return which training items are planted, int64 (count,); twice only if there are too few.

    Args:
        train: how many training items there are, at least 1.
        count: how many copies, at least 1.
        generator: on the CPU.
    """
    if train < 1 or count < 1:
        raise DataError(f"{count} copies cannot be planted from {train} training items.")
    rounds = [torch.randperm(train, generator=generator) for _ in range(-(-count // train))]
    return torch.cat(rounds)[:count]


def near_copies(train: Tensor, rows: Tensor, *, generator: torch.Generator) -> Tensor:
    """Return features of training items with noise far below the distance between neighbours.

    Args:
        train: (N, D), floating.
        rows: int64 (M,), which to copy.
        generator: on the CPU.

    Returns:
        (M, D), like `train`; exact copies where training items are mostly identical.
    """
    copies = train[rows]
    if len(train) < 2:
        return copies
    some = rows[:1000]
    usual = nearest(train[some], train, exclude=some)[0].median()
    noise = torch.randn(copies.shape, generator=generator, dtype=torch.float64)
    noise = noise.to(copies.device) * (NOISE * usual / copies.shape[1] ** 0.5)
    near: Tensor = (copies.double() + noise).to(train.dtype)
    return near


def noisy_bytes(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Return images in which every byte moved by −1, 0 or 1, within 0..255.

    Args:
        images: uint8, any shape.
        generator: on the CPU.
    """
    noise = torch.randint(-1, 2, images.shape, generator=generator, dtype=torch.int16)
    return (images.to(torch.int16) + noise.to(images.device)).clamp(0, 255).to(torch.uint8)
