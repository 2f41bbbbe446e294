"""The ground that generators are measured on: held-out sets, extractors, what protocols share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.data import FEWEST_HELD_OUT, Data, cache_root
from diptych.errors import DataError
from diptych.evaluation.affordable import affordable
from diptych.evaluation.extractors.features import Features, PointFeatures
from diptych.evaluation.measuring import (
    check_count,
    make_extractors,
    measure_features,
    measure_pictures,
)
from diptych.evaluation.quantise import to_bytes
from diptych.evaluation.results import Notebook
from diptych.evaluation.sets import Progress, Sets, content_hash, silent

__all__ = ["MOST", "MOST_TRAINING", "Ground", "check_enough", "lay_ground"]

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


@dataclass(frozen=True)
class Ground:
    """What every generator is measured on alike: figures of one ground have equal protocols.

    Attributes:
        data: with a training, a validation and a test split.
        n: items of each set.
        seed: of everything random.
        extractors: what describes the items.
    """

    data: Data
    n: int
    seed: int
    extractors: tuple[Features, ...]

    @cached_property
    def base(self) -> dict[str, Any]:
        """What all protocols share."""
        return {"split": "test", "reference": content_hash(self._real)[:16], "size": self.n}

    def sets(self, samples: Tensor) -> Sets:
        """Samples (n, C, H, W) in [0, 1] or points (n, D), with what they are held against."""
        data = self.data
        labels = data.labels_of("test", self.n)
        enough = len(data.splits["validation"]) >= self.n
        samples = samples.cpu()
        return Sets(
            fake=to_bytes(samples).permute(0, 2, 3, 1).contiguous()
            if data.kind == "images"
            else samples,
            real=self._real,
            floor=_items(data.take("validation", self.n)) if enough else None,
            train=_items(data.take("train", MOST_TRAINING)),
            real_labels=None if labels is None else _items(labels),
        )

    def measure(
        self,
        notebook: Notebook,
        sets: Sets,
        *,
        posterior: tuple[Tensor, Tensor] | None = None,
        log_density: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """The panels that need sets and no model; see `measure_features`."""
        if sets.floor is None:
            notebook.remarks.append(
                f"No floors: fewer than {self.n:,} validation items; a smaller --n has them."
            )
        measure_features(
            notebook,
            sets,
            self.extractors,
            base=self.base,
            seed=self.seed,
            cache_dir=cache_root(),
            truth=self.data.truth,
            class_names=self.data.class_names,
            posterior=posterior,
            log_density=log_density,
        )
        if self.data.kind == "images":
            measure_pictures(notebook, sets, base=self.base, seed=self.seed)

    @cached_property
    def _real(self) -> Tensor:
        return _items(self.data.take("test", self.n))


def lay_ground(
    data: Data,
    *,
    n: int | None = None,
    seed: int = 0,
    features: Sequence[str] = (),
    weights: str | Path | None = None,
    resize: str = "tf1",
    dtype: str = "fp32",
    minutes: float | None = None,
    progress: Progress = silent,
) -> Ground:
    """Make the extractors and choose N; arguments as those of `evaluate`.

    Raises:
        DataError: there is too little data, or an extractor cannot be made.
    """
    check_count(n)
    check_enough(data)
    extractors = _extractors(data, features, weights, resize, dtype, progress)
    return Ground(data, _count(data, n, extractors, minutes), seed, tuple(extractors))


def _extractors(
    data: Data,
    names: Sequence[str],
    weights: str | Path | None,
    resize: str,
    dtype: str,
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
        dtype=dtype,
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


def _items(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array))  # a copy: memory maps are read-only
