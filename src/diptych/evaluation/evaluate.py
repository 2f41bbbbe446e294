"""`evaluate`: a run, its held-out data, and every instrument that applies."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diptych.data import FEWEST_HELD_OUT, Data, cache_root, load_data
from diptych.errors import DataError
from diptych.evaluation.classifier import ClassifierFeatures, train_classifier
from diptych.evaluation.density import density_figures
from diptych.evaluation.features import Features, PointFeatures
from diptych.evaluation.figure import Figure, protocol_of
from diptych.evaluation.panel import NOT_FID, measure
from diptych.models import VAE
from diptych.recipes.schema import VAESpec
from diptych.training.batches import images_from_bytes
from diptych.training.run import Run, data_of, load
from diptych.training.rundir import RunDirectory, write_text

__all__ = ["Evaluation", "check_enough", "evaluate", "features_for"]

MOST = 5_000
"""Samples and real items at the most: more would cost time and change little here."""
FEWEST_TRAINING = 20
"""Training images without which there is no classifier."""
RECONSTRUCTED = 64
"""Held-out images whose reconstruction is measured; a GAN searches for each of them."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """The figures of one run."""

    figures: tuple[Figure, ...]
    features: str
    """The extractor's name."""
    accuracy: float | None
    """Of the classifier whose features were used, on held-out training images."""
    sentence: str
    """What the distances are not."""
    seconds: float

    def __getitem__(self, name: str) -> Figure:
        """The figure of that name."""
        return next(figure for figure in self.figures if figure.name == name)

    def to_json(self) -> dict[str, Any]:
        """What evaluation.json holds."""
        return {
            "features": {
                "name": self.features,
                "accuracy": self.accuracy,
                "sentence": self.sentence,
            },
            "seconds": round(self.seconds, 2),
            "figures": [figure.to_json() for figure in self.figures],
        }


def check_enough(data: Data) -> None:
    """Refuse, before anything is trained, data that are too few to be measured on.

    Raises:
        DataError: saying how many are held out and how many are needed.
    """
    for split in ("test", "validation"):
        held_out = len(data.splits[split])
        if held_out < FEWEST_HELD_OUT:
            raise DataError(
                f"{data.name} has {held_out} {split} items of {len(data.array)}, and measuring "
                f"needs at least {FEWEST_HELD_OUT}; add more (a tenth is held out for each)"
            )
    if data.kind == "images" and len(data.splits["train"]) < FEWEST_TRAINING:
        raise DataError(
            f"{data.name} has {len(data.splits['train'])} training images, and measuring needs "
            f"at least {FEWEST_TRAINING}; add more"
        )


def features_for(data: Data, *, seed: int = 0, progress: Progress | None = None) -> Features:
    """The extractor for the data: a classifier trained on its training split, or coordinates."""
    if data.kind == "points":
        return PointFeatures()
    report = None if progress is None else lambda i, n: progress("training the classifier", i, n)
    return train_classifier(
        data.take("train"),
        data.labels_of("train"),
        num_classes=data.num_classes,
        seed=seed,
        cache_dir=cache_root() / "classifiers",
        fingerprint=data.fingerprint,
        progress=report,
    )


def evaluate(
    run: Run | str | Path,
    data: Data | str | Path | None = None,
    *,
    n: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a run on the test split of its data, each figure beside its floor.

    The floor is the same figure for validation images in place of samples. Samples, reference and
    floor have the same N. The result is also written to the run's evaluation.json.

    Args:
        run: a run or its directory.
        data: the run's data, or what `load_data` takes; None loads it as the run did.
        n: how many samples and real items; None takes all that are held out, 5,000 at the most.
        seed: of samples and noise; training streams are not touched.
        progress: called with what is done, how far, and of how much.

    Raises:
        RunError, DataError: if the run or its data cannot be had, or there is too little of it.
    """
    started = time.perf_counter()
    if not isinstance(run, Run):
        run = load(run)
    if data is None:
        data = data_of(run)
    elif not isinstance(data, Data):
        data = load_data(data)
    if n is not None and n < FEWEST_HELD_OUT:
        raise DataError(f"--n is {n}; the figures need at least {FEWEST_HELD_OUT} of each set")
    check_enough(data)
    held_out = min(len(data.splits["test"]), len(data.splits["validation"]), n or MOST)
    features = features_for(data, progress=progress)
    real = data.take("test", held_out)
    if progress is not None:
        progress("measuring", 0, 1)
    model = run.model.eval()
    figures = measure(
        model.sample(held_out, seed=seed).cpu(),
        real,
        data.take("validation", held_out),
        features=features,
        truth=data.truth,
        data_kind=data.kind,
        seed=seed,
    )
    tensor = torch.from_numpy(real)
    images = images_from_bytes(tensor) if data.kind == "images" else tensor
    if isinstance(model, VAE) and isinstance(run.recipe.model, VAESpec):
        likelihood = run.recipe.model.likelihood.model_dump(mode="json")
        figures += density_figures(model, images, likelihood=likelihood, seed=seed)
    if data.kind == "images":
        shown = images[:: max(1, len(images) // RECONSTRUCTED)][:RECONSTRUCTED].to(model.device)
        figures.append(_reconstruction(run, shown, seed=seed))
    if progress is not None:
        progress("measuring", 1, 1)
    classifier = features if isinstance(features, ClassifierFeatures) else None
    evaluation = Evaluation(
        figures=tuple(figures),
        features=features.name,
        accuracy=classifier.accuracy if classifier else None,
        sentence=NOT_FID if classifier else "Distances are taken between the points themselves.",
        seconds=time.perf_counter() - started,
    )
    write_text(
        RunDirectory(run.directory).evaluation_file,
        json.dumps(evaluation.to_json(), indent=1) + "\n",
    )
    return evaluation


def _reconstruction(run: Run, images: torch.Tensor, *, seed: int) -> Figure:
    """Mean squared error between held-out images and the model's own version of them."""
    model = run.model
    again = model.reconstruct(images, seed=seed)
    encoder = isinstance(model, VAE)
    return Figure(
        name="reconstruction error",
        value=float((again - images).square().mean()),
        unit="mean squared error, pixels in [0, 1]",
        better="lower",
        floor=None,
        n_real=len(images),
        n_fake=None,
        protocol=protocol_of(metric="reconstruction-mse", n=len(images)),
        note="By the encoder's mean."
        if encoder
        else "By search for a code, since there is no encoder: an upper bound.",
    )
