"""Features from a small classifier trained once on the person's own training images.

Inception sees photographs at 299 pixels; on 28-pixel garments its features are of doubtful
meaning. A network that tells these very classes apart knows what matters here, costs seconds and
needs no download. Its weights are hashed, kept, and named in every figure measured with them.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from diptych.errors import DataError
from diptych.evaluation.extractors import classifier_cache
from diptych.evaluation.quantise import Images, to_bytes
from diptych.evaluation.sets import Progress, silent

__all__ = ["FEATURES", "ClassifierFeatures", "train_classifier"]

FEATURES = 128
"""How many numbers describe an image."""

VERSION = 1  # raise it with any change below that changes the weights
STEPS = 600
BATCH = 128
PEAK_RATE = 4e-3
LONGEST_SIDE = 128  # pixels; larger images are averaged down to it
FLIPS: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))  # axes of (N, C, H, W)


class _Network(nn.Module):
    """Three convolutions to an eighth of the size or less, 128 features, logits."""

    def __init__(self, shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.shrink = -(-max(height, width) // LONGEST_SIDE)
        height, width = -(-height // self.shrink), -(-width // self.shrink)
        stride = max(2, -(-max(height, width) // 16))  # 16 x 16 or less after the first layer
        layers: list[nn.Module] = []
        for out, step in ((16, stride), (32, 2), (64, 2)):
            layers += [
                nn.Conv2d(channels, out, 2 * step - 1, step, step - 1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            ]
            channels, height, width = out, -(-height // step), -(-width // step)
        self.trunk = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(channels * height * width, FEATURES, bias=False),
            # Unit variance on the training images, so that no feature rules the distances; taken
            # before the ReLU, where a Gaussian fits them better.
            nn.BatchNorm1d(FEATURES, affine=False),
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, num_classes))

    def features(self, images: Tensor) -> Tensor:
        """Describe uint8 (N, C, H, W) by float32 (N, 128)."""
        pixels = images.float().div(255).sub(0.5)
        if self.shrink > 1:
            pixels = F.avg_pool2d(pixels, self.shrink, ceil_mode=True)
        described: Tensor = self.trunk(pixels)
        return described

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits


class ClassifierFeatures:
    """A frozen classifier and what must be known to trust or repeat it.

    Made by :func:`train_classifier`.

    Attributes:
        name: ``"classifier"``.
        accuracy: share of held-out training images told right, 0..1.
        protocol: task, architecture version, image shape, seed, steps and the weights' SHA-256.
    """

    name = "classifier"
    fid_name = ""

    def __init__(self, network: _Network, *, accuracy: float, protocol: dict[str, Any]) -> None:
        self._network = network.eval().requires_grad_(False)
        self.accuracy = accuracy
        self.protocol = protocol

    @property
    def caveat(self) -> str:
        """What these distances are not, and what the classifier learned."""
        learned = (
            "the classes"
            if self.protocol["task"] == "labels"
            else "which of four flips was applied to an image, since there are no labels"
        )
        return (
            "FD (classifier) is a Fréchet distance between features of a small classifier trained "
            "on this data set: it is not FID, which uses the Inception network, and cannot be "
            f"compared with any published FID. It learned to tell {learned}."
        )

    def features(self, images: Images, /, *, progress: Progress = silent) -> Tensor:
        """Return the features of images, real or generated, by one and the same path.

        Args:
            images: uint8 (N, H, W, C), or floating (N, C, H, W) in 0..1, which are quantised.
            progress: not needed: this takes seconds.

        Returns:
            float32 (N, 128) on the CPU, with mean near 0 and variance near 1 over what it was
            trained on: the images, or all four flips of them.

        Raises:
            DataError: the images differ in shape from the training images, or are none.
        """
        return self._run(self._network.features, images)

    def logits(self, images: Images, /) -> Tensor:
        """Return float32 (N, classes) on the CPU, unnormalised; images as in :meth:`features`."""
        return self._run(self._network, images)

    def _run(self, function: Callable[[Tensor], Tensor], images: Images) -> Tensor:
        pixels = to_bytes(images)
        if list(pixels.shape[1:]) != self.protocol["shape"]:
            raise DataError(
                f"The classifier was trained on images (C, H, W) = {self.protocol['shape']} and "
                f"was given {list(pixels.shape[1:])}; bring all images to one size first."
            )
        device = next(self._network.parameters()).device
        with torch.no_grad():
            return torch.cat(
                [function(part.to(device)).cpu() for part in torch.split(pixels, 1024)]
            )


def train_classifier(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    *,
    num_classes: int = 0,
    seed: int = 0,
    cache_dir: Path | None = None,
    fingerprint: str | None = None,
    steps: int = STEPS,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> ClassifierFeatures:
    """Train the classifier, or fetch it from the cache.

    With labels it learns the classes. Without, or with one class only, it learns which of four
    flips (none, horizontal, vertical, both) was applied to an image. A tenth of the images is
    held out and never trained on. AdamW under one cycle of the learning rate, cross-entropy.

    Args:
        images: uint8 (N, H, W, C), the training split; N ≥ 20.
        labels: int64 (N,) in 0..num_classes-1, or None.
        num_classes: how many classes there are.
        seed: of weights, order and held-out part; torch's global generators are left alone.
        cache_dir: where weights are kept between calls; None keeps nothing.
        fingerprint: names the data in the cache; by default the SHA-256 of their content.
        steps: of 128 images each.
        device: what trains and runs it. Devices round differently, so the weights' hash does too.
        progress: called with the step and their number after each step.

    Returns:
        The frozen extractor. The same arguments on the same machine give the same hash.

    Raises:
        DataError: too few images, or labels that do not fit.

    Source: the learning-rate cycle, Smith and Topin 2017, arXiv:1708.07120; a pretext task in
        place of labels, Gidaris et al. 2018, arXiv:1803.07728 (rotations there).
    """
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) < 20:
        raise DataError(
            "The classifier needs at least 20 training images, uint8 (N, H, W, C), not "
            f"{images.dtype} {images.shape}."
        )
    if num_classes < 2:
        labels = None
    if labels is not None and (
        labels.shape != (len(images),) or labels.min() < 0 or labels.max() >= num_classes
    ):
        raise DataError(
            f"The classifier needs one label in 0..{num_classes - 1} for each of the "
            f"{len(images)} images; got {labels.shape}, from {labels.min()} to {labels.max()}."
        )
    shape = (images.shape[3], images.shape[1], images.shape[2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Network(shape, len(FLIPS) if labels is None else num_classes)
    settings: dict[str, Any] = {
        "extractor": "classifier",
        "version": VERSION,
        "task": "flips" if labels is None else "labels",
        "classes": len(FLIPS) if labels is None else num_classes,
        "shape": list(shape),
        "seed": seed,
        "steps": steps,
        "data": fingerprint or _fingerprint(images, labels),
    }
    accuracy = classifier_cache.load(cache_dir, settings, network)
    network = network.to(device)
    if accuracy is None:
        accuracy = _fit(network, images, labels, seed=seed, steps=steps, progress=progress)
        classifier_cache.store(cache_dir, settings, network, accuracy)
    protocol = {**settings, "weights": classifier_cache.weights_hash(network)}
    return ClassifierFeatures(network, accuracy=accuracy, protocol=protocol)


def _fit(
    network: _Network,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64] | None,
    *,
    seed: int,
    steps: int,
    progress: Callable[[int, int], None] | None,
) -> float:
    """Train on nine tenths in place and return the accuracy on the rest."""
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=generator)
    held_out, order = order[: len(images) // 10], order[len(images) // 10 :]
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=1e-2)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)

    def batch(rows: Tensor, flip: Tensor) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(images[rows.numpy()]).permute(0, 3, 1, 2)
        if labels is not None:
            return pixels.to(device), torch.from_numpy(labels[rows.numpy()]).to(device)
        return _flipped(pixels, flip).to(device), flip.to(device)

    size = min(BATCH, len(order))
    network.train()
    start = 0
    for step in range(steps):
        if start + size > len(order):
            order, start = order[torch.randperm(len(order), generator=generator)], 0
        rows = order[start : start + size]
        start += size
        flip = torch.randint(len(FLIPS), (size,), generator=generator)
        pixels, target = batch(rows, flip)
        loss = F.cross_entropy(network(pixels), target)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        cycle.step()
        if progress is not None:
            progress(step + 1, steps)

    network.eval()
    right = []
    with torch.no_grad():
        for rows in torch.split(held_out, 1024):
            flip = torch.randint(len(FLIPS), (len(rows),), generator=generator)
            pixels, target = batch(rows, flip)
            right.append((network(pixels).argmax(1) == target).cpu())
    return float(torch.cat(right).double().mean())


def _flipped(images: Tensor, flip: Tensor) -> Tensor:
    """Apply to each image (N, C, H, W) the flip its number (N,) names."""
    flipped = images.clone()
    for number, axes in enumerate(FLIPS):
        if axes:
            flipped[flip == number] = images[flip == number].flip(axes)
    return flipped


def _fingerprint(images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> str:
    digest = hashlib.sha256(repr(images.shape).encode())
    for start in range(0, len(images), 1024):
        digest.update(images[start : start + 1024].tobytes())
    if labels is not None:
        digest.update(labels.tobytes())
    return digest.hexdigest()
