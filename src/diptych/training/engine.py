"""The one place that knows Lightning Fabric: device, precision, backward, workers."""

import logging
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from diptych.models import Game, Turn
from diptych.networks.batch_norm import normalise_over_workers
from diptych.networks.faster import use_faster_layers
from diptych.objectives import Terms
from diptych.training.plan import ExecutionPlan
from diptych.workers import worker_count

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Engine"]


class Engine:
    """Takes a game's turns on the device and in the precision of an execution plan.

    Args:
        game: moved to the device, its convolutions to the channels-last layout.
        make_optimizer: builds the optimizer of a turn over the parameters it moves.
        plan: where and how to compute.
    """

    def __init__(
        self,
        game: Game,
        make_optimizer: Callable[[Turn, list[torch.nn.Parameter]], torch.optim.Optimizer],
        plan: ExecutionPlan,
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

        plugins: list[Any] = []
        if plan.precision == "bf16":
            plugins.append(Autocast("bf16-mixed", plan.device))
        if worker_count() == 1:
            self._fabric = Fabric(accelerator=plan.device, devices=1, plugins=plugins)
        else:
            self._fabric = _fabric_of_workers(plan, plugins, turns=len(game.turns()))
            use_faster_layers(game, forms=False)  # what an earlier training on one left
            normalise_over_workers(game)
        if plan.memory_format == "channels_last" and game.is_image:
            game = game.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        use_faster_layers(game, forms=plan.layers == "faster", onednn=plan.linear == "onednn")
        if plan.compile != "off":
            _compile_players(game, plan.compile)
        self._replays_graphs = plan.device == "cuda" and plan.compile not in ("off", "default")
        self._first_turn = game.turns()[0].name
        wrapped = self._fabric.setup_module(game)
        # One worker needs nothing of Fabric's wrapper, which goes through all that passes it.
        self._play = wrapped if worker_count() > 1 else game
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
            batch: images (N, C, H, W) in [0, 1] or points (N, D), on the device; of several
                workers each has its share, and all move alike, by the mean gradient.
            progress: part of the budget spent, in [0, 1].
            step: steps taken before this one.
            rate_scale: factor on the optimizer's own learning rate.
        """
        if self._replays_graphs and turn.name == self._first_turn:
            # What the turns of one step hand to each other lives in the graphs' own memory.
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        for parameter in self._frozen[turn.name]:
            parameter.requires_grad_(False)
        for parameter in self._moved[turn.name]:
            parameter.requires_grad_(True)
        optimizer = self._steppers[turn.name]
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate_scale
        with self._fabric.autocast():
            terms: Terms = self._play(turn.name, batch, progress, step)
        for parameter in self._moved[turn.name]:
            parameter.grad = None
        self._fabric.backward(terms.loss)
        optimizer.step()
        return terms


def _compile_players(game: Game, mode: str) -> None:
    """Compile each player's network in place; its names and its weights stay what they are.

    Losses and penalties stay eager: they are cheap, and a penalty's second derivative is what a
    compiler cannot take (`models/judging.py` runs the discriminator as written there).
    """
    for player in game.children():
        player.compile(mode=mode, dynamic=False)


def _fabric_of_workers(plan: ExecutionPlan, plugins: list[Any], *, turns: int) -> "Fabric":
    """Fabric with data parallelism, for workers that `start_workers` has brought together."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    strategy = DDPStrategy(
        cluster_environment=LightningEnvironment(),
        find_unused_parameters=turns > 1,  # a turn leaves the other players out
        broadcast_buffers=False,  # they are the same on all workers already
        gradient_as_bucket_view=True,
    )
    fabric = Fabric(
        accelerator=plan.device,
        devices=plan.devices,
        num_nodes=plan.nodes,
        strategy=strategy,
        plugins=plugins,
    )
    # The new name of broadcast_buffers is not known to older torch; and gradients of a
    # convolution of one channel have strides of their own, which costs a small copy.
    for message in ("`broadcast_buffers` is deprecated", "Grad strides do not match"):
        warnings.filterwarnings("ignore", message=message)
    fabric.launch()
    plan.apply()  # launching chooses a number of threads by itself
    return fabric
