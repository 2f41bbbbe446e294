"""The samples nearest to the training set, each beside its nearest images there and elsewhere."""

import math
from pathlib import Path
from typing import Any

import torch

from diptych.data import image_grid, write_png
from diptych.evaluation.copies.instruments import FEWEST_CALIBRATING
from diptych.evaluation.copies.nearest import nearest
from diptych.evaluation.copies.ratio import (
    LEVEL,
    ClosestPairs,
    calibrated_threshold,
    closest_pairs,
    nearest_ratio,
    unseen_ratio,
)
from diptych.evaluation.sets import Sets

__all__ = ["copies_evidence"]

SHOWN = 8
DISTANCE = "Euclidean distance between features of a classifier trained on the training images"


def copies_evidence(sets: Sets, described: Sets, folder: Path) -> dict[str, Any] | None:
    """Write `copies.png` and return the entry `copies` of evidence.json.

    Three rows: the samples of lowest ratio r = (distance to the nearest training image) /
    (distance to the nearest held-out image), the worst first; those training images; those
    held-out images. The shares that are named are the figure nearest-ratio-share and its floor.

    Args:
        sets: images uint8 (N, H, W, C); without a training set there is nothing to find.
        described: their features (N, D), row for row.
        folder: of the picture.
    """
    if sets.train is None or described.train is None:
        return None
    held_out, train = described.real, described.train
    # All of them, sorted: the first are shown and the rest counted.
    pairs = closest_pairs(described.fake, held_out, train, k=len(described.fake))
    chosen = pairs.fake[:SHOWN]
    elsewhere = nearest(described.fake[chosen], held_out)[1][:, 0]
    rows = [sets.fake[chosen], sets.train[pairs.train[:SHOWN]], sets.real[elsewhere]]
    write_png(
        image_grid(torch.cat(rows).numpy(), columns=len(chosen), scale=1), folder / "copies.png"
    )
    distances = torch.stack([pairs.distance, pairs.to_held_out], 1)[:SHOWN]
    return {
        "picture": f"{folder.name}/copies.png",
        "columns": len(chosen),
        "distances": distances.tolist(),
        "distance": DISTANCE,
        "sentence": _sentence(pairs, described),
    }


def _sentence(pairs: ClosestPairs, described: Sets) -> str:
    assert described.train is not None
    first = (
        "Each column is a sample, the nearest training image and the nearest held-out image, the "
        "most suspicious column first. A copy would make the first two rows alike while the third "
        "differs. "
    )
    ratio = float(pairs.ratio[0])
    worst = (
        "In these features the most suspicious sample is the same as a training image"
        if ratio == 0
        else f"The most suspicious sample is {ratio:.2f} times as far from a training image as "
        "from a held-out one"
    )
    threshold = calibrated_threshold(unseen_ratio(described.real, described.train))
    if not 0 < threshold < math.inf:
        return (
            f"{first}{worst}. Held-out images repeat each other or training images, so no ratio "
            "can be called suspicious."
        )
    count, total = int((pairs.ratio <= threshold).sum()), len(pairs.ratio)
    have = f"so do {count:,} of {total:,} samples ({count / total:.2%})"
    if described.floor is not None:
        unseen = nearest_ratio(described.floor, described.real, described.train) <= threshold
        have += f" and {float(unseen.double().mean()):.2%} of unseen real images in their place"
    few = ""
    if len(described.real) < FEWEST_CALIBRATING:
        few = f" With {len(described.real)} held-out images the {LEVEL:.0%} is a guess."
    return (
        f"{first}{worst}. Of held-out images {LEVEL:.0%} reach {threshold:.2f} or less; "
        f"{have}.{few}"
    )
