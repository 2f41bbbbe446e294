"""Features of the FID's Inception-v3, by any of the three protocols that are in use."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.extractors.batches import as_rgb, channels_last, in_batches, on_channels
from diptych.evaluation.extractors.inception_network import INPUT_SIZE, LAYERS, Inception, Layer
from diptych.evaluation.extractors.resize import RESIZES, Resize, resize
from diptych.evaluation.extractors.weights import Weights
from diptych.evaluation.quantise import Images, to_bytes
from diptych.evaluation.sets import Progress, silent

__all__ = ["Dtype", "InceptionFeatures"]

Dtype = Literal["fp32", "bf16"]

BATCH = 25
"""Images at a time: more are not faster on a CPU, and take 40 MB each."""


class InceptionFeatures:
    """The trunk with weights, a layer, a resize and a type: everything that makes it a protocol.

    Args:
        weights: of kind ``"inception"``.
        layer: which features: 64, 192, 768 or 2048, each averaged over the picture.
        resize: ``"tf1"`` and ``"pil"`` scale with (x − 128)/128, ``"torch"`` with 2x/255 − 1, as
            their sources do.
        dtype: what convolutions compute in. ``"bf16"`` is for a search, never a result.
        channels: of the images that are to come, for the caveat; None if that is not known.
        device: what runs it. On CUDA, TF32 is kept out of the convolutions.

    Attributes:
        name: ``"inception"``.

    Raises:
        DataError: weights of another network, or an unknown layer, resize or type.
    """

    name = "inception"

    def __init__(
        self,
        weights: Weights,
        *,
        layer: Layer = 2048,
        resize: Resize = "tf1",
        dtype: Dtype = "fp32",
        channels: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if weights.kind != "inception":
            raise DataError(f"Inception cannot use weights of {weights.kind}.")
        choices: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
            ("layer", layer, LAYERS),
            ("resize", resize, RESIZES),
            ("dtype", dtype, get_args(Dtype)),
        )
        for what, given, allowed in choices:
            if given not in allowed:
                names = ", ".join(str(each) for each in allowed)
                raise DataError(f"Inception knows no {what} {given!r}; choose one of {names}.")
        self.layer, self.resize, self.dtype = layer, resize, dtype
        self._published, self._identity = weights.published, weights.identity
        self._warning, self._channels = weights.warning, channels
        self._device = torch.device(device)
        self._type = torch.float32 if dtype == "fp32" else torch.bfloat16
        network = Inception()
        network.load_convolutions(weights.tensors)
        self._network = network.eval().requires_grad_(False)
        channels_last(self._network.to(self._device, self._type))

    @property
    def protocol(self) -> dict[str, Any]:
        """Network, weights, layer, resize, scaling and type."""
        return {
            "extractor": self.name,
            "weights": self._identity,
            "layer": self.layer,
            "resize": self.resize,
            "scaling": "2x/255-1" if self.resize == "torch" else "(x-128)/128",
            "dtype": self.dtype,
        }

    @property
    def fid_name(self) -> str:
        """``"FID"`` under TensorFlow's resize, ``"FID (clean)"`` under Pillow's, else empty.

        Other layers, other weights, bfloat16, and the resize of pytorch-fid give numbers that
        were published under the same name and are not the same.
        """
        standard = self._published and self.layer == 2048 and self.dtype == "fp32"
        return {"tf1": "FID", "pil": "FID (clean)"}.get(self.resize, "") if standard else ""

    @property
    def caveat(self) -> str:
        """What these distances are, and what was done to the images."""
        if self.resize == "tf1" and self.fid_name:
            first = "FID with TensorFlow's resize compares with published FID at equal N."
        elif self.fid_name:
            first = "FID (clean) uses Pillow's resize: it compares with clean-fid, not with FID."
        else:
            first = (
                f"FD (inception) uses layer {self.layer}, resize {self.resize}, {self.dtype}: "
                "it is not the standard FID."
            )
        parts = (first, on_channels(self._channels), self._warning)
        return " ".join(part for part in parts if part)

    def features(self, images: Images, /, *, progress: Progress = silent) -> Tensor:
        """Return the features of images.

        Args:
            images: uint8 (N, H, W, C), or floating (N, C, H, W) in 0..1, which are quantised;
                C is 1, 3, or 4 with alpha last.
            progress: told after each batch.

        Returns:
            float32 (N, layer) on the CPU. Features of an image do not depend on its batch but
            for rounding.

        Raises:
            DataError: images of two channels, none, or not images.
        """
        pixels = to_bytes(images)
        as_rgb(pixels[:1])  # refuses before the work
        allowed = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False
        try:
            return in_batches(
                self._describe, pixels, size=BATCH, what="Inception features", progress=progress
            )
        finally:
            torch.backends.cudnn.allow_tf32 = allowed

    def _describe(self, images: Tensor) -> Tensor:
        # Resized before grey is repeated: a third of the work.
        x = resize(images.to(self._device), INPUT_SIZE, self.resize)
        x = x.mul_(2 / 255).sub_(1) if self.resize == "torch" else x.sub_(128).div_(128)
        x = as_rgb(x).to(self._type).contiguous(memory_format=torch.channels_last)
        found: Tensor = self._network(x, self.layer)
        return found
