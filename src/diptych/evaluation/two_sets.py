"""`evaluate_sets`: one set of images or points against another, with no model of ours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.data import FEWEST_HELD_OUT, SPLITS, Data, SplitName, cache_root, load_data
from diptych.data.splits import row_digests
from diptych.errors import DataError
from diptych.evaluation.affordable import affordable
from diptych.evaluation.crew import Crew, call_workers
from diptych.evaluation.extractors.features import Features, PointFeatures
from diptych.evaluation.measuring import (
    EXPENSIVE,
    all_metrics,
    check_count,
    make_extractors,
    measure_features,
    measure_pictures,
)
from diptych.evaluation.results import Evaluation, Notebook
from diptych.evaluation.selection import Selection
from diptych.evaluation.sets import Progress, Sets, content_hash, silent
from diptych.evaluation.streams import stream_seed
from diptych.workers import is_first_worker

__all__ = ["evaluate_sets"]

MOST = 5_000
"""Items of each set at the most, if nothing else is asked for."""
MOST_TRAINING = 50_000
"""Training items among which copies are looked for."""
OVERLAP = 0.05
"""Share of the reference among what was trained on from which on copies cannot be judged."""
DEFAULT_FEATURES = ("classifier", "pixels")


def evaluate_sets(
    real: Data | str | Path | NDArray[Any],
    fake: Data | str | Path | NDArray[Any],
    *,
    train: Data | str | Path | NDArray[Any] | None = None,
    split: SplitName | None = None,
    n: int | None = None,
    seed: int = 0,
    features: Sequence[str] = (),
    metrics: Sequence[str] = (),
    weights: str | Path | None = None,
    resize: str = "tf1",
    dtype: str = "fp32",
    minutes: float | None = None,
    devices: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a generated set against a real one, each figure beside its floor.

    The real set is parted: N items are the reference, N others the floor, and if a classifier is
    asked for, half of them train it and are used for nothing else. With `split` the reference is
    drawn from that split, the floor from the other held-out one, and the classifier is trained on
    the training split.

    Args:
        real: data, or what `load_data` takes.
        fake: the same kind, of the same size; a grey set beside a coloured one is repeated to
            three channels.
        train: what the generator was trained on, if copies of it are to be looked for; best apart
            from `real`.
        split: which split of the real set the reference is; None parts the whole.
        n: items of each set; None takes as many as leave room for a floor, 5,000 at the most. More
            than that leaves the floor out.
        seed: of the parting and of everything random.
        features: extractors by name, see `make_extractors`; "classifier" and "pixels" if none is
            named. Points are their own features.
        metrics: panels or metrics by name; all that need no model if none is named.
        weights: the file with the weights of the first extractor that needs one.
        resize: how images are brought to Inception's size: "tf1", "torch" or "pil".
        dtype: what Inception computes in: "fp32", or "bf16", which is twice as fast, moves an
            FID by about 1 % and is not comparable with any in fp32.
        minutes: choose N so that describing the images takes about this long at the most.
        devices: processes that share the large extractors, as in `evaluate`.
        progress: called with what is done, how far, and of how much.

    Returns:
        The evaluation; nothing is written.

    Raises:
        DataError: the sets do not fit each other or are too small.
        DiptychError: as many workers cannot be had.
    """
    notebook = Notebook(Selection.of(metrics, all_metrics()), progress or silent)
    check_count(n)
    if split is not None and split not in SPLITS:
        raise DataError(f"split is {split!r}; it must be one of {', '.join(SPLITS)}")
    real, fake = _loaded(real, split is not None), _loaded(fake)
    real_items, fake_items = _alike(real, fake)
    trained_on = None if train is None else _like(real_items, _loaded(train))
    names = _names(real, features)
    pool, floor_pool, training = _part(real, split, seed, with_training="classifier" in names)
    if split is None:
        room = len(pool) // 2 if n is None else len(pool)
        most = min(room, len(fake_items), n or MOST)
        pool, floor_pool = pool[:most], pool[most : 2 * most]
    else:
        most = min(len(pool), len(fake_items), n or min(len(floor_pool), MOST))
    if most < FEWEST_HELD_OUT:
        raise DataError(
            f"{real.name} and {fake.name} leave {most} items of each set to compare; at least "
            f"{FEWEST_HELD_OUT} are needed"
        )
    # What is fitted to the real set is fitted to the reference alone: if it saw the floor too,
    # the floor would be lower than any sample could score.
    reference = np.sort(pool[:most])
    extractors = _extractors(
        real, real_items, names, reference, training, weights, resize, dtype, notebook.progress
    )
    n = most
    if minutes is not None:
        n = affordable(extractors, real_items[reference[:64]], minutes, most)
    chosen = np.sort(pool[:n])
    floor_rows = np.sort(floor_pool[:n])
    # A stream of its own: the same rows of both sets would be pairs where a set of edited or
    # reconstructed pictures lies in the order of its originals.
    generator = np.random.default_rng(stream_seed(seed, "sets/fake"))
    fake_rows = np.sort(generator.permutation(len(fake_items))[:n])
    sets = Sets(
        fake=_tensor(fake_items[fake_rows]),
        real=_tensor(real_items[chosen]),
        floor=_tensor(real_items[floor_rows]) if len(floor_rows) == n else None,
        train=None if trained_on is None else _tensor(_spread(trained_on)),
        real_labels=None if real.labels is None else _tensor(real.labels[chosen]),
    )
    if trained_on is not None and (share := _shared(real_items[chosen], trained_on)) > OVERLAP:
        raise DataError(
            f"{share:.0%} of the reference from {real.name} also stand in --train, so copies "
            "could not be told from it; give images as --real that nothing was trained on"
        )
    taken = "" if sets.floor is None else f", {n:,} others for the floor"
    if len(training):
        taken += f", {len(training):,} trained the classifier"
    notebook.remarks.append(f"{real.name}: {n:,} items are the reference{taken}.")
    if sets.floor is None:
        notebook.remarks.append(
            f"No floors: {real.name} has too few other items; a smaller --n has them."
        )
    if (share := _shared(fake_items[fake_rows], real_items)) > OVERLAP:
        notebook.remarks.append(
            f"{share:.0%} of {fake.name} are exact copies of images in {real.name}: its figures "
            "say nothing of a generator."
        )
    base = {"split": split or "all", "reference": content_hash(sets.real)[:16], "size": n}
    call_workers(devices)
    crew = Crew(extractors, None, shared=EXPENSIVE, devices=devices)
    if crew.many and not is_first_worker():
        return crew.help()
    with crew:
        measure_features(
            notebook,
            sets,
            crew.extractors,
            base=base,
            seed=seed,
            cache_dir=cache_root(),
            truth=real.truth,
            class_names=real.class_names,
        )
        if real.kind == "images":
            measure_pictures(notebook, sets, base=base, seed=seed)
        evaluation = notebook.close({"real": real.name, "fake": fake.name, "seed": seed})
        crew.done(evaluation)
        return evaluation


