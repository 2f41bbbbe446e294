"""An atlas: pictures on the way between codes, for decoders that the page cannot run."""

import io
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from diptych.data import image_grid
from diptych.data.files import atomic_path
from diptych.data.pictures import to_visible
from diptych.models import Game
from diptych.models.drawing import to_bytes

__all__ = ["FROM_THE_PRIOR", "FROM_THE_QUERIES", "write_atlas"]

FROM_THE_QUERIES = 5
"""Held-out images between which there is a way."""
FROM_THE_PRIOR = 3
"""Codes from the prior, joined with each other and with those images."""
STEPS = 11
"""Pictures on each way, both ends included."""
GAP = 2
"""Pixels between two pictures, as in every grid."""
MOST_BYTES = 2_000_000
"""Of the file; pictures are compressed, then made smaller, until it fits."""
LONGEST_SIDE = 16_383
"""Pixels that a WebP can have."""


def write_atlas(model: Game, queries: Tensor, prior: Tensor, folder: Path) -> dict[str, Any]:
    """Write `atlas.webp`, a row of 11 pictures for each pair of ends.

    Args:
        model: in evaluation mode, of images.
        queries: codes (n, L) of held-out images; the first 5 are ends.
        prior: codes (m, L) from the prior; the first 3 are ends.
        folder: where to write.

    Returns:
        The entry `atlas` of latents. In `pairs` an end below n is a query, and n + k is the k-th
        code of the prior. `cell` is the height and width of one picture; 2 pixels lie between.
    """
    count = len(queries)
    chosen = [
        *range(min(FROM_THE_QUERIES, count)),
        *range(count, count + min(FROM_THE_PRIOR, len(prior))),
    ]
    codes = torch.cat([queries, prior])
    pairs = list(combinations(chosen, 2))
    rows = [
        to_bytes(model.interpolate(codes[i : i + 1], codes[j : j + 1], steps=STEPS)[0])
        for i, j in pairs
    ]
    content, cell = _within_limits(np.concatenate([to_visible(row) for row in rows]))
    with atomic_path(folder / "atlas.webp") as draft:
        draft.write_bytes(content)
    return {
        "picture": "page/atlas.webp",
        "columns": STEPS,
        "steps": STEPS,
        "pairs": [list(pair) for pair in pairs],
        "cell": list(cell),
    }


def _within_limits(pictures: NDArray[np.uint8]) -> tuple[bytes, tuple[int, int]]:
    """The pictures (N, H, W, 3) as one WebP that is light enough, and the size of each in it."""
    height, width = pictures.shape[1:3]
    factor = 1
    while True:
        cell = (max(1, height // factor), max(1, width // factor))
        sheet = image_grid(_shrunk(pictures, cell), columns=STEPS, gap=GAP, scale=1)
        if max(sheet.size) <= LONGEST_SIDE:
            for quality in (None, 92, 80, 60):
                buffer = io.BytesIO()
                sheet.save(buffer, "WEBP", lossless=quality is None, quality=quality or 80)
                if buffer.tell() <= MOST_BYTES:
                    return buffer.getvalue(), cell
        factor *= 2


def _shrunk(pictures: NDArray[np.uint8], cell: tuple[int, int]) -> NDArray[np.uint8]:
    if pictures.shape[1:3] == cell:
        return pictures
    size = (cell[1], cell[0])
    resized = [Image.fromarray(image).resize(size, Image.Resampling.BOX) for image in pictures]
    return np.stack([np.asarray(image) for image in resized])
