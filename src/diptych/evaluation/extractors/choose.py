"""A feature extractor by its name: the one place that knows them all."""

import difflib
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.data import cache_root
from diptych.errors import DataError, MissingData
from diptych.evaluation.extractors.classifier import train_classifier
from diptych.evaluation.extractors.feature_cache import describe_cached
from diptych.evaluation.extractors.features import Features
from diptych.evaluation.extractors.inception import Dtype, InceptionFeatures
from diptych.evaluation.extractors.inception_network import Layer
from diptych.evaluation.extractors.lite0 import Lite0Features
from diptych.evaluation.extractors.pixels import PixelFeatures
from diptych.evaluation.extractors.pretrained import Kind, PretrainedFeatures
from diptych.evaluation.extractors.resize import Resize
from diptych.evaluation.extractors.wavelets import WaveletFeatures
from diptych.evaluation.extractors.weights import load_weights
from diptych.evaluation.sets import Progress, silent

__all__ = ["EXTRACTORS", "describe_cached", "make_extractor"]

EXTRACTORS = {
    "classifier": "a small network trained once on the training images",
    "pixels": "whitened pixels; no network",
    "wavelets": "statistics of wavelet bands; no network",
    "inception": "the Inception-v3 of the FID; needs its weights",
    "lite0": "EfficientNet-Lite0 on ImageNet; needs its weights",
    "dinov2": "DINOv2 from a folder; needs transformers",
    "clip": "CLIP's image network from a folder; needs transformers",
}
"""The names, and what each is."""


def make_extractor(
    name: str,
    *,
    reference: Tensor | NDArray[Any],
    train: Tensor | NDArray[Any] | None = None,
    train_labels: NDArray[np.int64] | None = None,
    num_classes: int = 0,
    fingerprint: str | None = None,
    weights: str | Path | None = None,
    resize: str = "tf1",
    layer: int = 2048,
    dtype: str = "fp32",
    seed: int = 0,
    cache_dir: Path | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = silent,
) -> Features:
    """Make the extractor of a name, with all it needs.

    Args:
        name: one of :data:`EXTRACTORS`.
        reference: the real images, uint8 (N, H, W, C) or floating (N, C, H, W) in 0..1: the
            whitening of pixels is fitted on them.
        train: uint8 (N, H, W, C), what the classifier is trained on: images that are measured
            nowhere.
        train_labels: int64 (N,), or None.
        num_classes: how many classes there are.
        fingerprint: names the training images in the cache.
        weights: a file for inception and lite0, a folder for dinov2 and clip; by default the
            files of :func:`find_weights`.
        resize: of inception: tf1, torch or pil.
        layer: of inception: 64, 192, 768 or 2048.
        dtype: of inception: fp32, or bf16 for a search.
        seed: of the classifier.
        cache_dir: the root of the cache; by default :func:`cache_root`.
        device: what runs a network.
        progress: told how far the training of the classifier is.

    Raises:
        MissingData: weights or a package are not on this machine; the sentence says how to get
            them.
        DataError: an unknown name, or what the extractor refuses.
    """
    if name not in EXTRACTORS:
        near = difflib.get_close_matches(name, EXTRACTORS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise DataError(
            f"There are no features {name!r}; known are {', '.join(EXTRACTORS)}.{hint}"
        )
    cache_dir = cache_root() if cache_dir is None else cache_dir
    path = None if weights is None else Path(weights)
    channels = _channels(reference)
    if name == "pixels":
        return PixelFeatures(reference)
    if name == "wavelets":
        return WaveletFeatures()
    if name == "inception":
        return InceptionFeatures(
            load_weights("inception", path, cache_dir=cache_dir / "weights"),
            layer=cast(Layer, layer),
            resize=cast(Resize, resize),
            dtype=cast(Dtype, dtype),
            channels=channels,
            device=device,
        )
    if name == "lite0":
        found = load_weights("lite0", path, cache_dir=cache_dir / "weights")
        return Lite0Features(found, channels=channels, device=device)
    if name in ("dinov2", "clip"):
        if path is None:
            raise MissingData(
                f"The features {name} need the folder of a network on this machine, with "
                "config.json and model.safetensors; name it with --weights."
            )
        return PretrainedFeatures(cast(Kind, name), path, channels=channels, device=device)
    if train is None:
        raise DataError(
            "The features classifier need training images apart from those that are measured; "
            "give some, or choose pixels, wavelets or inception."
        )
    return train_classifier(
        train.cpu().numpy() if isinstance(train, Tensor) else train,
        train_labels,
        num_classes=num_classes,
        seed=seed,
        cache_dir=cache_dir / "classifiers",
        fingerprint=fingerprint,
        device=device,
        progress=lambda step, steps: progress("training the classifier", step, steps),
    )


def _channels(images: Tensor | NDArray[Any]) -> int | None:
    """How many channels images have, by the layout that their type stands for."""
    if images.ndim != 4:
        return None
    bytewise = str(images.dtype).removeprefix("torch.") == "uint8"
    return int(images.shape[3 if bytewise else 1])
