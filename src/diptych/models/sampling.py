"""A trained game made ready to draw many images.

The same values as the game's own `decode_mean`, by cheaper arithmetic: batch statistics folded
into weights, the last convolution in the form a CPU is fast at, and as many images at a time as
stay in the processor's cache.
"""

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from diptych.networks.columns import ByColumns, pays_by_columns
from diptych.networks.faster import computes_as_stock
from diptych.networks.folding import fold_batch_norms, in_sequence

if TYPE_CHECKING:
    from diptych.models.game import Game

__all__ = ["Sampler"]

VALUES_AT_ONCE = 2**20
"""Of the largest layer of a batch: 4 MB in single precision. A layer reads one such block and
writes another, and both stay in the last cache of a processor. Measured in fp32, 64 images at a
time of 28 x 28 and 32 of 64 x 64 pixels were 1.0 to 1.3 times as fast as 1024; twice to four
times this rule was up to 1.1 times as fast for small images, up to 1.15 in bf16, and slower for
large ones."""
FEWEST, MOST = 32, 512
"""Images at a time: below, calls cost more than the cache saves; small networks gain no more."""
_TRIED = 4
"""Codes on which the faster form is compared with the game."""
_TOLERANCE = 1e-4
"""In parts of the values' standard deviation. Rounding stays ten times below it and
more; a network that was not understood does not."""


class Sampler:
    """Decodes codes as a game does, faster.

    Args:
        model: it is not changed, and later changes of it are not followed.
        precision: "fp32" gives the game's own values within rounding. "bf16" rounds weights and
            activations of the networks to 8 bits: pixels move by some thousandths, so it is for
            looking and for throughput, not for figures that are compared.

    A game in training mode, and one whose faster form does not give the same values on a few
    codes, is decoded by itself.
    """

    def __init__(self, model: "Game", *, precision: Literal["fp32", "bf16"] = "fp32") -> None:
        self.event_shape = model.event_shape
        self.folded = 0
        """Batch norms that were folded."""
        self._model = model
        self._device = model.device.type
        self._precision = precision
        self._game = model
        self.batch_size = MOST
        if not model.training:
            self._prepare()

    @torch.inference_mode()
    def decode(self, codes: Tensor, *, batch_size: int | None = None) -> Tensor:
        """Codes (N, L) to images (N, C, H, W) in [0, 1] or points (N, D).

        Args:
            codes: in the precision and on the device of the game's parameters.
            batch_size: codes at a time; None takes `batch_size` of this sampler.
        """
        with self._autocast():
            parts = [
                self._game.decode_mean(part)
                for part in torch.split(codes, batch_size or self.batch_size)
            ]
        return torch.cat(parts)

    def draw(
        self, n: int, *, seed: int | None = None, batch_size: int | None = None
    ) -> Iterator[Tensor]:
        """n new images in blocks, (at most 512, *event) each: memory does not grow with n.

        The first images are the same whatever n is: codes are drawn as `Game.code_blocks` says.
        """
        for codes in self._model.code_blocks(n, seed=seed):
            yield self.decode(codes, batch_size=batch_size)

    def _prepare(self) -> None:
        """Make the faster form, and keep it if it is right."""
        codes = self._model.sample_codes(_TRIED, seed=0)
        expected, largest = _decode_and_measure(self._model, codes)
        self.batch_size = min(MOST, max(FEWEST, VALUES_AT_ONCE // largest))
        twin = copy.copy(self._model)
        twin._modules = dict(self._model._modules)
        folded = 0
        for name in self._model.averaged:  # the players that sample
            player = twin._modules.get(name)
            if player is not None:
                twin._modules[name] = faster = copy.deepcopy(player)
                folded += _make_faster(faster, self._device)
        with torch.inference_mode():
            found = twin.decode_mean(codes)
        spread = expected.std().nan_to_num() + 1e-6
        if found.shape == expected.shape and bool(
            ((found - expected).abs() <= _TOLERANCE * spread.clamp(min=1e-2)).all()
        ):
            self._game, self.folded = twin, folded
        if self._precision == "bf16" and self._game is twin:
            for name in self._model.averaged:
                _round_weights(twin._modules.get(name))

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == "fp32":
            return nullcontext()
        return torch.autocast(self._device, torch.bfloat16)


def _make_faster(network: nn.Module, device: str) -> int:
    """Fold, lay weights out channels last, replace the last layer; in place. How many folded."""
    folded = fold_batch_norms(network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device == "cpu":
        for parent in list(network.modules()):
            for name, child in parent.named_children():
                if pays_by_columns(child):
                    setattr(parent, name, ByColumns(child))
    return folded


def _round_weights(network: nn.Module | None) -> None:
    """Cast weights once instead of at every call, where a layer's weights are its own affair."""
    if network is None:
        return
    for stretch in in_sequence(network):
        for layer in stretch:
            if isinstance(layer, ByColumns) or computes_as_stock(layer):
                layer.bfloat16()


def _decode_and_measure(model: "Game", codes: Tensor) -> tuple[Tensor, int]:
    """The game's own values, and the most values per image that any of its layers gives."""
    largest = 1

    def look(_: nn.Module, __: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel() // len(codes))

    hooks = [module.register_forward_hook(look) for module in model.modules()]
    try:
        with torch.inference_mode():
            values = model.decode_mean(codes)
    finally:
        for hook in hooks:
            hook.remove()
    return values, max(largest, values[0].numel())
