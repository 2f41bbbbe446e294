"""Features and class scores of EfficientNet-Lite0: ImageNet at a quarter of Inception's time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.extractors.batches import as_rgb, channels_last, in_batches, on_channels
from diptych.evaluation.extractors.lite0_network import INPUT_SIZE, Lite0
from diptych.evaluation.extractors.resize import resize
from diptych.evaluation.extractors.weights import Weights
from diptych.evaluation.quantise import Images, to_bytes
from diptych.evaluation.sets import Progress, silent

__all__ = ["Lite0Features"]

BATCH = 50


class Lite0Features:
    """The network with weights. Pillow's bicubic resize to 224 pixels, scaled by (x − 127)/128.

    The whole picture is used; nothing is cropped, so logits differ a little from those of the
    usual central crop.

    Args:
        weights: of kind ``"lite0"``.
        channels: of the images that are to come, for the caveat; None if that is not known.
        device: what runs it.

    Attributes:
        name: ``"lite0"``.

    Raises:
        DataError: weights of another network.
    """

    name = "lite0"
    fid_name = ""

    def __init__(
        self,
        weights: Weights,
        *,
        channels: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if weights.kind != "lite0":
            raise DataError(f"EfficientNet-Lite0 cannot use weights of {weights.kind}.")
        self._identity, self._warning = weights.identity, weights.warning
        self._channels = channels
        self._device = torch.device(device)
        network = Lite0()
        network.load_convolutions(weights.tensors)
        self._network = network.eval().requires_grad_(False)
        channels_last(self._network.to(self._device))

    @property
    def protocol(self) -> dict[str, Any]:
        """Network, weights, layer, resize, scaling and type."""
        return {
            "extractor": self.name,
            "weights": self._identity,
            "layer": "pooled",
            "resize": "pil",
            "scaling": "(x-127)/128",
            "dtype": "fp32",
        }

    @property
    def caveat(self) -> str:
        """What these distances are not, and what was done to the images."""
        first = (
            "FD (lite0) uses EfficientNet-Lite0, trained on ImageNet: it is not FID and compares "
            "with no published FID."
        )
        parts = (first, on_channels(self._channels), self._warning)
        return " ".join(part for part in parts if part)

    def features(self, images: Images, /, *, progress: Progress = silent) -> Tensor:
        """Return float32 (N, 1280) on the CPU, ≥ 0.

        Args:
            images: uint8 (N, H, W, C), or floating (N, C, H, W) in 0..1, which are quantised;
                C is 1, 3, or 4 with alpha last.
            progress: told after each batch.

        Raises:
            DataError: images of two channels, none, or not images.
        """
        return self._run(self._network, images, progress)

    def logits(self, images: Images, /, *, progress: Progress = silent) -> Tensor:
        """Return float32 (N, 1000) on the CPU: unnormalised scores of the ImageNet classes.

        An Inception-like score made of them is not the Inception score: other network, other
        classes. Arguments as in :meth:`features`.
        """
        return self._run(lambda x: self._network.classify(self._network(x)), images, progress)

    def _run(
        self, function: Callable[[Tensor], Tensor], images: Images, progress: Progress
    ) -> Tensor:
        pixels = to_bytes(images)
        as_rgb(pixels[:1])  # refuses before the work

        def describe(part: Tensor) -> Tensor:
            x = resize(part.to(self._device), INPUT_SIZE, "pil").sub_(127).div_(128)
            return function(as_rgb(x).contiguous(memory_format=torch.channels_last))

        return in_batches(describe, pixels, size=BATCH, what="Lite0 features", progress=progress)
