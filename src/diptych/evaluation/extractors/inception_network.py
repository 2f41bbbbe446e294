"""The Inception-v3 of the FID: the TensorFlow graph of December 2015, up to its pooled features.

The architecture stands here and knows no weights. Where they come from is told in
:mod:`diptych.evaluation.extractors.weights`; they are the kernel of each convolution with the
mean, variance and shift β of the batch normalisation after it (its scale γ is 1), and are folded
into one convolution with bias when they are loaded:

    relu((K∗x − μ)/√(σ² + ε) + β) = relu((K/√(σ² + ε))∗x + (β − μ/√(σ² + ε)))

Two details differ from the Inception-v3 of model zoos, and both move the FID: average pools
leave the padding out of their mean, and the last block has a max pool where the others average.

Source: Szegedy et al. 2016, arXiv:1512.00567 (the network); Heusel et al. 2017, arXiv:1706.08500
(this graph as a ruler); Bińkowski et al. 2018, arXiv:1801.01401 (features of earlier layers).
"""

from collections.abc import Mapping
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["INPUT_SIZE", "LAYERS", "Inception", "Layer"]

INPUT_SIZE = 299
"""Pixels of a side."""

Layer = Literal[64, 192, 768, 2048]
LAYERS: tuple[Layer, ...] = get_args(Layer)
"""The taps, named by how many numbers they give: after the two max pools of the stem, before the
last halving, and after the last block."""

EPSILON = 1e-3
"""Added to the variance by the batch normalisation of the graph."""


