"""EfficientNet-Lite0 in plain torch: a small ImageNet network, four times as fast as Inception.

The Lite family leaves squeeze-and-excitation out and uses ReLU6. Padding is TensorFlow's "same":
where a stride does not divide the size evenly, the odd pixel goes to the right and the bottom.

Source: Tan and Le 2019, arXiv:1905.11946; the Lite variant, Google 2020.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CLASSES", "FEATURES", "INPUT_SIZE", "Lite0"]

INPUT_SIZE = 224
"""Pixels of a side."""
FEATURES = 1280
CLASSES = 1000

EPSILON = 1e-3
"""Added to the variance by the batch normalisation."""

STAGES = (
    # outputs, kernel, stride of the first block, expansion, blocks
    (16, 3, 1, 1, 1),
    (24, 3, 2, 6, 2),
    (40, 5, 2, 6, 2),
    (80, 3, 2, 6, 3),
    (112, 5, 1, 6, 3),
    (192, 5, 2, 6, 4),
    (320, 3, 1, 6, 1),
)


class _ConvNorm(nn.Module):
    """A convolution under TensorFlow's "same" padding, its normalisation folded in."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(outputs, inputs // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride, self.groups = stride, groups

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel.shape[-1], self.stride
        pads = [max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:]]
        if any(pads):
            top, left = pads[0] // 2, pads[1] // 2
            x = F.pad(x, (left, pads[1] - left, top, pads[0] - top))
        return F.conv2d(x, self.kernel, self.bias, stride, groups=self.groups)


class _Linear(nn.Module):
    """A linear layer that begins at zero."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class _Block(nn.Module):
    """An inverted residual: widen, look around in each channel, narrow; add where it fits."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _ConvNorm(inputs, wide) if expansion > 1 else None
        self.depthwise = _ConvNorm(wide, wide, kernel, stride, groups=wide)
        self.project = _ConvNorm(wide, outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = F.relu6(self.depthwise(y), inplace=True)
        projected: Tensor = self.project(y)
        return x + projected if self.adds else projected


class Lite0(nn.Module):
    """The network. Its weights are zero until they are loaded: no random stream is touched.

    Attributes:
        convolutions: each convolution with the names of its kernel and of its normalisation in a
            published file, e.g. ``("_blocks.3._expand_conv", "_blocks.3._bn0")``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions: dict[tuple[str, str], _ConvNorm] = {}
        self.stem = self._named("_conv_stem", "_bn0", _ConvNorm(3, 32, 3, 2))
        blocks: list[_Block] = []
        inputs = 32
        for outputs, kernel, first, expansion, repeats in STAGES:
            for repeat in range(repeats):
                name = f"_blocks.{len(blocks)}"
                stride = first if repeat == 0 else 1
                block = _Block(inputs, outputs, kernel, stride, expansion)
                if block.expand is not None:
                    self._named(f"{name}._expand_conv", f"{name}._bn0", block.expand)
                self._named(f"{name}._depthwise_conv", f"{name}._bn1", block.depthwise)
                self._named(f"{name}._project_conv", f"{name}._bn2", block.project)
                blocks.append(block)
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = self._named("_conv_head", "_bn1", _ConvNorm(inputs, FEATURES))
        self.classify = _Linear(FEATURES, CLASSES)

    def _named(self, kernel: str, norm: str, layer: _ConvNorm) -> _ConvNorm:
        self.convolutions[kernel, norm] = layer
        return layer

    def layout(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor that :meth:`load_convolutions` needs."""
        shapes: dict[str, tuple[int, ...]] = {
            "_fc.weight": (CLASSES, FEATURES),
            "_fc.bias": (CLASSES,),
        }
        for (kernel, norm), layer in self.convolutions.items():
            shapes[f"{kernel}.weight"] = tuple(layer.kernel.shape)
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{norm}.{part}"] = tuple(layer.bias.shape)
        return shapes

    def load_convolutions(self, tensors: Mapping[str, Tensor]) -> None:
        """Take kernels and batch statistics, folding the one into the other.

        Args:
            tensors: float32, named and shaped as :meth:`layout` says.
        """
        with torch.no_grad():
            for (kernel, norm), layer in self.convolutions.items():
                scale = tensors[f"{norm}.weight"] * torch.rsqrt(
                    tensors[f"{norm}.running_var"] + EPSILON
                )
                layer.kernel.copy_(tensors[f"{kernel}.weight"] * scale[:, None, None, None])
                shift = tensors[f"{norm}.running_mean"] * scale
                layer.bias.copy_(tensors[f"{norm}.bias"] - shift)
            self.classify.weight.copy_(tensors["_fc.weight"])
            self.classify.bias.copy_(tensors["_fc.bias"])

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 (N, 1280), pooled, for x (N, 3, 224, 224) scaled to about -1..1."""
        x = self.blocks(F.relu6(self.stem(x), inplace=True))
        return F.relu6(self.head(x), inplace=True).float().mean((2, 3))
