"""Convolutions to very few channels as one matrix product and a sum of shifted pictures.

Kernels for convolutions compute 8 or 16 output channels at once. A layer that gives one or three,
as the last layer of every decoder does, leaves most of them idle. Here every pixel is multiplied
by all k x k x C_out weights in one product of matrices, and `fold` adds each result to the pixel
that it belongs to: the same sums in another order.
"""

from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diptych.networks.faster import computes_as_stock, is_plain

__all__ = ["ByColumns", "pays_by_columns"]

_MOST_OUTPUTS = 4
_INPUTS_PER_OUTPUT = 8
"""Measured: 16 to 1, 32 to 1 and 3, 64 to 1 and 3 channels gain 1.2 to 6 times; 16 to 3 loses."""


def pays_by_columns(layer: nn.Module) -> TypeGuard[nn.Conv2d | nn.ConvTranspose2d]:
    """True for a layer that `ByColumns` can compute and computes faster on a CPU."""
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return False
    plain = computes_as_stock(layer) and is_plain(layer)
    if isinstance(layer, nn.Conv2d):
        plain = plain and layer.stride == (1, 1)
    few = layer.out_channels <= _MOST_OUTPUTS
    return plain and few and layer.in_channels >= _INPUTS_PER_OUTPUT * layer.out_channels


class ByColumns(nn.Module):
    """The same map as a convolution of stride 1 or a transposed one of any stride.

    Args:
        layer: one for which `pays_by_columns` holds; its values are copied.
    """

    columns: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        weight = layer.weight.detach()
        height, width = layer.kernel_size
        if isinstance(layer, nn.Conv2d):
            # A convolution of stride 1 is a transposed one with the kernel turned around.
            weight = weight.flip(2, 3).transpose(0, 1)
            self.padding = (
                height - 1 - int(layer.padding[0]),
                width - 1 - int(layer.padding[1]),
            )
            self.stride, self.surplus = (1, 1), (0, 0)
        else:
            self.padding = (int(layer.padding[0]), int(layer.padding[1]))
            self.stride = (layer.stride[0], layer.stride[1])
            self.surplus = (layer.output_padding[0], layer.output_padding[1])
        self.kernel = (height, width)
        self.register_buffer("columns", weight.flatten(1).t().contiguous())
        bias = None if layer.bias is None else layer.bias.detach().clone().view(1, -1, 1, 1)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H', W'), summed in single precision."""
        count, channels, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(count, height * width, channels)
        products = torch.matmul(self.columns, pixels.transpose(1, 2))
        size = tuple(
            (before - 1) * stride - 2 * padding + kernel + surplus
            for before, stride, padding, kernel, surplus in zip(
                (height, width), self.stride, self.padding, self.kernel, self.surplus, strict=True
            )
        )
        summed = F.fold(
            products.float(), size, self.kernel, padding=self.padding, stride=self.stride
        )
        return summed if self.bias is None else summed.add_(self.bias)
