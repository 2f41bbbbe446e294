"""Baselines that always stand in the table: a figure means something only beside them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diptych.data import Data, write_png
from diptych.evaluation.ground import MOST_TRAINING
from diptych.evaluation.samples import evaluate_samples
from diptych.evaluation.sets import Progress, silent
from diptych.evaluation.streams import stream_seed
from diptych.models.drawing import picture_of, write_samples
from diptych.study.gaussian import Gaussian, fit_gaussian
from diptych.study.pictures import GRID, POINTS
from diptych.training.batches import images_from_bytes
from diptych.training.rundir import write_text

__all__ = ["measure_baselines"]

MOST_COMPONENTS = 256
"""Principal components of images at the most."""
SHARE = 0.99
"""Share of the variance from which on no more components are taken."""


@dataclass(frozen=True)
class Baseline:
    """Something that makes samples without learning anything that could be called a model.

    Attributes:
        name: of its directory.
        title: how reports call it.
        fit: gives a sentence about it and what draws n samples, (n, C, H, W) in [0, 1] or (n, D).
    """

    name: str
    title: str
    fit: Callable[[], tuple[str, Callable[[int], Tensor]]]


def measure_baselines(
    data: Data,
    study_directory: Path,
    *,
    metrics: Sequence[str],
    n: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Fit, draw and measure every baseline; entries of `baselines` in study.json, protocols apart.

    Images: a Gaussian on principal components, and training images shown again. Points: a
    Gaussian. They are measured with the instruments and protocols of runs; what needs a model is
    left out. What lies in STUDY/baselines already and was measured in the same way is read.

    Args:
        data: they are fitted on its training split and held against its test split.
        study_directory: where `baselines/NAME` is written.
        metrics: as in `evaluate`.
        n: as in `evaluate`.
        seed: of the samples and of measuring.
        progress: told how far the work is.

    Returns:
        One entry per baseline; each also holds `protocols` (parts by fingerprint), which the
        caller moves to the study's own. None where no metric can be had without a model.

    Raises:
        DataError: there is too little data.
    """
    entries = []
    for baseline in _baselines(data, seed):
        entry = _measured(baseline, data, study_directory, metrics, n, seed, progress)
        if entry is not None:
            entries.append(entry)
    return entries


def _measured(
    baseline: Baseline,
    data: Data,
    study_directory: Path,
    metrics: Sequence[str],
    n: int | None,
    seed: int,
    progress: Progress,
) -> dict[str, Any] | None:
    place = f"baselines/{baseline.name}"
    directory = study_directory / place
    picture, samples_file = directory / "pictures" / "samples.png", directory / "samples.npz"
    evaluation_file, about_file = directory / "evaluation.json", directory / "about.json"
    if not all(file.is_file() for file in (picture, samples_file, about_file)):
        evaluation_file.unlink(missing_ok=True)  # what was measured is gone

    def draw(count: int) -> Tensor:
        sentence, sample = baseline.fit()
        samples = sample(count)
        write_samples(samples, samples_file)
        shown = GRID * GRID if data.kind == "images" else POINTS
        write_png(picture_of(samples[:shown], columns=GRID, scale=1), picture)
        write_text(about_file, json.dumps({"sentence": sentence}, indent=1) + "\n")
        return samples

    evaluation = evaluate_samples(
        draw,
        data,
        subject={"baseline": baseline.name, "fit": [MOST_COMPONENTS, SHARE]},
        kept=evaluation_file,
        n=n,
        seed=seed,
        metrics=metrics,
        progress=progress,
    )
    if evaluation is None:
        return None
    return {
        "name": baseline.name,
        "title": baseline.title,
        "sentence": json.loads(about_file.read_text(encoding="utf-8"))["sentence"],
        "directory": place,
        "figures": [figure.to_json() for figure in evaluation.figures],
        "protocols": {name: dict(parts) for name, parts in evaluation.protocols.items()},
        "pictures": {"samples": f"{place}/pictures/samples.png"},
        "seconds": round(evaluation.seconds, 2),
    }


def _baselines(data: Data, seed: int) -> list[Baseline]:
    """What stands in the table of these data."""
    if data.kind == "points":
        return [Baseline("gaussian", "Gaussian", lambda: _gaussian(data, seed))]
    return [
        Baseline("pca", "Gaussian (PCA)", lambda: _pca(data, seed)),
        Baseline("training", "Training images", lambda: _again(data, seed)),
    ]


def _gaussian(data: Data, seed: int) -> tuple[str, Callable[[int], Tensor]]:
    points = data.take("train")
    fitted = fit_gaussian(points, components=points.shape[1])
    sentence = f"One Gaussian with the mean and the covariance of {len(points):,} training points."
    return sentence, lambda count: _sample(fitted, count, "gaussian", seed).float()


def _pca(data: Data, seed: int) -> tuple[str, Callable[[int], Tensor]]:
    images = data.take("train")
    rows = images.reshape(len(images), -1)
    fitted = fit_gaussian(rows, components=MOST_COMPONENTS, share=SHARE, scale=1 / 255)
    sentence = (
        f"One Gaussian with the mean of {len(images):,} training images, their variance along "
        f"{len(fitted.deviations)} principal components ({fitted.covered:.1%} of it) and even "
        "noise for the rest; values beyond black and white are cut."
    )

    def draw(count: int) -> Tensor:
        flat = _sample(fitted, count, "pca", seed).float().clamp(0.0, 1.0)
        return flat.reshape(count, *images.shape[1:]).permute(0, 3, 1, 2)

    return sentence, draw


def _again(data: Data, seed: int) -> tuple[str, Callable[[int], Tensor]]:
    sentence = (
        "Training images shown again: what a model scores that has learned them by heart, and "
        "what its copies look like."
    )

    def draw(count: int) -> Tensor:
        rows = data.rows("train", MOST_TRAINING)  # among which copies are looked for
        order = np.random.default_rng(stream_seed(seed, "baselines/training")).permutation(rows)
        chosen = np.resize(order, count)  # from the beginning again where there are too few
        return images_from_bytes(torch.from_numpy(np.asarray(data.array[chosen])))

    return sentence, draw


def _sample(fitted: Gaussian, count: int, name: str, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(stream_seed(seed, f"baselines/{name}"))
    return fitted.sample(count, generator=generator)
