"""train, resume, load: the run as a person meets it."""

import datetime
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import diptych
from diptych.data import Data, load_data
from diptych.errors import InterruptedRun, RunError, TrainingDiverged
from diptych.models import Game, Turn
from diptych.models.build import build, check_fit
from diptych.recipes import Recipe, load_recipe, recipe_yaml
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
from diptych.training.loop import Counters, LogRow, TrainingState, train_until
from diptych.training.rundir import RunDirectory, new_directory, numbered, write_text
from diptych.training.signals import graceful_stop
from diptych.training.snapshots import Snapshots
from diptych.training.speed import Precision, SpeedPlan, processor_name

__all__ = ["Run", "data_of", "load", "resume", "train"]

SAVE_EVERY_SECONDS = 60.0
"""Training seconds between two checkpoints; one more is written at the end."""
REFRESH_BATCHES = 40
"""Training batches over which batch statistics of the averaged weights are taken."""

Listener = Callable[[LogRow], None]
"""Called with every row of metrics, e.g. to show progress."""
Announce = Callable[[str], None]
"""Called with a sentence about what was chosen, before training starts."""


@dataclass(frozen=True)
class Run:
    """A trained model and its history, backed by a directory."""

    directory: Path
    recipe: Recipe
    model: Game
    """The averaged players in eval mode: this is what samples."""
    info: Mapping[str, Any]
    """run.json."""

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of metrics.jsonl."""
        return RunDirectory(self.directory).read_metrics()


def train(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Data | str | Path,
    *,
    minutes: float | None = None,
    images: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    device: str = "auto",
    precision: Precision = "auto",
    listener: Listener | None = None,
    announce: Announce | None = None,
) -> Run:
    """Train a recipe on data within a budget.

    Args:
        recipe: a built-in name, a YAML file, a mapping or a `Recipe`.
        data: from `load_data`, or what `load_data` takes.
        minutes: budget in minutes of training; evaluation, pictures and saving are not charged.
        images: or the budget in images shown. One of the two; 5 minutes if neither is given.
        seed: of weights, data order and noise.
        out: the run's directory, new or empty; None makes `runs/NNNN-recipe-data`.
        overrides: settings such as "model.latent_dim=16".
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "fp32" or "bf16" (autocast; weights and losses stay in fp32). Points
            are trained in fp32 unless told otherwise.
        listener: called with each row of metrics; the clock stands still meanwhile.
        announce: called once with one line: where, how, and how large.

    Returns:
        The finished run.

    Raises:
        RecipeError, DataError: if something does not fit; nothing was written.
        InterruptedRun: on Ctrl-C or SIGTERM, after saving.
        TrainingDiverged: when a loss is no longer finite.
    """
    loaded = data if isinstance(data, Data) else load_data(data)
    resolved = load_recipe(recipe, overrides)
    check_fit(resolved, loaded)
    budget = Budget(5.0 if minutes is None and images is None else minutes, images)
    if precision == "auto" and loaded.kind == "points":
        # bfloat16 has steps of 0.008 at 1, too coarse for coordinates.
        precision = "fp32"
    plan = SpeedPlan.choose(device=device, precision=precision)
    if out is None:
        path = numbered(Path("runs"), f"{resolved.name}-{Path(loaded.name).stem}")
    else:
        path = new_directory(out)
    run = RunDirectory(path)
    write_text(run.recipe_file, recipe_yaml(resolved))
    game = build(resolved, loaded, seed=seed)
    info: dict[str, Any] = {
        "diptych": diptych.__version__,
        "recipe": resolved.name,
        "family": game.family,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "data": {
            "name": loaded.name,
            "kind": loaded.kind,
            "shape": list(loaded.shape),
            "fingerprint": loaded.fingerprint,
            "request": dict(loaded.request),
        },
        "turns": [turn.sentence for turn in game.turns()],
        "parameters": game.count_parameters(),
        "machine": {
            **plan.to_dict(),
            "processor": processor_name(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    if announce is not None:
        announce(_plan_line(resolved, game, budget, plan, seed, path))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = _assemble(game, resolved, loaded, plan, seed=seed)
        return _train_to_end(run, resolved, state, budget, info, listener)


def resume(
    directory: str | Path,
    *,
    minutes: float | None = None,
    images: int | None = None,
    data: Data | None = None,
    device: str = "auto",
    precision: Precision | None = None,
    listener: Listener | None = None,
    announce: Announce | None = None,
) -> Run:
    """Go on with a run as if it had never stopped.

    Args:
        directory: the run.
        minutes: train so many more from here, instead of finishing the old budget; rates then
            fall over the longer budget.
        images: the same in images.
        data: only for runs on arrays, which no file can give back; it must be the same.
        device: "auto", "cpu", "cuda" or "mps".
        precision: None keeps what the run was trained with.
        listener: called with each row of metrics.
        announce: called once with one line about what is trained and how.

    Raises:
        RunError: if this is no run, nothing is left of its budget, or its data has changed.
    """
    run = RunDirectory.open(directory)
    info = run.read_info()
    recipe = load_recipe(run.recipe_file)
    newest = latest_checkpoint(run.checkpoints)
    checkpoint = load_checkpoint(newest)
    state_info = checkpoint.state
    budget = Budget(**state_info["budget"])
    spent = {"seconds": state_info["seconds"], "images": state_info["images"]}
    if minutes is not None or images is not None:
        budget = budget.extended(**spent, more=Budget(minutes, images))
    elif budget.progress(**spent) >= 1.0:
        raise RunError(
            f"{run.path} has spent its budget of {budget}; add more with --minutes or --images"
        )
    loaded = _same_data(run, info, data)
    plan = SpeedPlan.choose(device=device, precision=precision or info["machine"]["precision"])
    with torch.random.fork_rng():
        game = build(recipe, loaded, seed=info["seed"])
        load_weights(newest, "players", game)
        state = _assemble(game, recipe, loaded, plan, seed=info["seed"])
        load_weights(newest, "average", state.average.game)
        for name, optimizer in state.engine.optimizers.items():
            load_optimizer(name, optimizer, checkpoint.optimizers)
        state.counters = Counters(step=state_info["step"], images=state_info["images"])
        state.clock = TrainingClock(state_info["seconds"])
        state.means.restore(checkpoint.means, state.engine.device)
        _restore_random_state(checkpoint.random_state)
        run.cut_metrics(state_info["step"])
        if announce is not None:
            announce(_plan_line(recipe, game, budget, plan, info["seed"], run.path))
        return _train_to_end(run, recipe, state, budget, info, listener)


def load(directory: str | Path, *, device: str = "cpu") -> Run:
    """Open a run to use its model; nothing of its data is needed.

    Raises:
        RunError: if this is no run, or it was never saved.
    """
    run = RunDirectory.open(directory)
    info = run.read_info()
    recipe = load_recipe(run.recipe_file)
    shape = tuple(info["data"]["shape"])
    game = build(recipe, shape)
    load_weights(latest_checkpoint(run.checkpoints), "average", game)
    return Run(run.path, recipe, game.to(device).eval(), info)


def _plan_line(
    recipe: Recipe, game: Game, budget: Budget, plan: SpeedPlan, seed: int, path: Path
) -> str:
    counts = ", ".join(f"{name} {n:,}" for name, n in game.count_parameters().items())
    return f"{recipe.title}: {budget}, seed {seed}, {plan}, parameters: {counts}, run {path}"


def data_of(run: Run) -> Data:
    """The data a run was trained on, found again as the run found it, and checked."""
    return _same_data(RunDirectory(run.directory), run.info, None)


def _same_data(run: RunDirectory, info: Mapping[str, Any], data: Data | None) -> Data:
    if data is None:
        request = info["data"]["request"]
        if not request:
            raise RunError(f"{run.path} was trained on an array in memory; pass it as data=")
        data = load_data(**request)
    if data.fingerprint != info["data"]["fingerprint"]:
        raise RunError(
            f"the data of {run.path} has changed since it was started (fingerprint "
            f"{data.fingerprint[:12]}, it was {info['data']['fingerprint'][:12]}); "
            "train a new run on it, or bring the old data back"
        )
    return data


def _assemble(
    game: Game, recipe: Recipe, data: Data, plan: SpeedPlan, *, seed: int
) -> TrainingState:
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


def _train_to_end(
    run: RunDirectory,
    recipe: Recipe,
    state: TrainingState,
    budget: Budget,
    info: Mapping[str, Any],
    listener: Listener | None,
) -> Run:
    """Drive the loop: write metrics, draw, save, and end in one of the states of run.json."""

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
        run.write_info(entry)
        return entry

    def save() -> Path:
        _refresh(state)
        return write_checkpoint(run.checkpoints, _checkpoint(state, budget))

    record("running")
    snapshots = Snapshots(run.samples, resumed_at=state.progress(budget))
    last_save = state.clock.seconds
    with graceful_stop() as stop:
        try:
            for row in train_until(
                state, budget, decay_from=recipe.training.decay, should_stop=lambda: bool(stop)
            ):
                run.append_metrics(row)
                if snapshots.due(row["progress"]):
                    _refresh(state, batches=8)
                    snapshots.draw(state.average.game, images_seen=int(row["images"]))
                if state.clock.seconds - last_save >= SAVE_EVERY_SECONDS:
                    save()
                    last_save = state.clock.seconds
                    record("running")
                if listener is not None:
                    listener(row)
            save()
        except TrainingDiverged as error:
            record("diverged", reason=str(error))
            raise TrainingDiverged(
                f"{run.path}: training diverged: {error}; the last good state is "
                f"{_last_good(run)}; try a smaller learning rate with --set"
            ) from None
        if stop.signal is not None:
            record("interrupted", reason=stop.signal.name)
            raise InterruptedRun(
                f"stopped by {stop.signal.name} and saved; go on with: diptych resume {run.path}"
            )
    final = record("finished")
    return Run(run.path, recipe, state.average.game.eval(), final)


def _last_good(run: RunDirectory) -> str:
    try:
        return str(latest_checkpoint(run.checkpoints))
    except RunError:
        return "before the first checkpoint"


def _refresh(state: TrainingState, *, batches: int = REFRESH_BATCHES) -> None:
    """Fit the averaged players' batch statistics to their weights, apart from the training.

    Raises:
        TrainingDiverged: if weights are no longer finite, although the last loss was.
    """
    for name, weights in state.game.state_dict().items():
        if not bool(weights.isfinite().all()):
            raise TrainingDiverged(f"{name} is no longer finite")
    first = range(batches)
    refresh_batch_statistics(state.average.game, (state.batches[index] for index in first), seed=0)


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


def _restore_random_state(random_state: Mapping[str, torch.Tensor]) -> None:
    torch.set_rng_state(random_state["cpu"])
    if torch.cuda.is_available() and "cuda" in random_state:
        torch.cuda.set_rng_state(random_state["cuda"])
