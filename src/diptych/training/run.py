"""train, resume, load: the run as a person meets it."""

import datetime
import platform
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import diptych
from diptych.data import Data, load_data
from diptych.errors import DataError, DiptychError, MissingData, RunError
from diptych.models import Game
from diptych.models.build import build, check_fit
from diptych.recipes import Recipe, load_recipe, recipe_for_game, recipe_yaml
from diptych.training.budget import Budget
from diptych.training.checkpoint import load_checkpoint, load_weights, newest_readable
from diptych.training.choices import choose_device
from diptych.training.launch import choose_together, start_workers
from diptych.training.machine import processor_name
from diptych.training.plan import ExecutionPlan, Precision, Wishes
from diptych.training.rundir import RunDirectory, new_directory, numbered, write_text
from diptych.training.session import Listener, assemble, restore, train_to_end
from diptych.workers import first_worker_first, is_first_worker, text_from_first, worker_count

__all__ = ["Run", "data_of", "load", "resume", "train"]

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
    recipe: str | Path | Mapping[str, Any] | Recipe | Game,
    data: Data | str | Path,
    *,
    minutes: float | None = None,
    images: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    device: str = "auto",
    precision: Precision = "auto",
    wishes: Wishes = Wishes(),  # noqa: B008 - frozen
    listener: Listener | None = None,
    announce: Announce | None = None,
) -> Run:
    """Train a recipe on data within a budget.

    Args:
        recipe: a built-in name, a YAML file, a mapping or a `Recipe`; or a `Game` of your own,
            which is trained in place, with Adam's defaults unless `overrides` say otherwise.
        data: from `load_data`, or what `load_data` takes.
        minutes: budget in minutes of training; evaluation, pictures and saving are not charged.
        images: or the budget in images shown. One of the two; 5 minutes if neither is given.
        seed: of weights, data order and noise.
        out: the run's directory, new or empty; None makes `runs/NNNN-recipe-data`.
        overrides: settings such as "model.latent_dim=16".
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "fp32" or "bf16" (autocast; weights and losses stay in fp32). Points
            are trained in fp32 unless told otherwise.
        wishes: what else is fixed of how it is computed; with more than one worker the program
            that calls this is run by each of them, and only the first writes and calls back.
        listener: called with each row of metrics; the clock stands still meanwhile.
        announce: called once with one line: where, how, and how large.

    Returns:
        The finished run.

    Raises:
        RecipeError, DataError: if something does not fit; nothing was written.
        InterruptedRun: on Ctrl-C or SIGTERM, after saving.
        TrainingDiverged: when a loss is no longer finite.
    """
    if isinstance(recipe, Game):
        resolved = load_recipe(recipe_for_game(type(recipe).__name__), overrides)
    else:
        resolved = load_recipe(recipe, overrides)
    budget = Budget(5.0 if minutes is None and images is None else minutes, images)
    wishes = _joined(wishes, device, precision)
    _check_shares(resolved, wishes.devices * wishes.nodes)
    start_workers(wishes.devices, wishes.nodes, choose_device(wishes)[0])
    loaded = data if isinstance(data, Data) else first_worker_first(lambda: load_data(data))
    check_fit(resolved, loaded)
    _check_shares(resolved, worker_count(), loaded)
    plan = choose_together(wishes, points=loaded.kind == "points")
    first = is_first_worker()
    made: Path | None = None
    if first and out is None:
        made = numbered(Path("runs"), f"{resolved.name}-{Path(loaded.name).stem}")
    elif first and out is not None:
        made = new_directory(out)
    path = Path(text_from_first(str(made)))
    run = RunDirectory(path)
    if first:
        write_text(run.recipe_file, recipe_yaml(resolved))
    game = recipe if isinstance(recipe, Game) else build(resolved, loaded, seed=seed)
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
    if first and announce is not None:
        announce(_plan_line(resolved, game, budget, plan, seed, path))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = assemble(game, resolved, loaded, plan, seed=seed)
        final = train_to_end(run, resolved, state, budget, info, listener)
    return Run(run.path, resolved, state.average.game.eval(), final)


