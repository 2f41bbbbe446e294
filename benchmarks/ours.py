"""Our training as a user gets it, the bare step under it, and the peak of the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.workloads import WORKLOADS, Workload, data_of, pictures
from diptych.models import Game, Moment
from diptych.networks.faster import use_faster_layers
from diptych.recipes import load_recipe, recipe_for_game
from diptych.training.batches import images_from_bytes
from diptych.training.budget import Budget
from diptych.training.loop import TrainingState, train_until
from diptych.training.peaks import kernels
from diptych.training.plan import ExecutionPlan, Wishes
from diptych.training.session import assemble

__all__ = ["bare_step", "build", "flops_per_image", "loop_of", "prepared", "recipe_of", "workload"]

Precision = Literal["fp32", "bf16"]


def workload(key: str) -> Workload:
    """The workload of that key."""
    return next(each for each in WORKLOADS if each.key == key)


def build(key: str, *, threads: int, turn: int) -> dict[str, Callable[[], float]]:
    """All variants of ours for one workload, fp32 and bf16 where this processor has it."""
    work = workload(key)
    array = pictures(work.shape)
    # By the same function as in training: it decides the strides, and they which kernel is taken.
    batch = images_from_bytes(torch.from_numpy(array[: work.batch]))
    variants: dict[str, Callable[[], float]] = {}
    for precision in ("fp32", "bf16"):
        plan = ExecutionPlan.choose(Wishes(precision=precision, threads=threads))
        for suffix, settings in work.options:
            torch.manual_seed(0)
            name = f"{precision}{suffix}"
            state = prepared(work, work.game(**settings), plan, array, seed=0)
            variants[f"ours, {name}"] = loop_of(state, turn)
            step = bare_step(work, work.game(**settings), plan, batch)
            variants[f"bare step, {name}"] = _repeated(step, turn // work.batch, work.batch)
        variants[f"peak, {precision}"] = _peak(precision)
    return variants


def recipe_of(work: Workload) -> Any:
    """The recipe of a game of one's own, with the workload's batch and optimizer settings."""
    beta1, beta2 = work.betas
    optimizer = f"{{learning_rate: {work.learning_rate}, beta1: {beta1}, beta2: {beta2}}}"
    turns = [turn.name for turn in work.game().turns()]
    return load_recipe(
        recipe_for_game(work.key),
        [
            f"training.batch_size={work.batch}",
            "training.decay=1.0",
            *(f"optimizers.{turn}={optimizer}" for turn in turns),
        ],
    )


def prepared(
    work: Workload, game: Game, plan: ExecutionPlan, array: Any, *, seed: int
) -> TrainingState:
    """The state before the first step, from the same function that `diptych train` calls."""
    return assemble(game, recipe_of(work), data_of(array), plan, seed=seed)


def loop_of(state: TrainingState, images: int) -> Callable[[], float]:
    """Train on so many images more: batches, turns, average, terms and rows of metrics."""

    def work() -> float:
        before = state.counters.images
        for _ in train_until(
            state, Budget(images=before + images), decay_from=1.0, should_stop=lambda: False
        ):
            pass
        return state.counters.images - before

    return work


def bare_step(
    work: Workload, game: Game, plan: ExecutionPlan, batch: Tensor, *, faster: bool = True
) -> Callable[[], None]:
    """Forward, backward and optimizer of every turn on one resident batch, and nothing else.

    With the layers that the plan gives the whole loop, so that only the loop is between the two.

    Args:
        work: for Adam's settings.
        game: its parameters are laid out as the plan says.
        plan: precision and layout.
        batch: float images in [0, 1] from `images_from_bytes`.
        faster: whether plain layers take their faster forms, as in training.
    """
    channels_last = plan.memory_format == "channels_last"
    layout = torch.channels_last if channels_last else torch.contiguous_format
    game = game.to(memory_format=layout).train()  # type: ignore[call-overload]
    if faster:
        use_faster_layers(game, forms=plan.layers == "faster", onednn=plan.linear == "onednn")
    moved = {
        turn.name: [p for name in turn.players for p in game.get_submodule(name).parameters()]
        for turn in game.turns()
    }
    optimizers = {
        name: torch.optim.Adam(own, lr=work.learning_rate, betas=work.betas, fused=True)
        for name, own in moved.items()
    }
    everything = list(game.parameters())
    moment = Moment(progress=0.0, step=0)

    def step() -> None:
        for turn in game.turns():
            own = {id(parameter) for parameter in moved[turn.name]}
            for parameter in everything:
                parameter.requires_grad_(id(parameter) in own)
            with torch.autocast("cpu", torch.bfloat16, enabled=plan.precision == "bf16"):
                loss = turn.loss(batch, moment).loss
            optimizers[turn.name].zero_grad(set_to_none=True)
            loss.backward()
            optimizers[turn.name].step()

    return step


def flops_per_image(key: str) -> dict[str, float]:
    """Operations of matrix products and convolutions in one step, by the suffix of the variant.

    Counted on torch's own layers; what a rewrite saves counts as done.
    """
    work = workload(key)
    batch = torch.rand(work.batch, *work.shape)
    plan = ExecutionPlan("cpu", "fp32", threads=torch.get_num_threads())
    counts = {}
    for suffix, settings in work.options:
        step = bare_step(work, work.game(**settings), plan, batch, faster=False)
        step()  # the first also looks whether real and fake may pass the discriminator together
        with FlopCounterMode(display=False) as counter:
            step()
        counts[suffix] = counter.get_total_flops() / work.batch
    return counts


def _repeated(step: Callable[[], None], steps: int, batch: int) -> Callable[[], float]:
    def work() -> float:
        for _ in range(steps):
            step()
        return steps * batch

    return work


def _peak(precision: str) -> Callable[[], float]:
    """The fastest of the products `diptych doctor` measures, as operations."""
    products = [kernel for kernel in kernels("cpu") if kernel.name.split("_")[1] == precision]

    def rate(kernel: Any) -> float:
        import time

        with torch.inference_mode():
            kernel.call()
            start = time.perf_counter()
            for _ in range(3):
                kernel.call()
            return kernel.flops / (time.perf_counter() - start)

    best = max(products, key=rate)

    def work() -> float:
        calls = max(3, int(1e11 / best.flops))
        with torch.inference_mode():
            for _ in range(calls):
                best.call()
        return float(calls * best.flops)

    return work
