"""A session of training in a run's directory: from a fresh or restored state to an end."""

from collections.abc import Callable, Mapping
from pathlib import Path
from signal import Signals
from typing import Any

import torch
from torch import nn

from diptych.data import Data
from diptych.errors import InterruptedRun, RunError, TrainingDiverged
from diptych.models import Game, Turn
from diptych.recipes import Recipe
from diptych.training.batches import Batches
from diptych.training.budget import Budget, TrainingClock
from diptych.training.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    load_checkpoint,
    load_optimizer,
    load_weights,
    optimizer_tensors,
    write_checkpoint,
)
from diptych.training.ema import MovingAverage, refresh_batch_statistics
from diptych.training.engine import Engine
from diptych.training.launch import lost_worker
from diptych.training.loop import Counters, LogRow, TrainingState, train_until
from diptych.training.plan import ExecutionPlan
from diptych.training.rundir import RunDirectory
from diptych.training.signals import graceful_stop
from diptych.training.snapshots import Snapshots
from diptych.workers import alone, is_first_worker, largest_number, wait_for_workers

__all__ = ["Listener", "assemble", "restore", "train_to_end"]

SAVE_EVERY_SECONDS = 30.0
"""Training seconds between two checkpoints; one more is written at the end."""
FIRST_SAVE_SECONDS = 10.0
"""Training seconds before the first, so that a short run is not lost whole."""
REFRESH_BATCHES = 40
"""Training batches over which batch statistics of the averaged weights are taken."""

Listener = Callable[[LogRow], None]
"""Called with every row of metrics, e.g. to show progress."""


