"""LPIPS: how different two images look, as a distance between features of AlexNet.

Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual
metric", arXiv:1801.03924, version 0.1 of its weights. The trunk: Krizhevsky 2014,
arXiv:1404.5997.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from diptych.errors import DataError, MissingData
from diptych.evaluation.extractors.batches import channels_last
from diptych.evaluation.reconstruction.pairs import check_pairs

__all__ = ["Lpips"]

LAYERS = (  # channels, kernel, stride, padding; max pooling 3 by 2 before the second and third
    (64, 11, 4, 2),
    (192, 5, 1, 2),
    (384, 3, 1, 1),
    (256, 3, 1, 1),
    (256, 3, 1, 1),
)
POOLED_BEFORE = (1, 2)
SHIFT = (-0.030, -0.088, -0.188)  # ImageNet's mean and deviation, of images in -1..1
SCALE = (0.458, 0.448, 0.450)
SMALLEST = 31
"""Pixels a side without which nothing is left after the second pooling."""
ENLARGED = 64
"""Pixels a side to which smaller images are brought: the patches of the people's judgements."""


class Lpips(nn.Module):
    """d(x, y) = Σ_l mean over places of Σ_c w_lc (x̂_lc − ŷ_lc)².

    x̂_l is the output of layer l, of unit length over its channels at each place; w_l ≥ 0 was
    fitted to what people found more alike. The weights are frozen and gradients flow to the
    images. Called with two batches of images, it returns one distance for each pair, ≥ 0,
    without a unit; 0.1 is close and 0.7 is far.

    A new object has random weights, good for tests of structure only; see :meth:`from_file`.

    Args:
        weights: hash of the weights, for the protocol.
    """

    name = "LPIPS (AlexNet)"
    shift: Tensor
    scale: Tensor

    def __init__(self, weights: str = "random") -> None:
        super().__init__()
        self.weights = weights
        channels = (3, *(layer[0] for layer in LAYERS))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel, stride, padding)
            for before, (after, kernel, stride, padding) in zip(channels, LAYERS, strict=False)
        )
        self.channel_weights = nn.ParameterList(
            nn.Parameter(torch.rand(after) / after) for after, *_ in LAYERS
        )
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    @classmethod
    def from_file(cls, path: str | Path) -> "Lpips":
        """Read the weights from a safetensors file; nothing in it is executed.

        Args:
            path: a file with what :meth:`from_tensors` takes.

        Raises:
            MissingData: there is no such file.
            DataError: the file is not safetensors, or holds other weights.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingData(
                f"{path} does not exist; LPIPS needs its weights (lpips_alex_full.safetensors, "
                "9.9 MB) as a file."
            )
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise DataError(f"{path} is not a readable safetensors file: {error}.") from error
        return cls.from_tensors(
            tensors, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), origin=str(path)
        )

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], *, sha256: str, origin: str = "What was given"
    ) -> "Lpips":
        """Take the weights of trunk and channels by name.

        Args:
            tensors: AlexNet_0.Conv_0..4.kernel as (out, in, height, width) and .bias, and
                NetLinLayer_0..4.Conv_0.kernel as (1, channels, 1, 1).
            sha256: of the file they come from, for the protocol.
            origin: named if they do not fit.

        Raises:
            DataError: a tensor is missing or of another size.
        """
        model = cls(sha256)
        model.load_state_dict(_renamed(tensors, model.state_dict(), origin))
        channels_last(model)
        return model

    @property
    def protocol(self) -> dict[str, Any]:
        """JSON values that change whenever a distance could."""
        return {
            "lpips": "0.1, AlexNet",
            "weights_sha256": self.weights,
            "resize": f"bilinear to a shorter side of {ENLARGED} where it is under {SMALLEST}",
            "dtype": str(self.channel_weights[0].dtype).removeprefix("torch."),
        }

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the distance of each pair, (N,), in the dtype of the weights.

        Args:
            first: (N, C, H, W), floating, in 0..1. One channel is repeated, two are averaged, of
                four the first three are taken. Images with a side under 31 pixels cannot pass
                the network and are enlarged, so their distances compare among themselves only.
            second: the same shape.

        Raises:
            DataError: these are not two equal batches of images in 0..1.
        """
        return self.against([first], second)[0]

    def against(self, firsts: Sequence[Tensor], second: Tensor) -> list[Tensor]:
        """Return the distances of several batches to one, which passes the network once.

        Args:
            firsts: as `first` of a call. A batch of one image that was expanded to N passes the
                network as the one it is.
            second: the same shape as each.

        Raises:
            DataError: these are not equal batches of images in 0..1.
        """
        for first in firsts:
            check_pairs(first, second)
        target = self._unit_features(second)
        return [self._distance(self._unit_features(_distinct(first)), target) for first in firsts]

    def _distance(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        total = torch.zeros_like(second[0][:, 0, 0, 0])
        for weights, x, y in zip(self.channel_weights, first, second, strict=True):
            total = total + torch.einsum("nchw,c->nhw", (x - y).square(), weights).mean((1, 2))
        return total

    def _unit_features(self, images: Tensor) -> list[Tensor]:
        """The five layers' outputs, each (N, C_l, H_l, W_l) and of length 1 over C_l."""
        x = (_three_channels(images.to(self.shift)) * 2 - 1 - self.shift) / self.scale
        shorter = min(x.shape[2:])
        if shorter < SMALLEST:
            size = [round(side * ENLARGED / shorter) for side in x.shape[2:]]
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        x = x.contiguous(memory_format=torch.channels_last)
        outputs = []
        for layer, convolution in enumerate(self.convolutions):
            if layer in POOLED_BEFORE:
                x = F.max_pool2d(x, 3, 2)
            x = F.relu(convolution(x))
            # vector_norm has a gradient of 0, not of NaN, where all channels are silent.
            outputs.append(x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10))
        return outputs


def _distinct(images: Tensor) -> Tensor:
    """The images, or the first one where all are it and were never copied."""
    return images[:1] if len(images) > 1 and images.stride(0) == 0 else images


def _three_channels(images: Tensor) -> Tensor:
    if images.shape[1] >= 3:
        return images[:, :3]
    return images.mean(1, keepdim=True).expand(-1, 3, -1, -1)


def _renamed(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], origin: str
) -> dict[str, Tensor]:
    """The tensors under our names, refused unless they fit one and all."""
    renamed = {}
    for layer in range(len(LAYERS)):
        for theirs, ours in (
            (f"AlexNet_0.Conv_{layer}.kernel", f"convolutions.{layer}.weight"),
            (f"AlexNet_0.Conv_{layer}.bias", f"convolutions.{layer}.bias"),
            (f"NetLinLayer_{layer}.Conv_0.kernel", f"channel_weights.{layer}"),
        ):
            shape = expected[ours].shape
            # The weights of channels are a convolution of one place in the file, a row here.
            found = tensors.get(theirs)
            if found is not None and len(shape) == 1:
                found = found.squeeze()
            if found is None or found.shape != shape:
                raise DataError(
                    f"{origin} does not hold LPIPS's AlexNet: {theirs} is missing or of another "
                    "shape."
                )
            renamed[ours] = found
    return renamed