def _loaded(source: Data | str | Path | NDArray[Any], split: bool = False) -> Data:
    return source if isinstance(source, Data) else load_data(source, split=split)


def _alike(real: Data, fake: Data) -> tuple[NDArray[Any], NDArray[Any]]:
    """The rows of both with the same number of channels.

    Raises:
        DataError: one holds points and the other images, or their sizes differ.
    """
    if real.kind != fake.kind:
        raise DataError(
            f"{real.name} holds {real.kind} and {fake.name} holds {fake.kind}; "
            "give two sets of one kind"
        )
    if real.kind == "points":
        if real.shape != fake.shape:
            raise DataError(
                f"{real.name} has points of {real.shape[0]} dimensions and {fake.name} of "
                f"{fake.shape[0]}; they cannot be compared"
            )
        return real.array, fake.array
    if real.shape[1:] != fake.shape[1:]:
        sizes = [" x ".join(str(side) for side in data.shape[1:]) for data in (real, fake)]
        raise DataError(
            f"{real.name} has pictures of {sizes[0]} pixels and {fake.name} of {sizes[1]}; "
            f"--size {real.shape[1]}x{real.shape[2]} brings both to one size"
        )
    if real.shape[0] == fake.shape[0]:
        return real.array, fake.array
    if {real.shape[0], fake.shape[0]} == {1, 3}:
        grey_first = real.shape[0] == 1
        return (
            np.repeat(real.array, 3, axis=3) if grey_first else real.array,
            fake.array if grey_first else np.repeat(fake.array, 3, axis=3),
        )
    raise DataError(
        f"{real.name} has pictures of {real.shape[0]} channels and {fake.name} of "
        f"{fake.shape[0]}; save both in one mode"
    )


