"""`evaluate`: a run, its held-out data, and every instrument that applies."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.data import FEWEST_HELD_OUT, Data, cache_root, load_data
from diptych.errors import DataError
from diptych.evaluation.affordable import affordable
from diptych.evaluation.density.panel import Effort
from diptych.evaluation.extractors.features import Features, PointFeatures
from diptych.evaluation.measuring import (
    all_metrics,
    check_count,
    make_extractors,
    measure_features,
    measure_pictures,
)
from diptych.evaluation.measuring_model import bounds_of, measure_model, posterior_of
from diptych.evaluation.quantise import to_bytes
from diptych.evaluation.results import Evaluation, Notebook, read_evaluation
from diptych.evaluation.selection import Selection
from diptych.evaluation.sets import Progress, Sets, content_hash, silent
from diptych.models import Game
from diptych.training.run import Run, data_of, load
from diptych.training.rundir import RunDirectory, write_text

__all__ = ["Evaluation", "check_enough", "evaluate"]

MOST = 5_000
"""Samples and real items at the most, if nothing else is asked for."""
MOST_TRAINING = 50_000
"""Training items among which copies are looked for."""
FEWEST_TRAINING = 20
"""Training images without which there is no classifier."""


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


def evaluate(
    run: Run | str | Path,
    data: Data | str | Path | None = None,
    *,
    n: int | None = None,
    seed: int = 0,
    features: Sequence[str] = (),
    metrics: Sequence[str] = (),
    weights: str | Path | None = None,
    resize: str = "tf1",
    effort: Effort = "quick",
    minutes: float | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a run on the test split of its data, each figure beside its floor.

    The floor is the same figure for validation images in place of samples. Samples, reference and
    floor have the same N. The result is also written to the run's evaluation.json; figures that
    are there already, of this state of the run, and were not measured again, stay.

    Args:
        run: a run or its directory.
        data: the run's data, or what `load_data` takes; None loads it as the run did.
        n: how many samples and real items; None takes all that are held out, 5,000 at the most.
        seed: of samples and noise; training streams are not touched.
        features: extractors by name, see `make_extractors`; a classifier trained on the training
            split if none is named. Points are their own features.
        metrics: panels or metrics by name; all that apply if none is named.
        weights: the file with the weights of the first extractor that needs one.
        resize: how images are brought to Inception's size: "tf1", "torch" or "pil".
        effort: how much work goes into likelihoods: "quick" is about a minute, "full" may be an
            hour.
        minutes: choose N so that describing the images takes about this long at the most.
        progress: called with what is done, how far, and of how much.

    Raises:
        RunError, DataError: if the run or its data cannot be had, or there is too little of it.
    """
    notebook = Notebook(Selection.of(metrics, all_metrics()), progress or silent)
    if not isinstance(run, Run):
        run = load(run)
    if data is None:
        data = data_of(run)
    elif not isinstance(data, Data):
        data = load_data(data)
    check_count(n)
    check_enough(data)
    model = run.model.eval()
    extractors = _extractors(data, features, weights, resize, notebook.progress)
    n = _count(data, n, extractors, minutes)
    sets = _sets(model, data, n, seed)
    if sets.floor is None:
        notebook.remarks.append(
            f"No floors: fewer than {n:,} validation items; a smaller --n has them."
        )
    base = {"split": "test", "reference": content_hash(sets.real)[:16], "size": n}
    wants = notebook.selection.wants
    posterior = posterior_of(model, sets.real) if wants("collapse") else None
    log_density = bounds_of(model, data, sets, seed) if wants("copies") else None
    measure_features(
        notebook,
        sets,
        extractors,
        base=base,
        seed=seed,
        cache_dir=cache_root(),
        truth=data.truth,
        class_names=data.class_names,
        posterior=posterior,
        log_density=log_density,
    )
    if data.kind == "images":
        measure_pictures(notebook, sets, base=base, seed=seed)
    measure_model(notebook, run, data, sets, extractors[0], effort, base=base, seed=seed)
    evaluation = notebook.close(_subject(run, seed))
    return _kept(run, evaluation)


def _extractors(
    data: Data,
    names: Sequence[str],
    weights: str | Path | None,
    resize: str,
    progress: Progress,
) -> list[Features]:
    if data.kind == "points":
        if names:
            raise DataError(
                f"{data.name} holds points, which are their own features; leave --features out"
            )
        return [PointFeatures()]
    return make_extractors(
        names or ("classifier",),
        weights=weights,
        reference=data.take("test"),
        train=data.take("train"),
        train_labels=data.labels_of("train"),
        num_classes=data.num_classes,
        fingerprint=data.fingerprint,
        resize=resize,
        cache_dir=cache_root(),
        progress=progress,
    )


def _count(
    data: Data, n: int | None, extractors: Sequence[Features], minutes: float | None
) -> int:
    """How many items each set has."""
    held_out = len(data.splits["test"])
    if n is not None:
        return min(n, held_out)
    most = min(held_out, len(data.splits["validation"]), MOST)
    if minutes is None:
        return most
    return affordable(extractors, data.take("test", 64), minutes, most)


def _sets(model: Game, data: Data, n: int, seed: int) -> Sets:
    """Samples, reference, floor and training items, as bytes or as points."""

    def items(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.array(array))  # a copy: memory maps are read-only

    samples = model.sample(n, seed=seed).cpu()
    labels = data.labels_of("test", n)
    enough = len(data.splits["validation"]) >= n
    return Sets(
        fake=to_bytes(samples).permute(0, 2, 3, 1).contiguous()
        if data.kind == "images"
        else samples,
        real=items(data.take("test", n)),
        floor=items(data.take("validation", n)) if enough else None,
        train=items(data.take("train", MOST_TRAINING)),
        real_labels=None if labels is None else items(labels),
    )


def _subject(run: Run, seed: int) -> dict[str, Any]:
    """What tells this state of the run from any other."""
    return {
        "run": run.directory.name,
        "family": run.model.family,
        "images_seen": run.info["spent"]["images"],
        "steps": run.info["spent"]["steps"],
        "data": run.info["data"]["fingerprint"],
        "seed": seed,
    }


def _kept(run: Run, evaluation: Evaluation) -> Evaluation:
    """Write the evaluation, together with what was known of the same state of the run.

    An earlier one of another state, of another seed or of another version is moved aside.
    """
    file = RunDirectory(run.directory).evaluation_file
    whole = evaluation
    if file.exists():
        try:
            earlier = read_evaluation(file)
            if earlier.subject != evaluation.subject:
                raise DataError("of another state of the run")
            whole = evaluation.together_with(earlier)
        except DataError:
            taken = (file.with_stem(f"{file.stem}-{number}") for number in itertools.count(1))
            file.rename(next(path for path in taken if not path.exists()))
    write_text(file, json.dumps(whole.to_json(), indent=1) + "\n")
    return evaluation
