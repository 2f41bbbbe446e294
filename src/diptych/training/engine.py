"""The one place that knows Lightning Fabric: device, precision, backward, and later workers."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from diptych.models import Game, Turn
from diptych.objectives import Terms
from diptych.training.speed import SpeedPlan

__all__ = ["Engine"]


class Engine:
    """Takes a game's turns on the device and in the precision of a speed plan.

    Args:
        game: moved to the device, its convolutions to the channels-last layout.
        make_optimizer: builds the optimizer of a turn over the parameters it moves.
        plan: where and how to compute.
    """

    def __init__(
        self,
        game: Game,
        make_optimizer: Callable[[Turn, list[torch.nn.Parameter]], torch.optim.Optimizer],
        plan: SpeedPlan,
    ) -> None:
        # Imported here because it takes seconds and only training needs it.
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.precision import MixedPrecision

        class Autocast(MixedPrecision):
            """Autocast for the networks; the batch itself stays in single precision."""

            def convert_input(self, data: Any) -> Any:
                # Fabric would round images to bfloat16, whose 8 bits cannot hold grey levels.
                return data

        # It announces its precision to the terminal; ours is in the plan's line already.
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

        self._fabric = Fabric(
            accelerator=plan.device,
            devices=1,
            plugins=[Autocast("bf16-mixed", plan.device)] if plan.precision == "bf16" else None,
        )
        if plan.channels_last and game.is_image:
            game = game.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._wrapped = self._fabric.setup_module(game)
        self._moved = {
            turn.name: [p for name in turn.players for p in game.get_submodule(name).parameters()]
            for turn in game.turns()
        }
        everything = list(game.parameters())
        moved_ids = {name: {id(p) for p in moved} for name, moved in self._moved.items()}
        self._frozen = {
            name: [p for p in everything if id(p) not in moved_ids[name]] for name in self._moved
        }
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {
            turn.name: make_optimizer(turn, self._moved[turn.name]) for turn in game.turns()
        }
        self._steppers = {
            name: cast(torch.optim.Optimizer, self._fabric.setup_optimizers(optimizer))
            for name, optimizer in self.optimizers.items()
        }

    @property
    def device(self) -> torch.device:
        """Where batches must be."""
        return self._fabric.device

    def take(
        self, turn: Turn, batch: Tensor, *, progress: float, step: int, rate_scale: float
    ) -> Terms:
        """Take one turn: only its players move; no other parameter receives a gradient.

        Args:
            turn: one of the game's turns.
            batch: images (N, C, H, W) in [0, 1] or points (N, D), on the device.
            progress: part of the budget spent, in [0, 1].
            step: steps taken before this one.
            rate_scale: factor on the optimizer's own learning rate.
        """
        for parameter in self._frozen[turn.name]:
            parameter.requires_grad_(False)
        for parameter in self._moved[turn.name]:
            parameter.requires_grad_(True)
        optimizer = self._steppers[turn.name]
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate_scale
        terms: Terms = self._wrapped(turn.name, batch, progress, step)
        optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(terms.loss)
        optimizer.step()
        return terms
