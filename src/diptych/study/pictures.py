"""The pictures of a study: real images, samples, reconstructions, and the way between codes."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diptych.data import Data, SplitName, image_grid, write_png
from diptych.models import Game
from diptych.models.drawing import picture_of, to_bytes
from diptych.training.batches import images_from_bytes

__all__ = ["draw_member", "interpolations", "pairs", "real_items", "real_picture"]

GRID = 8
"""Samples and real images are shown as 8 x 8."""
STRIPS = 6
"""Interpolations shown, one per row."""
STEPS = 9
"""Pictures from one end of an interpolation to the other."""
POINTS = 2_000
"""Points in a scatter plot."""


def real_items(data: Data, count: int, split: SplitName | None = "test") -> Tensor:
    """Up to `count` items: (n, C, H, W) in [0, 1] or (n, D).

    They are spread over a split, or over all of the data where None is given: no picture of other
    data than a model's own was seen in training.
    """
    if split is not None:
        rows = data.take(split, min(count, len(data.splits[split])))
    else:
        total = len(data.array)
        rows = np.asarray(data.array[np.arange(min(count, total)) * total // min(count, total)])
    items = torch.from_numpy(rows)
    return images_from_bytes(items) if data.kind == "images" else items


def real_picture(data: Data, *, scale: int | None = 1) -> Image.Image:
    """The middle of the diptych: held-out data on the same grid as the samples."""
    items = real_items(data, GRID * GRID if data.kind == "images" else POINTS)
    # Splits may be sorted by class; samples are not.
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(0))
    return picture_of(items[order], columns=GRID, scale=scale)


def pairs(images: Tensor, again: Tensor, *, scale: int | None = 1) -> Image.Image:
    """Two rows: images above, the model's own version of each below."""
    both = np.concatenate([to_bytes(images), to_bytes(again)])
    return image_grid(both, columns=len(images), scale=scale)


def interpolations(
    model: Game,
    start: Tensor,
    end: Tensor,
    *,
    steps: int = STEPS,
    scale: int | None = 1,
) -> Image.Image:
    """One row per pair of codes, `steps` pictures from one to the other; points are pooled."""
    paths = model.interpolate(start, end, steps=steps)
    return picture_of(paths.flatten(0, 1).cpu(), columns=steps, scale=scale)


def draw_member(model: Game, data: Data, folder: Path) -> dict[str, str]:
    """Write the pictures of one trained model at one pixel per pixel.

    Returns:
        File names by kind: samples, and for images reconstruction and interpolation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples = model.sample(GRID * GRID if model.is_image else POINTS, seed=0).cpu()
    drawn = {"samples": picture_of(samples, columns=GRID, scale=1)}
    if model.is_image:
        images = real_items(data, GRID)
        again = model.reconstruct(images.to(model.device), seed=0).cpu()
        drawn["reconstruction"] = pairs(images, again)
        codes = model.sample_codes(2 * STRIPS, seed=1)
        drawn["interpolation"] = interpolations(model, codes[:STRIPS], codes[STRIPS:])
    for kind, picture in drawn.items():
        write_png(picture, folder / f"{kind}.png")
    return {kind: f"{kind}.png" for kind in drawn}