def _like(items: NDArray[Any], other: Data) -> NDArray[Any]:
    """The rows of a third set, with as many channels as the other two."""
    if other.array.ndim == 4 and items.ndim == 4 and items.shape[3] == 3 and other.shape[0] == 1:
        return np.repeat(other.array, 3, axis=3)
    if other.array.shape[1:] != items.shape[1:]:
        raise DataError(
            f"{other.name} has rows of shape {other.array.shape[1:]} and the other sets of "
            f"{items.shape[1:]}; bring all three to one size and one number of channels"
        )
    return other.array


def _names(real: Data, features: Sequence[str]) -> tuple[str, ...]:
    if real.kind == "images":
        return (features,) if isinstance(features, str) else tuple(features) or DEFAULT_FEATURES
    if features:
        raise DataError(
            f"{real.name} holds points, which are their own features; leave --features out"
        )
    return ()


def _part(
    real: Data, split: SplitName | None, seed: int, *, with_training: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows for the reference, for the floor (of a split) and for training a classifier."""
    generator = np.random.default_rng(stream_seed(seed, "sets/real"))
    if split is not None:
        if split == "train" and with_training:
            raise DataError(
                "a classifier is trained on the training split, so that split cannot be its "
                "reference; give --split test, or --features pixels"
            )
        other: SplitName = "test" if split == "validation" else "validation"
        return (
            generator.permutation(real.splits[split]),
            generator.permutation(real.splits[other]),
            real.splits["train"],
        )
    rows = generator.permutation(len(real.array))
    half = len(rows) // 2 if with_training else 0
    return rows[half:], rows[:0], np.sort(rows[:half])


def _extractors(
    real: Data,
    items: NDArray[Any],
    names: Sequence[str],
    reference: NDArray[np.int64],
    training: NDArray[np.int64],
    weights: str | Path | None,
    resize: str,
    dtype: str,
    progress: Progress,
) -> list[Features]:
    if real.kind == "points":
        return [PointFeatures()]
    with_training = "classifier" in names
    return make_extractors(
        names,
        weights=weights,
        reference=items[reference],
        train=items[training] if with_training else None,
        train_labels=None if real.labels is None or not with_training else real.labels[training],
        num_classes=real.num_classes,
        resize=resize,
        dtype=dtype,
        cache_dir=cache_root(),
        progress=progress,
    )


def _shared(items: NDArray[Any], others: NDArray[Any]) -> float:
    """The share of items of which an exact copy is among the others."""
    known = set(row_digests(others))
    return sum(digest in known for digest in row_digests(items)) / len(items)


def _spread(items: NDArray[Any]) -> NDArray[Any]:
    """All items, or as many as copies are looked for in, spread evenly: folders are sorted."""
    if len(items) <= MOST_TRAINING:
        return items
    return items[np.arange(MOST_TRAINING) * len(items) // MOST_TRAINING]


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array))  # a copy: memory maps are read-only
