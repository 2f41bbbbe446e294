"""What a trial is judged by: one cheap distance to validation data, never to test data."""

from functools import cached_property

import torch
from torch import Tensor

from diptych.data import Data, SplitName, cache_root
from diptych.evaluation.extractors.choose import make_extractor
from diptych.evaluation.extractors.feature_cache import describe_cached
from diptych.evaluation.extractors.features import Features, PointFeatures
from diptych.evaluation.fidelity.panel import fidelity_panel
from diptych.evaluation.figure import Figure
from diptych.evaluation.ground import MOST
from diptych.evaluation.sets import Progress, Sets, content_hash, silent
from diptych.models import Game

__all__ = ["SPLIT", "Judge"]

SPLIT: SplitName = "validation"
"""Where trials are judged; the test split is for what is reported."""


class Judge:
    """Measures models on the validation split.

    Images: the Fréchet distance between features of the classifier that `evaluate` uses, trained
    on the training split. Points: the sliced W2 distance, since a Gaussian says little of points
    that lie in clusters.

    Args:
        data: images or points.
        seed: of samples and directions, the same for all models that are to be compared.
        progress: told how far the training of the classifier is.
    """

    def __init__(self, data: Data, *, seed: int, progress: Progress = silent) -> None:
        self._data, self._seed, self._progress = data, seed, progress
        self.key = "fd-classifier" if data.kind == "images" else "sliced-w2-coordinates"
        """The key of the figure."""

    def measure(self, model: Game) -> Figure:
        """The figure of a model; lower is better.

        Raises:
            DataError: its samples hold NaN, or there is too little validation data.
        """
        extractor, described = self._reference
        samples = model.eval().sample(len(described), seed=self._seed).cpu()
        metric = "fd" if self._data.kind == "images" else "sliced-w2"
        (figure,) = fidelity_panel(
            Sets(fake=extractor.features(samples), real=described),
            extractor=extractor,
            base={"split": SPLIT, "reference": content_hash(described)[:16]},
            seed=self._seed,
            metrics={metric},
        )
        return figure

    @cached_property
    def _reference(self) -> tuple[Features, Tensor]:
        """The extractor, and its features of the validation split."""
        data = self._data
        items = torch.from_numpy(data.take(SPLIT, min(len(data.splits[SPLIT]), MOST)))
        extractor: Features = PointFeatures()
        if data.kind == "images":
            extractor = make_extractor(
                "classifier",
                reference=items,
                train=data.take("train"),
                train_labels=data.labels_of("train"),
                num_classes=data.num_classes,
                fingerprint=data.fingerprint,
                cache_dir=cache_root(),
                progress=self._progress,
            )
        return extractor, describe_cached(extractor, items, cache_root() / "features")