def resume(
    directory: str | Path,
    *,
    minutes: float | None = None,
    images: int | None = None,
    data: Data | None = None,
    game: Game | None = None,
    device: str = "auto",
    precision: Precision | None = None,
    wishes: Wishes = Wishes(),  # noqa: B008 - frozen
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
        game: only for runs of a game of your own; its weights are replaced.
        device: "auto", "cpu", "cuda" or "mps".
        precision: None keeps what the run was trained with.
        wishes: as in `train`. The number of workers need not be what it was.
        listener: called with each row of metrics.
        announce: called once with one line about what is trained and how.

    Raises:
        RunError: if this is no run, nothing is left of its budget, or its data has changed.
    """
    run = RunDirectory.open(directory)
    info = run.read_info()
    recipe = load_recipe(run.recipe_file)
    newest, warning = newest_readable(run.checkpoints)
    if warning and announce is not None:
        announce(warning)
    saved = load_checkpoint(newest).state
    budget = Budget(**saved["budget"])
    spent = {"seconds": saved["seconds"], "images": saved["images"]}
    if minutes is not None or images is not None:
        budget = budget.extended(**spent, more=Budget(minutes, images))
    elif budget.progress(**spent) >= 1.0:
        raise RunError(
            f"{run.path} has spent its budget of {budget}; add more with --minutes or --images"
        )
    wishes = _joined(wishes, device, precision or "auto")
    _check_shares(recipe, wishes.devices * wishes.nodes)
    start_workers(wishes.devices, wishes.nodes, choose_device(wishes)[0])
    loaded = first_worker_first(lambda: _same_data(run, info, data))
    _check_shares(recipe, worker_count(), loaded)
    plan = choose_together(wishes, begun=info["machine"])
    first = is_first_worker()
    with torch.random.fork_rng():
        game = _game_of(recipe, loaded.shape, game, seed=info["seed"])
        state = assemble(game, recipe, loaded, plan, seed=info["seed"])
        restore(state, newest)
        if first:
            run.cut_metrics(saved["step"])
        if first and announce is not None:
            announce(_plan_line(recipe, game, budget, plan, info["seed"], run.path))
        final = train_to_end(run, recipe, state, budget, info, listener)
    return Run(run.path, recipe, state.average.game.eval(), final)


def load(directory: str | Path, *, game: Game | None = None, device: str = "cpu") -> Run:
    """Open a run to use its model; nothing of its data is needed.

    Args:
        directory: the run.
        game: only for runs of a game of your own; its weights are replaced.
        device: where the model is to be.

    Raises:
        RunError: if this is no run, or it was never saved.
    """
    run = RunDirectory.open(directory)
    info = run.read_info()
    recipe = load_recipe(run.recipe_file)
    shape = tuple(info["data"]["shape"])
    game = _game_of(recipe, shape, game)
    newest, warning = newest_readable(run.checkpoints)
    if warning:
        warnings.warn(warning, stacklevel=2)
    load_weights(newest, "average", game)
    return Run(run.path, recipe, game.to(device).eval(), info)


def _game_of(recipe: Recipe, shape: tuple[int, ...], game: Game | None, *, seed: int = 0) -> Game:
    """The game to put saved weights into: built from the recipe, or the one that was given."""
    if recipe.model.kind == "custom":
        if game is None:
            raise RunError(
                f"this run trained a {recipe.model.game}, a game of your own; pass one as game="
            )
        return game
    return build(recipe, shape, seed=seed)


def _joined(wishes: Wishes, device: str, precision: Precision) -> Wishes:
    """Wishes with the two that have arguments of their own."""
    if not isinstance(wishes, Wishes):
        raise DiptychError(f"wishes must be Wishes(...), not {wishes!r}")
    return replace(
        wishes,
        device=wishes.device if device == "auto" else device,
        precision=wishes.precision if precision == "auto" else precision,
    )


def _check_shares(recipe: Recipe, workers: int, data: Data | None = None) -> None:
    """Refuse a batch that cannot be shared out equally: its mean would not be the shares' mean.

    Args:
        recipe: for the size of its batch.
        workers: that are to share it.
        data: None before it is known, when only the recipe's own size can be looked at.

    Raises:
        DiptychError: naming the batch and the workers.
        DataError: if there is nothing to train on.
    """
    batch = recipe.training.batch_size
    if data is not None:
        if not len(data.splits["train"]):
            raise DataError(
                f"{data.name}: none of its {len(data.array):,} items is left to train on; equal "
                "ones stay together, and nearly all of them are equal"
            )
        batch = min(batch, len(data.splits["train"]))
    # A hybrid that judges both shows its discriminator one half decoded and one half sampled.
    halves = getattr(recipe.model, "judged", "") == "both"
    unit = workers * (2 if halves and workers > 1 else 1)
    if batch % unit:
        shares = f"{workers} workers{', each with two equal halves' if halves else ''}"
        raise DiptychError(
            f"a batch of {batch} images cannot be shared equally by {shares}; "
            f"use --set training.batch_size={max(batch // unit, 1) * unit}"
        )


def _plan_line(
    recipe: Recipe, game: Game, budget: Budget, plan: ExecutionPlan, seed: int, path: Path
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
        try:
            data = load_data(**request)
        except MissingData as error:
            raise MissingData(f"the data of {run.path} is no longer there: {error}") from None
    if data.fingerprint != info["data"]["fingerprint"]:
        raise RunError(
            f"the data of {run.path} has changed since it was started (fingerprint "
            f"{data.fingerprint[:12]}, it was {info['data']['fingerprint'][:12]}); "
            "train a new run on it, or bring the old data back"
        )
    return data
