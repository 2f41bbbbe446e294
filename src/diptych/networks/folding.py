"""Batch normalisation of a trained network, folded into the layer before it.

In evaluation batch normalisation is an affine map of each channel,

    norm(y) = a y + b,   a = gamma / sqrt(variance + eps),   b = beta - a mean,

so after a linear map y = W x + c it is one linear map again: (a W) x + (a c + b).

Source: Ioffe & Szegedy, "Batch normalization: accelerating deep network training by reducing
internal covariate shift", ICML 2015, arXiv 1502.03167, section 3.1.
"""

from collections import Counter
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized

from diptych.networks.conv import ConvDecoder, Crop
from diptych.networks.faster import computes_as_stock

__all__ = ["batch_norm_as_affine", "fold_batch_norms", "folded", "in_sequence"]

_Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
_KEEPS_CHANNELS = (nn.Identity, nn.Unflatten, Crop)
"""What an affine map of each channel may be moved across. `Unflatten` reads a linear layer's
outputs as channels of pixels: each channel is then a run of neighbouring outputs."""


def batch_norm_as_affine(norm: _BatchNorm) -> tuple[Tensor, Tensor] | None:
    """The scale a and shift b of each channel in evaluation, (C,) in float64.

    None for a norm that keeps no statistics: it looks at the batch in evaluation too.
    """
    if norm.running_mean is None or norm.running_var is None:
        return None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    shift = -norm.running_mean.double() * scale
    if norm.affine:
        gamma, beta = norm.weight.detach().double(), norm.bias.detach().double()
        scale, shift = scale * gamma, shift * gamma + beta
    return scale, shift


def folded(
    weight: Tensor, bias: Tensor | None, scale: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the linear map followed by a y + b.

    Args:
        weight: (outputs, ...).
        bias: (outputs,), or None for zeros.
        scale: a, (outputs,).
        shift: b, (outputs,).
    """
    scaled = weight * scale.view(-1, *[1] * (weight.dim() - 1))
    return scaled, shift if bias is None else bias * scale + shift


def in_sequence(network: nn.Module) -> Iterator[list[nn.Module]]:
    """The stretches of a network in which each module is fed by the one before it and no other.

    These are the `nn.Sequential`s, nested ones opened, and the `ConvDecoder`s. What runs outside
    of them may branch, and nothing is said about it.
    """
    inner: set[nn.Module] = set()
    for module in network.modules():  # outer ones come first
        if module not in inner and (parts := _parts(module)) is not None:
            stretch, waiting = [], parts[::-1]
            while waiting:
                part = waiting.pop()
                nested = _parts(part)
                if nested is None:
                    stretch.append(part)
                else:
                    inner.add(part)
                    waiting += nested[::-1]
            yield stretch


def _parts(module: nn.Module) -> list[nn.Module] | None:
    """The modules that run one after the other when this one runs, if that is all it does."""
    if _is_hooked(module):
        return None
    if type(module).forward is nn.Sequential.forward and isinstance(module, nn.Sequential):
        return list(module)
    if type(module).forward is ConvDecoder.forward and isinstance(module, ConvDecoder):
        return [module.project, module.body]
    return None


def fold_batch_norms(network: nn.Module) -> int:
    """Fold what can be folded exactly, in place; batch norms that were folded become identities.

    A norm is folded if it follows a linear layer, a convolution or a transposed one in sequence,
    with at most a reshape or a crop between. Everything else stays as it is.

    Args:
        network: in evaluation mode.

    Returns:
        How many were folded.
    """
    uses = Counter(module for _, module in network.named_modules(remove_duplicate=False))
    gone: set[nn.Module] = set()
    for stretch in in_sequence(network):
        layer: _Layer | None = None
        for module in stretch:
            if uses[module] > 1 or _is_hooked(module):
                layer = None
            elif isinstance(module, _Layer):
                layer = module
            elif layer is not None and isinstance(module, _BatchNorm) and _fold(layer, module):
                gone.add(module)
            elif not isinstance(module, _KEEPS_CHANNELS):
                layer = None
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if child in gone:
                setattr(parent, name, nn.Identity())
    return len(gone)


def _fold(layer: _Layer, norm: _BatchNorm) -> bool:
    """Fold one norm into one layer, unless that would not be exact."""
    if not computes_as_stock(layer):  # e.g. from a weight that it makes anew each time
        return False
    affine = None if norm.training else batch_norm_as_affine(norm)
    if affine is None or is_parametrized(layer):
        return False
    if isinstance(layer, nn.Linear):
        # Read as channels of pixels, each channel is a run of neighbouring outputs.
        pixels, rest = divmod(layer.out_features, norm.num_features)
    else:
        pixels, rest = 1, layer.out_channels - norm.num_features
    transposed = isinstance(layer, nn.ConvTranspose2d)
    if rest or (isinstance(layer, nn.ConvTranspose2d) and layer.groups != 1):
        return False
    scale, shift = (values.repeat_interleave(pixels) for values in affine)
    like, old = layer.weight, None if layer.bias is None else layer.bias.detach().double()
    weight = like.detach().double()
    weight, bias = folded(weight.transpose(0, 1) if transposed else weight, old, scale, shift)
    layer.weight = nn.Parameter((weight.transpose(0, 1) if transposed else weight).to(like))
    layer.bias = nn.Parameter(bias.to(like))
    return True


def _is_hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)
