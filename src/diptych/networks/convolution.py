"""Convolution as three bilinear maps, each computed by whichever exact form a CPU does fastest.

With a picture x on the fine side, y on the coarse side and the weights w,

    down(x, w) = y      the convolution of stride s
    up(y, w) = x        its adjoint in x: the transposed convolution, and the gradient of x
    spread(x, y) = w    its adjoint in w: the gradient of the weights

and <y, down(x, w)> = <x, up(y, w)> = <w, spread(x, y)>. So the derivatives of each are the other
two: one rule gives gradients of every order, and a faster form of one map serves wherever it
turns up, forwards in a decoder and backwards in a discriminator.

Forms other than the stock kernels (all are the same sums in another order; in bfloat16 the first
rounds each product once more, about 1.4 times the error of the stock kernel):

- up to one channel: one matrix product with all kernel weights, then `fold` adds up. Stock
  kernels compute 8 or 16 channels at once and leave all but one idle.
- up to a few channels, kernel 4, stride 2: one convolution of stride 1 to four times the channels
  and a rearrangement of those into pixels (Shi et al., arXiv 1609.05158).
- spread over a coarse side of at most 4 x 4 in bfloat16: one matrix product with the patches of
  x. Stock kernels spend their time on reordering the weights.

docs/performance.md has what each gains.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Geometry", "down", "pays_down", "pays_up", "spread", "up"]

FEW_CHANNELS = 16
"""Up to so many channels on the fine side, `up` rearranges."""
FEW_POSITIONS = 16
"""Up to so many positions on the coarse side, `spread` is a matrix product."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """What is left of a convolution without its weights; heights first."""

    kernel: Pair
    stride: Pair
    padding: Pair
    fine: Pair
    """Height and width of x."""

    @property
    def coarse(self) -> Pair:
        """Height and width of y."""
        height, width = (
            (size + 2 * padding - kernel) // stride + 1
            for size, padding, kernel, stride in zip(
                self.fine, self.padding, self.kernel, self.stride, strict=True
            )
        )
        return height, width

    @property
    def doubles(self) -> bool:
        """Whether it is the 4 x 4 kernel of stride 2 that exactly doubles and halves."""
        return (self.kernel, self.stride, self.padding) == ((4, 4), (2, 2), (1, 1)) and all(
            size % 2 == 0 for size in self.fine
        )


def pays_down(geometry: Geometry, channels: int, dtype: torch.dtype, *, to_images: bool) -> bool:
    """Whether a layer that goes down gains by these forms.

    Args:
        geometry: of the layer.
        channels: of x.
        dtype: in which it is computed.
        to_images: whether x needs a gradient.
    """
    return (to_images and _few(geometry, channels, 4)) or _at_most_4x4(geometry, dtype)


def pays_up(geometry: Geometry, channels: int, dtype: torch.dtype) -> bool:
    """Whether a layer that goes up, to x of so many channels, gains by these forms."""
    return _few(geometry, channels, FEW_CHANNELS) or _at_most_4x4(geometry, dtype)


def _few(geometry: Geometry, channels: int, most: int) -> bool:
    return geometry.doubles and channels <= most


def _at_most_4x4(geometry: Geometry, dtype: torch.dtype) -> bool:
    height, width = geometry.coarse
    return dtype == torch.bfloat16 and height * width <= FEW_POSITIONS


def down(x: Tensor, w: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """The convolution of x (N, I, *fine) with w (O, I, *kernel), plus bias (O,).

    Returns:
        y, (N, O, *coarse).
    """
    y: Tensor = _Down.apply(x, w, bias, geometry)  # type: ignore[no-untyped-call]
    return y


def up(y: Tensor, w: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """The transposed convolution of y (N, O, *coarse) with w (O, I, *kernel): (N, I, *fine)."""
    x: Tensor = _Up.apply(y, w, geometry)  # type: ignore[no-untyped-call]
    return x if bias is None else x + bias.to(x.dtype).view(-1, 1, 1)


def spread(x: Tensor, y: Tensor, geometry: Geometry) -> Tensor:
    """The gradient of <y, down(x, w)> in w: (O, I, *kernel), summed over N."""
    w: Tensor = _Spread.apply(x, y, geometry)  # type: ignore[no-untyped-call]
    return w


class _Down(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.geometry = geometry
        return F.conv2d(x, w, bias, stride=geometry.stride, padding=geometry.padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        for_x, for_w, for_bias, _ = ctx.needs_input_grad
        (gradient,) = gradients
        return (
            up(gradient, w, None, ctx.geometry) if for_x else None,
            spread(x, gradient, ctx.geometry) if for_w else None,
            gradient.sum((0, 2, 3)) if for_bias else None,
            None,
        )


class _Up(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(y, w)
        ctx.geometry = geometry
        channels = w.shape[1]
        if channels == 1:
            return _up_to_one(y, w, geometry)
        if channels <= FEW_CHANNELS and geometry.doubles:
            return _up_by_rearranging(y, w)
        return _stock_up(y, w, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        y, w = ctx.saved_tensors
        for_y, for_w, _ = ctx.needs_input_grad
        (gradient,) = gradients
        return (
            down(gradient, w, None, ctx.geometry) if for_y else None,
            spread(gradient, y, ctx.geometry) if for_w else None,
            None,
        )


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.geometry = geometry
        if _at_most_4x4(geometry, x.dtype):
            return _spread_by_product(x, y, geometry)
        return _stock_spread(x, y, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        for_x, for_y, _ = ctx.needs_input_grad
        (gradient,) = gradients
        return (
            up(y, gradient, None, ctx.geometry) if for_x else None,
            down(x, gradient, None, ctx.geometry) if for_y else None,
            None,
        )


def _stock_up(y: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
    surplus = [
        fine - ((coarse - 1) * stride - 2 * padding + kernel)
        for fine, coarse, stride, padding, kernel in zip(
            geometry.fine,
            geometry.coarse,
            geometry.stride,
            geometry.padding,
            geometry.kernel,
            strict=True,
        )
    ]
    return F.conv_transpose2d(
        y, w, stride=geometry.stride, padding=geometry.padding, output_padding=surplus
    )


def _up_to_one(y: Tensor, w: Tensor, geometry: Geometry) -> Tensor:
    """Every position times all kernel weights, (N, kernel, positions), then added up in place."""
    positions = y.permute(0, 2, 3, 1).flatten(1, 2)
    products = torch.matmul(positions, w.flatten(1)).transpose(1, 2)
    # Added up in single precision: up to sixteen products meet in a pixel.
    summed = F.fold(
        products if products.dtype == torch.float64 else products.float(),
        geometry.fine,
        geometry.kernel,
        padding=geometry.padding,
        stride=geometry.stride,
    )
    return summed.to(y.dtype)


def _up_by_rearranging(y: Tensor, w: Tensor) -> Tensor:
    """The pixel at 2 j + a of the output with its border is sum_t y[j - t] w[2 t + a].

    For each of the four a (two directions, two values) that is a 2 x 2 convolution: all four are
    one, whose channels (a, I) are then laid out as pixels, and the border of one pixel goes.
    """
    outputs, channels = w.shape[:2]
    halves = w.reshape(outputs, channels, 2, 2, 2, 2)  # (O, I, t, a, t', a')
    kernels = halves.flip(2, 4).permute(3, 5, 1, 0, 2, 4).reshape(4 * channels, outputs, 2, 2)
    blocks = F.conv2d(y, kernels.contiguous(memory_format=torch.channels_last), padding=1)
    count, _, height, width = blocks.shape
    pixels = blocks.permute(0, 2, 3, 1).reshape(count, height, width, 2, 2, channels)
    bordered = pixels.transpose(2, 3).reshape(count, 2 * height, 2 * width, channels)
    return bordered[:, 1:-1, 1:-1].contiguous().permute(0, 3, 1, 2)


def _stock_spread(x: Tensor, y: Tensor, geometry: Geometry) -> Tensor:
    like = x.new_empty((y.shape[1], x.shape[1], *geometry.kernel))
    like = like.contiguous(memory_format=torch.channels_last)
    gradients = torch.ops.aten.convolution_backward(
        y,
        x,
        like,
        None,
        geometry.stride,
        geometry.padding,
        (1, 1),
        False,
        (0, 0),
        1,
        (False, True, False),
    )
    w: Tensor = gradients[1]
    return w


def _spread_by_product(x: Tensor, y: Tensor, geometry: Geometry) -> Tensor:
    """Outputs by patches: (O, positions) times (positions, kernel I), in the layout of memory."""
    height, width = geometry.padding
    padded = F.pad(x, (width, width, height, height)).permute(0, 2, 3, 1).contiguous()
    rows, columns = geometry.coarse
    down_by, right_by = geometry.stride
    tall, wide = geometry.kernel
    pixel = x.shape[1]  # not from stride(): that of a side of length 1 may be anything
    row = pixel * padded.shape[2]
    image = row * padded.shape[1]
    patches = padded.as_strided(
        (len(x), rows, columns, tall, wide * pixel),
        (image, down_by * row, right_by * pixel, row, 1),
    ).reshape(-1, tall * wide * pixel)
    product = y.permute(0, 2, 3, 1).flatten(0, 2).t() @ patches
    return product.view(-1, tall, wide, x.shape[1]).permute(0, 3, 1, 2)
