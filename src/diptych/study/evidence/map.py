"""A map of latents: some codes, seen along two directions, and what their colours mean."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from diptych.data import Data, cache_root
from diptych.errors import DataError
from diptych.evaluation.extractors.classifier import train_classifier
from diptych.evaluation.sets import Progress, silent
from diptych.evaluation.streams import stream_seed
from diptych.models import Game
from diptych.models.drawing import to_bytes
from diptych.study.evidence.codes import AT_ONCE, pack, rounded, searches
from diptych.training.batches import images_from_bytes

__all__ = ["latent_map", "moving_directions", "principal_directions"]

POINTS = 600
"""Codes on the map."""
SIDE = 32
"""Pixels: larger pictures are averaged down to this side before they are regressed on."""


def latent_map(
    model: Game, data: Data, *, seed: int = 0, progress: Progress = silent
) -> dict[str, Any]:
    """The entry `map` of latents: codes, their places, labels, and what the axes are.

    A model with an encoder shows the codes of test images along their two principal components.
    One without shows codes from the prior along the two directions that change its pictures most,
    coloured by what the classifier of the metrics takes each picture for.

    Beside the keys of docs/study.md: `origin` (L,) and `directions` (2, L), so that any code z has
    its place at directions (z - origin), and `values`, the mean brightness of each picture, where
    there are no labels.
    """
    labels: Sequence[int | None]
    values: list[float] | None = None
    if searches(model):
        codes, small, labels, values = _from_the_prior(model, data, seed, progress)
        origin = torch.zeros(codes.shape[1], dtype=torch.float64)
        directions = moving_directions(codes, small)
        codes = codes[:POINTS]
        axes = "the two directions in which its pictures change most"
        sentence = "Each dot is a code drawn from the prior, and the code of a picture it made up"
        colour = "the class that a classifier, trained on the real images, takes the picture for"
    else:
        codes, labels = _of_test_images(model, data)
        origin = codes.double().mean(0)
        directions = principal_directions(codes)
        axes = "the first two principal components of the codes"
        sentence = "Each dot is the code of a held-out image"
        colour = "its class"
        if all(label is None for label in labels):
            images = images_from_bytes(torch.from_numpy(data.take("test", POINTS)))
            values = images.flatten(1).mean(1).tolist()
    if values is not None:
        colour = "the mean brightness of the picture"
    places = (codes.double() - origin) @ directions.T
    where = f"Left to right and bottom to top: {axes}."
    return {
        "codes": pack(codes),
        "xy": [[round(float(x), 4), round(float(y), 4)] for x, y in places],
        "labels": list(labels),
        "values": None if values is None else [round(value, 4) for value in values],
        "origin": [round(float(value), 5) for value in origin],
        "directions": [[round(float(v), 5) for v in row] for row in directions],
        "axes": axes,
        "sentence": f"{sentence}; its colour is {colour}. {where}",
    }


def principal_directions(codes: Tensor) -> Tensor:
    """The two directions in which codes (N, L) vary most, (2, L) orthonormal, float64.

    With one latent the second is zero. The sign is chosen so that the largest entry is positive.
    """
    centred = codes.double() - codes.double().mean(0)
    return _top_two(torch.linalg.svd(centred, full_matrices=False).Vh)


def moving_directions(codes: Tensor, pictures: Tensor) -> Tensor:
    """The two directions of code along which pictures change most, (2, L) orthonormal, float64.

    The pictures are regressed on the codes, x = B z + b; of all unit steps in z, the first right
    singular vector of B moves x furthest.

    Args:
        codes: (N, L), N > L.
        pictures: (N, P).
    """
    z = codes.double() - codes.double().mean(0)
    x = pictures.double() - pictures.double().mean(0)
    slope = torch.linalg.lstsq(z, x).solution  # (L, P)
    return _top_two(torch.linalg.svd(slope, full_matrices=False).U.T)


def _top_two(vectors: Tensor) -> Tensor:
    """The first two rows, padded with zeros, each with its largest entry positive."""
    top = torch.zeros(2, vectors.shape[1], dtype=vectors.dtype)
    top[: min(2, len(vectors))] = vectors[:2]
    largest = top.gather(1, top.abs().argmax(1, keepdim=True))
    return torch.where(largest < 0, -top, top)


def _of_test_images(model: Game, data: Data) -> tuple[Tensor, list[int | None]]:
    bytes_ = torch.from_numpy(data.take("test", POINTS))
    parts = torch.split(bytes_, AT_ONCE)
    codes = [model.find_codes(images_from_bytes(part).to(model.device)) for part in parts]
    found = data.labels_of("test", POINTS)
    labels = [None] * len(bytes_) if found is None else found.tolist()
    return rounded(torch.cat(codes)).cpu(), labels


def _from_the_prior(
    model: Game, data: Data, seed: int, progress: Progress
) -> tuple[Tensor, Tensor, Sequence[int | None], list[float] | None]:
    """Codes, their small pictures (N, P), predicted labels of the first, or their brightness."""
    count = max(POINTS, 4 * model.latent_dim)
    codes = rounded(model.sample_codes(count, seed=stream_seed(seed, "page/map")))
    small, shown = [], []
    with torch.inference_mode():
        for start in range(0, count, AT_ONCE):
            images = model.decode_mean(codes[start : start + AT_ONCE]).float().cpu()
            size = (min(SIDE, images.shape[2]), min(SIDE, images.shape[3]))
            small.append(F.adaptive_avg_pool2d(images, size).flatten(1))
            if start < POINTS:
                shown.append(to_bytes(images[: POINTS - start]))
    pictures = np.concatenate(shown)
    brightness = (pictures.reshape(len(pictures), -1).mean(1) / 255).tolist()
    labels = _predicted(pictures, data, progress)
    known: Sequence[int | None] = [None] * len(pictures) if labels is None else labels
    return codes.cpu(), torch.cat(small), known, brightness if labels is None else None


def _predicted(
    pictures: np.ndarray[Any, np.dtype[np.uint8]], data: Data, progress: Progress
) -> list[int] | None:
    """The class of each picture by the classifier of the metrics, which is in the cache."""
    labels = data.labels_of("train")
    if labels is None or data.num_classes < 2:
        return None
    try:
        classifier = train_classifier(
            data.take("train"),
            labels,
            num_classes=data.num_classes,
            cache_dir=cache_root() / "classifiers",
            fingerprint=data.fingerprint,
            progress=lambda step, steps: progress("training the classifier", step, steps),
        )
    except DataError:  # too few images to train one
        return None
    found: list[int] = classifier.logits(torch.from_numpy(pictures)).argmax(1).tolist()
    return found
