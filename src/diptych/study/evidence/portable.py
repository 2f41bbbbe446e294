"""From a model's decoder to layers that the page can run.

The page has no torch. `translate` walks the decoder and writes it down as the operations of
`layers.py`, with batch statistics folded into the weights before them; what `decode` then gives
differently from the model is not written.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from diptych.distributions import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
    Likelihood,
)
from diptych.models import GAN, VAE, Game
from diptych.networks import ConvDecoder, MLPDecoder
from diptych.networks.conv import Crop
from diptych.networks.folding import batch_norm_as_affine, folded
from diptych.study.evidence.layers import Portable, decode
from diptych.training.rundir import write_text

__all__ = ["NotPortable", "translate", "write_decoder"]

MOST_MULTIPLICATIONS = 40_000_000
"""Per picture. A browser does about 10^9 a second: three default models at 28 x 28 need 10^7."""
MOST_BYTES = 4_000_000
"""Of weights, per model: the page is sent by mail."""
TOLERANCE = 2 / 255
"""Largest error of a pixel against the model: two of the 256 levels of a screen."""
CHECKED = 16
"""Codes on which the translation is compared with the model."""


class NotPortable(Exception):
    """Why the page cannot run a decoder: one sentence for the page, never an error."""


@dataclass
class _Layer:
    """An operation on its way into the list; only its numbers still change (folding, crops)."""

    entry: dict[str, Any]
    weight: Tensor | None = None
    """With the outputs as its first axis."""
    bias: Tensor | None = None


def write_decoder(model: Game, folder: Path, *, seed: int = 0) -> tuple[str | None, str | None]:
    """Write `decoder.json` if the page can run this model's decoder.

    Args:
        model: in evaluation mode.
        folder: where to write; made if need be.
        seed: of the codes on which the translation is checked.

    Returns:
        The file's name and None, or None and the reason in one sentence.
    """
    try:
        portable = translate(model)
        _check(portable, model, seed)
    except NotPortable as reason:
        return None, str(reason)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "decoder.json", json.dumps(portable.to_json()) + "\n")
    return "decoder.json", None


def translate(model: Game) -> Portable:
    """Write a model's `decode_mean` down as layers.

    Raises:
        NotPortable: it has a part the page does not know, or it is too large.
    """
    if not model.is_image:
        raise NotPortable("Points are not decoded in the page.")
    walk = _Walk()
    if isinstance(model, VAE):
        walk.visit(model.decoder)
        walk.likelihood(model.likelihood)
    elif isinstance(model, GAN):
        walk.visit(model.generator)
        walk.value("affine", scale=0.5, shift=0.5)  # from [-1, 1] to [0, 1]
    else:
        raise NotPortable(f"The page knows no way to decode a {type(model).__name__}.")
    return walk.finish(model.latent_dim, model.event_shape)


@dataclass
class _Walk:
    """Visits modules in the order they run and collects layers."""

    layers: list[_Layer] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    """Of the values after the last layer: () flat, or (C, H, W)."""

    def visit(self, module: nn.Module) -> None:
        """Add a module.

        Raises:
            NotPortable: the page knows no such part.
        """
        if isinstance(module, nn.Sequential):
            for part in module:
                self.visit(part)
        elif isinstance(module, ConvDecoder):
            self.visit(module.project)
            self._image((module.top_channels, *module.base))
            self.visit(module.body)
        elif isinstance(module, MLPDecoder):
            self.visit(module.layers)
            self._image(module.event_shape)
        elif isinstance(module, nn.Linear):
            self._linear(module)
        elif isinstance(module, nn.ConvTranspose2d):
            self._transposed(module)
        elif isinstance(module, nn.Conv2d):
            self._convolution(module)
        elif isinstance(module, _BatchNorm):
            self._fold(module)
        elif isinstance(module, Crop):
            self._crop(module)
        elif isinstance(module, nn.ReLU):
            self.value("leaky", slope=0.0)
        elif isinstance(module, nn.LeakyReLU):
            self.value("leaky", slope=module.negative_slope)
        elif isinstance(module, nn.Tanh):
            self.value("tanh")
        elif isinstance(module, nn.Sigmoid):
            self.value("sigmoid")
        elif not isinstance(module, nn.Identity):
            raise _unknown(module)

    def likelihood(self, likelihood: Likelihood) -> None:
        """Add the way from the decoder's output to the mean of the likelihood."""
        if isinstance(likelihood, ContinuousBernoulliLikelihood):
            self.value("continuous-bernoulli")
        elif isinstance(likelihood, BernoulliLikelihood):
            self.value("sigmoid")
        elif isinstance(likelihood, GaussianLikelihood | LaplaceLikelihood):
            if likelihood.bounded_mean:
                self.value("sigmoid")
        else:
            raise _unknown(likelihood)

    def value(self, op: str, **settings: float) -> None:
        """Add an operation on each value."""
        self.layers.append(_Layer({"op": op, **settings}))

    def finish(self, latent_dim: int, event_shape: tuple[int, ...]) -> Portable:
        """Round the weights and put them into one block."""
        count = sum(_multiplications(layer.entry) for layer in self.layers)
        if count > MOST_MULTIPLICATIONS:
            raise NotPortable(
                f"A picture takes {count / 1e6:,.0f} million multiplications, and the page runs "
                f"decoders of up to {MOST_MULTIPLICATIONS / 1e6:,.0f} million."
            )
        tensors = [t for layer in self.layers for t in (layer.weight, layer.bias) if t is not None]
        size = 2 * sum(t.numel() for t in tensors)
        if size > MOST_BYTES:
            raise NotPortable(
                f"Its weights take {size / 1e6:,.1f} MB, and the page carries up to "
                f"{MOST_BYTES / 1e6:,.0f} MB for each model."
            )
        block = torch.cat([t.flatten() for t in tensors]).cpu().numpy()
        with np.errstate(over="ignore"):
            weights = block.astype(np.float16)
        if not np.isfinite(weights).all():
            raise NotPortable("Some of its weights do not fit into half precision.")
        entries = tuple(layer.entry for layer in self.layers)
        return Portable(latent_dim, tuple(event_shape), entries, weights, count)

    def _image(self, shape: tuple[int, ...]) -> None:
        """Read the flat outputs of the linear layer just added as (C, H, W)."""
        last = self._last("linear")
        assert last.weight is not None
        assert last.bias is not None
        order = torch.arange(math.prod(shape)).view(shape).permute(1, 2, 0).flatten()
        last.weight, last.bias = last.weight[order], last.bias[order]
        self.shape = tuple(shape)

    def _linear(self, module: nn.Linear) -> None:
        weight = module.weight.detach().double()
        entry = {"op": "linear", "inputs": module.in_features, "outputs": module.out_features}
        self.layers.append(_Layer(entry, weight, _bias(module.bias, len(weight), weight)))
        self.shape = ()

    def _convolution(self, module: nn.Conv2d) -> None:
        kept = (module.kernel_size, module.stride, module.padding, module.dilation)
        if kept != ((3, 3), (1, 1), (1, 1), (1, 1)) or _special(module) or not self.shape:
            raise _unknown(module)
        weight = module.weight.detach().double().permute(0, 2, 3, 1)
        entry = {
            "op": "convolution",
            "channels": [module.in_channels, module.out_channels],
            "size": list(self.shape[1:]),
        }
        self.layers.append(_Layer(entry, weight, _bias(module.bias, len(weight), weight)))
        self.shape = (module.out_channels, *self.shape[1:])

    def _transposed(self, module: nn.ConvTranspose2d) -> None:
        kept = (module.kernel_size, module.stride, module.padding, module.dilation)
        plain = kept == ((4, 4), (2, 2), (1, 1), (1, 1)) and module.output_padding == (0, 0)
        if not plain or _special(module) or not self.shape:
            raise _unknown(module)
        full = module.weight.detach().double().permute(1, 2, 3, 0)  # (out, 4, 4, in)
        # An even output row 2m is reached from row m - 1 by kernel row 3 and from m by 1; an odd
        # row 2m + 1 from m by 2 and from m + 1 by 0. The same for columns.
        taps = torch.tensor([[3, 1], [2, 0]])
        weight = full[:, taps][:, :, :, taps]  # (out, row phase, row tap, col phase, col tap, in)
        weight = weight.permute(0, 1, 3, 2, 4, 5)
        height, width = self.shape[1:]
        entry = {
            "op": "transposed",
            "channels": [module.in_channels, module.out_channels],
            "size": [height, width],
            "crop": [2 * height, 2 * width],
        }
        self.layers.append(_Layer(entry, weight, _bias(module.bias, len(weight), weight)))
        self.shape = (module.out_channels, 2 * height, 2 * width)

    def _crop(self, module: Crop) -> None:
        self._last("transposed").entry["crop"] = [module.height, module.width]
        self.shape = (self.shape[0], module.height, module.width)

    def _fold(self, module: _BatchNorm) -> None:
        """Put the affine map that batch normalisation is, once trained, into the layer before."""
        affine = batch_norm_as_affine(module)
        if affine is None:
            raise NotPortable("Its batch normalisation keeps no statistics.")
        last = self._last("linear", "convolution", "transposed")
        assert last.weight is not None
        # After a linear layer read as (H, W, C) the channels repeat for every pixel.
        scale, shift = (values.repeat(len(last.weight) // len(values)) for values in affine)
        last.weight, last.bias = folded(last.weight, last.bias, scale, shift)

    def _last(self, *ops: str) -> _Layer:
        """The layer just added, which must be one of some kinds."""
        if not self.layers or self.layers[-1].entry["op"] not in ops:
            raise NotPortable("Its layers come in an order that the page does not know.")
        return self.layers[-1]


def _bias(bias: Tensor | None, count: int, like: Tensor) -> Tensor:
    return like.new_zeros(count) if bias is None else bias.detach().double()


def _special(module: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return module.groups != 1 or module.padding_mode != "zeros"


def _unknown(module: nn.Module) -> NotPortable:
    return NotPortable(f"Its decoder has a part that the page does not know: {module}.")


def _multiplications(entry: dict[str, Any]) -> int:
    if entry["op"] == "linear":
        return int(entry["inputs"] * entry["outputs"])
    if entry["op"] not in ("convolution", "transposed"):
        return 0
    taps = 9 if entry["op"] == "convolution" else 16
    return int(math.prod(entry["channels"]) * math.prod(entry["size"]) * taps)


def _check(portable: Portable, model: Game, seed: int) -> None:
    """Refuse a translation that is not the model."""
    codes = model.sample_codes(CHECKED, seed=seed)
    with torch.inference_mode():
        expected = model.decode_mean(codes).float().cpu().numpy()
    error = float(np.abs(decode(portable, codes.float().cpu().numpy()) - expected).max())
    if not error <= TOLERANCE:  # also where it is not a number
        raise NotPortable(
            f"In half precision its pictures differ from the model's by {error:.3f} of full "
            "brightness, and up to 0.008 is allowed."
        )