def assemble(
    game: Game, recipe: Recipe, data: Data, plan: ExecutionPlan, *, seed: int
) -> TrainingState:
    """Game, average, optimizers and batches as a recipe wants them, before the first step."""

    def make_optimizer(turn: Turn, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        settings = recipe.optimizer_of(turn.name)
        optimizer = torch.optim.Adam(
            parameters,
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            fused=True,
        )
        for group in optimizer.param_groups:
            group["initial_lr"] = settings.learning_rate
        return optimizer

    engine = Engine(game, make_optimizer, plan)
    ema = recipe.training.ema
    return TrainingState(
        game=game,
        average=MovingAverage(game, half_life=ema.half_life, ramp_up=ema.ramp_up),
        engine=engine,
        batches=Batches(
            data.array,
            data.splits["train"],
            batch_size=recipe.training.batch_size,
            seed=seed,
            device=engine.device,
        ),
    )


def train_to_end(
    run: RunDirectory,
    recipe: Recipe,
    state: TrainingState,
    budget: Budget,
    info: Mapping[str, Any],
    listener: Listener | None,
) -> dict[str, Any]:
    """Drive the loop: write metrics, draw, save, and end in one of the states of run.json.

    Args:
        run: where to write; of several workers the first does.
        recipe: for the schedule.
        state: from `assemble`, changed in place.
        budget: of the whole run, what is spent included.
        info: what run.json says besides status, budget and what is spent.
        listener: called with each row of metrics.

    Returns:
        The content of run.json.

    Raises:
        InterruptedRun: after saving, on a signal before the budget was spent.
        TrainingDiverged: naming the term and the last good checkpoint.
        RunError: if another worker is no longer there.
    """

    def record(status: str, **more: Any) -> dict[str, Any]:
        entry = {
            **{key: value for key, value in info.items() if key not in ("schema", "reason")},
            "status": status,
            "budget": {"minutes": budget.minutes, "images": budget.images},
            "spent": {
                "steps": state.counters.step,
                "images": state.counters.images,
                "seconds": round(state.clock.seconds, 3),
            },
            **more,
        }
        if first:
            run.write_info(entry)
        return entry

    def save() -> None:
        _refresh(state)
        checkpoint = _checkpoint(state, budget)
        if first:
            write_checkpoint(run.checkpoints, checkpoint)
        wait_for_workers()

    def should_stop() -> bool:
        asked = int(stop.signal or 0) if stop else 0
        if number := largest_number(asked):  # a signal may reach one worker only
            stop.signal = Signals(number)
        return number > 0

    first = is_first_worker()
    record("running")
    snapshots = Snapshots(run.samples, resumed_at=state.progress(budget))
    next_save = state.clock.seconds + min(FIRST_SAVE_SECONDS, SAVE_EVERY_SECONDS)
    with graceful_stop() as stop:
        try:
            for row in train_until(
                state, budget, decay_from=recipe.training.decay, should_stop=should_stop
            ):
                if first:
                    run.append_metrics(row)
                if snapshots.due(row["progress"]):
                    _refresh(state, batches=8)
                    if first:
                        snapshots.draw(state.average.game, images_seen=int(row["images"]))
                if row["seconds"] >= next_save:
                    save()
                    next_save = row["seconds"] + SAVE_EVERY_SECONDS
                    record("running")
                if first and listener is not None:
                    listener(row)
            save()
        except TrainingDiverged as error:
            record("diverged", reason=str(error))
            raise TrainingDiverged(
                f"{run.path}: training diverged: {error}; {_last_good(run)}; "
                "try a smaller learning rate with --set"
            ) from None
        except RuntimeError as error:
            if not lost_worker(error):
                raise
            record("interrupted", reason="a worker was lost")
            raise RunError(
                f"{run.path}: another worker ended before its time; {_last_good(run)}; "
                f"go on with: diptych resume {run.path}"
            ) from error
        if state.progress(budget) < 1.0 and stop.signal is not None:
            record("interrupted", reason=stop.signal.name)
            raise InterruptedRun(
                f"stopped by {stop.signal.name} and saved; go on with: diptych resume {run.path}"
            )
    return record("finished")


def _last_good(run: RunDirectory) -> str:
    try:
        return f"the last good state is {latest_checkpoint(run.checkpoints)}"
    except RunError:
        return "nothing was saved before that"


def _refresh(state: TrainingState, *, batches: int = REFRESH_BATCHES) -> None:
    """Fit the averaged players' batch statistics to their weights, apart from the training.

    Every worker does it alike on whole batches, so that their averages stay the same.

    Raises:
        TrainingDiverged: if weights are no longer finite, although the last loss was.
    """
    for name, weights in state.game.state_dict().items():
        if not bool(weights.isfinite().all()):
            raise TrainingDiverged(f"{name} is no longer finite")
    first = range(batches)
    with alone():
        refresh_batch_statistics(
            state.average.game, (state.batches[index] for index in first), seed=0
        )


def _checkpoint(state: TrainingState, budget: Budget) -> Checkpoint:
    random_state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random_state["cuda"] = torch.cuda.get_rng_state()
    return Checkpoint(
        players=state.game.state_dict(),
        average=state.average.game.state_dict(),
        optimizers=optimizer_tensors(state.engine.optimizers),
        random_state=random_state,
        means=state.means.tensors(),
        state={
            "step": state.counters.step,
            "images": state.counters.images,
            "seconds": state.clock.seconds,
            "budget": {"minutes": budget.minutes, "images": budget.images},
        },
    )


def restore(state: TrainingState, folder: Path) -> None:
    """Bring a fresh state to where a checkpoint was taken, the random streams included.

    Args:
        state: from `assemble`, for the same recipe, data and seed.
        folder: the checkpoint.
    """
    checkpoint = load_checkpoint(folder)
    load_weights(folder, "players", state.game)
    load_weights(folder, "average", state.average.game)
    for name, optimizer in state.engine.optimizers.items():
        load_optimizer(name, optimizer, checkpoint.optimizers)
    state.counters = Counters(step=checkpoint.state["step"], images=checkpoint.state["images"])
    state.clock = TrainingClock(checkpoint.state["seconds"])
    state.means.restore(checkpoint.means, state.engine.device)
    torch.set_rng_state(checkpoint.random_state["cpu"])
    if torch.cuda.is_available() and "cuda" in checkpoint.random_state:
        torch.cuda.set_rng_state(checkpoint.random_state["cuda"])