class _ConvReLU(nn.Module):
    """A convolution with a folded batch normalisation, and a ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int, pad: bool
    ) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(outputs, inputs, *kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride = stride
        self.padding = (kernel[0] // 2, kernel[1] // 2) if pad else (0, 0)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, self.bias, self.stride, self.padding).relu_()


class _Fork(nn.Module):
    """Layers whose output goes through two more side by side."""

    def __init__(self, stem: nn.Module, one: nn.Module, two: nn.Module) -> None:
        super().__init__()
        self.stem, self.one, self.two = stem, one, two

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.cat([self.one(x), self.two(x)], 1)


class _Block(nn.Module):
    """Chains side by side, their outputs joined; the last branch begins with a pool of 3 × 3.

    ``pool``: "mean" or "max" keep the size and lead into the last chain; "halve" is a max pool
    of stride 2 and a branch by itself.
    """

    def __init__(self, *chains: nn.Module, pool: Literal["mean", "max", "halve"]) -> None:
        super().__init__()
        self.chains = nn.ModuleList(chains)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        if self.pool == "halve":
            return torch.cat([chain(x) for chain in self.chains] + [F.max_pool2d(x, 3, 2)], 1)
        if self.pool == "mean":
            pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        else:
            pooled = F.max_pool2d(x, 3, 1, 1)
        *chains, last = self.chains
        return torch.cat([*(chain(x) for chain in chains), last(pooled)], 1)


class Inception(nn.Module):
    """The trunk. Its weights are zero until they are loaded or drawn: no stream is touched.

    Attributes:
        convolutions: the 94 convolutions by the names they have in the graph, e.g.
            ``"mixed_4.tower_1.conv_2"``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolutions: dict[str, _ConvReLU] = {}
        one = (1, 1)

        def conv(
            name: str,
            inputs: int,
            outputs: int,
            kernel: tuple[int, int] = one,
            stride: int = 1,
            pad: bool = True,
        ) -> _ConvReLU:
            layer = _ConvReLU(inputs, outputs, kernel, stride, pad)
            self.convolutions[name] = layer
            return layer

        def chain(
            name: str, inputs: int, *layers: tuple[int, tuple[int, int]], halve: bool = False
        ) -> nn.Sequential:
            body = []
            for place, (outputs, kernel) in enumerate(layers):
                last = f"{name}.conv_{place}" if place else f"{name}.conv"
                halving = halve and place == len(layers) - 1
                body.append(conv(last, inputs, outputs, kernel, 1 + halving, not halving))
                inputs = outputs
            return nn.Sequential(*body)

        def fine(name: str, inputs: int, pooled: int) -> _Block:
            return _Block(
                conv(f"{name}.conv", inputs, 64),
                chain(f"{name}.tower", inputs, (48, one), (64, (5, 5))),
                chain(f"{name}.tower_1", inputs, (64, one), (96, (3, 3)), (96, (3, 3))),
                chain(f"{name}.tower_2", inputs, (pooled, one)),
                pool="mean",
            )

        def long(name: str, width: int) -> _Block:
            row, column = (1, 7), (7, 1)
            twice = ((width, column), (width, row), (width, column), (192, row))
            return _Block(
                conv(f"{name}.conv", 768, 192),
                chain(f"{name}.tower", 768, (width, one), (width, row), (192, column)),
                chain(f"{name}.tower_1", 768, (width, one), *twice),
                chain(f"{name}.tower_2", 768, (192, one)),
                pool="mean",
            )

        def fork(name: str, stem: nn.Module) -> _Fork:
            row = conv(f"{name}_mixed_conv", 384, 384, (1, 3))
            return _Fork(stem, row, conv(f"{name}_mixed_conv_1", 384, 384, (3, 1)))

        def wide(name: str, inputs: int, pool: Literal["mean", "max"]) -> _Block:
            deep = nn.Sequential(
                conv(f"{name}.tower_1_conv", inputs, 448),
                conv(f"{name}.tower_1_conv_1", 448, 384, (3, 3)),
            )
            return _Block(
                conv(f"{name}.conv", inputs, 320),
                fork(f"{name}.tower", conv(f"{name}.tower_conv", inputs, 384)),
                fork(f"{name}.tower_1", deep),
                conv(f"{name}.tower_2_conv", inputs, 192),
                pool=pool,
            )

        self.to_64 = nn.Sequential(
            conv("conv", 3, 32, (3, 3), 2, pad=False),
            conv("conv_1", 32, 32, (3, 3), pad=False),
            conv("conv_2", 32, 64, (3, 3)),
            nn.MaxPool2d(3, 2),
        )
        self.to_192 = nn.Sequential(
            conv("conv_3", 64, 80),
            conv("conv_4", 80, 192, (3, 3), pad=False),
            nn.MaxPool2d(3, 2),
        )
        ends = ((64, one), (96, (3, 3)), (96, (3, 3)))
        self.to_768 = nn.Sequential(
            fine("mixed", 192, 32),
            fine("mixed_1", 256, 64),
            fine("mixed_2", 288, 64),
            _Block(
                conv("mixed_3.conv", 288, 384, (3, 3), 2, pad=False),
                chain("mixed_3.tower", 288, *ends, halve=True),
                pool="halve",
            ),
            *(long(f"mixed_{n}", width) for n, width in ((4, 128), (5, 160), (6, 160), (7, 192))),
        )
        deep = ((192, one), (192, (1, 7)), (192, (7, 1)), (192, (3, 3)))
        self.to_2048 = nn.Sequential(
            _Block(
                chain("mixed_8.tower", 768, (192, one), (320, (3, 3)), halve=True),
                chain("mixed_8.tower_1", 768, *deep, halve=True),
                pool="halve",
            ),
            wide("mixed_9", 1280, "mean"),
            wide("mixed_10", 2048, "max"),
        )

    def layout(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor that :meth:`load_convolutions` needs."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, layer in self.convolutions.items():
            shapes[f"{name}.weight"] = tuple(layer.kernel.shape)
            for part in ("beta", "mean", "var"):
                shapes[f"{name}.{part}"] = tuple(layer.bias.shape)
        return shapes

    def draw(self, generator: torch.Generator) -> None:
        """Give every kernel random values that keep the scale of what passes (He et al. 2015)."""
        for layer in self.convolutions.values():
            nn.init.kaiming_normal_(layer.kernel, nonlinearity="relu", generator=generator)

    def load_convolutions(self, tensors: Mapping[str, Tensor]) -> None:
        """Take kernels and batch statistics, folding the one into the other.

        Args:
            tensors: float32, named and shaped as :meth:`layout` says.
        """
        with torch.no_grad():
            for name, layer in self.convolutions.items():
                scale = torch.rsqrt(tensors[f"{name}.var"] + EPSILON)
                layer.kernel.copy_(tensors[f"{name}.weight"] * scale[:, None, None, None])
                layer.bias.copy_(tensors[f"{name}.beta"] - tensors[f"{name}.mean"] * scale)

    def forward(self, x: Tensor, layer: Layer = 2048) -> Tensor:
        """Return the maps of a layer, averaged over their area.

        Args:
            x: (N, 3, 299, 299), scaled to about -1..1.
            layer: which; nothing beyond it is computed.

        Returns:
            float32 (N, layer).
        """
        for name in LAYERS:
            x = self.get_submodule(f"to_{name}")(x)
            if name == layer:
                break
        # Averaged in float32 also where the network runs in less.
        return x.float().mean((2, 3))
