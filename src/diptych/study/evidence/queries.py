"""The held-out images that every model of a study is asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.data import Data, image_grid, write_png
from diptych.training.batches import images_from_bytes

__all__ = ["choose_queries", "query_images", "query_rows"]

QUERIES = 12
"""Held-out images at most; each costs a GAN a search, and the page a place in one row."""


def choose_queries(data: Data, study_directory: Path) -> dict[str, Any] | None:
    """Choose the held-out images every model is asked for and write `pictures/queries.png`.

    Args:
        data: images; their test split is what is chosen from.
        study_directory: where `pictures/` is.

    Returns:
        The entry `queries` of study.json: the picture, one row at one pixel per pixel; the class
        of each or None; their count. None for points.
    """
    if data.kind != "images":
        return None
    rows = query_rows(data)
    images = np.asarray(data.array[rows])
    path = Path(study_directory) / "pictures" / "queries.png"
    write_png(image_grid(images, columns=len(rows), scale=1), path)
    labels = [None] * len(rows) if data.labels is None else data.labels[rows].tolist()
    return {"picture": "pictures/queries.png", "labels": labels, "count": len(rows)}


def query_rows(data: Data) -> NDArray[np.int64]:
    """Row numbers of at most 12 test images, the classes in turn; the same for the same data."""
    test = data.splits["test"]
    if data.labels is None:
        return data.rows("test", min(QUERIES, len(test)))
    labels = data.labels[test]
    present = np.unique(labels)
    if len(present) > QUERIES:
        present = present[np.arange(QUERIES) * len(present) // QUERIES]
    turns = -(-QUERIES // len(present))
    chosen: list[int] = []
    for turn in range(turns):
        for label in present:
            own = test[labels == label]
            place = turn * len(own) // turns
            if len(chosen) < QUERIES and int(own[place]) not in chosen:
                chosen.append(int(own[place]))
    return np.array(chosen, np.int64)


def query_images(data: Data) -> Tensor:
    """The same images, (count, C, H, W) in [0, 1]."""
    return images_from_bytes(torch.from_numpy(np.asarray(data.array[query_rows(data)])))
