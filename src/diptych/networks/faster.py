"""Layers that give the same results faster on a CPU, in place of stock ones."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from diptych.networks.convolution import Geometry, down, pays_down, pays_up, up
from diptych.networks.onednn import onednn_linear

__all__ = ["computes_as_stock", "flatten_pixels", "in_one_pass", "is_plain", "use_faster_layers"]


class _FlattenPixels(torch.autograd.Function):
    """flatten(1), whose gradient comes back in the channels-last layout of the pixels.

    Flattening copies to (C, H, W) order, and autograd hands the gradient back in that order:
    every layer before then reads two layouts at once, at a twentieth of the speed.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x.flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].view(ctx.shape).contiguous(memory_format=torch.channels_last)


def flatten_pixels(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C H W), as flatten(1); the gradient keeps the layout of x."""
    if torch._C._are_functorch_transforms_active():  # jacrev, vmap: they take plain operations
        return x.flatten(1)
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return x.flatten(1)
    flat: Tensor = _FlattenPixels.apply(x)  # type: ignore[no-untyped-call]
    return flat


class _Flatten(nn.Flatten):
    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.dim() == 4 and (self.start_dim, self.end_dim) == (1, -1):
            return flatten_pixels(input)
        return super().forward(input)


class _ByOneDNN(torch.autograd.Function):
    """a b^T in fp32; its derivatives are products again, so there are some of every order."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return onednn_linear(a, b, None)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        for_a, for_b = ctx.needs_input_grad
        (gradient,) = gradients
        return (
            _by_onednn(gradient, b.t()) if for_a else None,
            # The weights' gradient has both factors transposed, which oneDNN copies first.
            gradient.t() @ a if for_b else None,
        )


def _by_onednn(a: Tensor, b: Tensor) -> Tensor:
    """a (N, K) times b (M, K) transposed."""
    product: Tensor = _ByOneDNN.apply(a, b)  # type: ignore[no-untyped-call]
    return product


class _Linear(nn.Linear):
    """MKL, which torch asks for fp32 products, takes a slow path on AMD; oneDNN does not."""

    def forward(self, input: Tensor) -> Tensor:
        plain = input.dim() == 2 and input.dtype == self.weight.dtype == torch.float32
        elsewhere = input.device.type != "cpu" or torch.is_autocast_enabled("cpu")
        if not self.training or not plain or elsewhere:
            return super().forward(input)
        product = _by_onednn(input, self.weight)
        return product if self.bias is None else product + self.bias


class _Conv2d(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        if self.training and _in_channels_last(input):
            geometry = _geometry(self, (input.shape[2], input.shape[3]))
            dtype = _compute_dtype(input)
            if pays_down(geometry, self.in_channels, dtype, to_images=input.requires_grad):
                bias = None if self.bias is None else self.bias.to(dtype)
                return down(input.to(dtype), self.weight.to(dtype), bias, geometry)
        return super().forward(input)


class _ConvTranspose2d(nn.ConvTranspose2d):
    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if self.training and output_size is None and _in_channels_last(input):
            height, width = (
                (size - 1) * self.stride[side]
                - 2 * int(self.padding[side])
                + self.kernel_size[side]
                + self.output_padding[side]
                for side, size in enumerate(input.shape[2:])
            )
            geometry = _geometry(self, (height, width))
            dtype = _compute_dtype(input)
            if pays_up(geometry, self.out_channels, dtype):
                return up(input.to(dtype), self.weight.to(dtype), self.bias, geometry)
        return super().forward(input, output_size)


def _geometry(layer: nn.Conv2d | nn.ConvTranspose2d, fine: tuple[int, int]) -> Geometry:
    assert not isinstance(layer.padding, str)  # `is_plain` leaves such layers out
    return Geometry(
        (layer.kernel_size[0], layer.kernel_size[1]),
        (layer.stride[0], layer.stride[1]),
        (layer.padding[0], layer.padding[1]),
        fine,
    )


def _in_channels_last(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dim() == 4
        and x.is_contiguous(memory_format=torch.channels_last)
        and torch.is_grad_enabled()
    )


def _compute_dtype(x: Tensor) -> torch.dtype:
    """What autocast would compute in, or that of x without it."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


class _BatchNorm2d(nn.BatchNorm2d):
    """Normalises each of so many equal parts of its input for itself, one after the other."""

    parts = 1

    def forward(self, input: Tensor) -> Tensor:
        if self.parts == 1:
            return super().forward(input)
        return torch.cat([super(_BatchNorm2d, self).forward(x) for x in input.chunk(self.parts)])


def in_one_pass(network: nn.Module, parts: Sequence[Tensor]) -> tuple[Tensor, ...] | None:
    """The network's outputs for each part, as if each had passed alone, from one pass of all.

    One call of a convolution on all images is faster than a call for each part. Batch
    normalisation keeps the parts apart: its statistics, and the order in which they move the
    running ones, are those of a pass each. That no other layer looks at its neighbours is for the
    caller to know; a spectral norm takes one power iteration where two passes take two.

    Args:
        network: with its layers made faster.
        parts: tensors (N, ...), of one shape if there is batch normalisation.

    Returns:
        None where a batch normalisation is not of the kind that can.
    """
    sees_the_batch = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    norms = [norm for norm in sees_the_batch if isinstance(norm, _BatchNorm2d)]
    unequal = len({part.shape for part in parts}) > 1
    if len(norms) < len(sees_the_batch) or (norms and unequal):
        return None
    for norm in norms:
        norm.parts = len(parts)
    try:
        outputs: Tensor = network(torch.cat(list(parts)))
    finally:
        for norm in norms:
            norm.parts = 1
    return torch.split(outputs, [len(part) for part in parts])


_FASTER: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: _Conv2d,
    nn.ConvTranspose2d: _ConvTranspose2d,
    nn.Flatten: _Flatten,
    nn.BatchNorm2d: _BatchNorm2d,
}
_STOCK = {faster: stock for stock, faster in {**_FASTER, nn.Linear: _Linear}.items()}


def use_faster_layers(network: nn.Module, *, forms: bool = True, onednn: bool = False) -> int:
    """Let every plain layer inside use the fastest exact form of what it computes in training.

    The layers stay the objects they are, with their parameters and names; in evaluation, on
    other devices and in other layouts they compute as before. Layers of derived types, with
    groups, dilation or a padding other than zeros stay as they are. A second call with other
    arguments undoes the first.

    Args:
        network: changed in place.
        forms: whether convolutions, flattening and batch normalisation take faster forms.
        onednn: whether fp32 linear layers go through oneDNN.

    Returns:
        How many layers are now other than stock.
    """
    wanted: dict[type[nn.Module], type[nn.Module]] = dict(_FASTER) if forms else {}
    if onednn:
        wanted[nn.Linear] = _Linear
    changed = 0
    for layer in network.modules():
        stock = _STOCK.get(type(layer), type(layer))
        kind = wanted.get(stock, stock) if stock in _STOCK.values() and is_plain(layer) else stock
        if kind is not type(layer):
            layer.__class__ = kind
        changed += kind is not stock
    return changed


def computes_as_stock(layer: nn.Module) -> bool:
    """True for torch's own linear layer and convolutions, and for the twins of them made here.

    Not for layers derived from them, whose weight may not be what they multiply with.
    """
    return _STOCK.get(type(layer), type(layer)) in (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def is_plain(layer: nn.Module) -> bool:
    """False for convolutions with groups, dilation or another padding than that many zeros."""
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return True
    return (
        layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )
