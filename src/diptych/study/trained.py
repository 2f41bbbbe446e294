"""One member's training: begun, gone on with, or found finished in its directory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from diptych.data import Data
from diptych.errors import DiptychError, RecipeError, RunError, TrainingDiverged
from diptych.recipes import load_recipe
from diptych.study.plan import Task, what_trains
from diptych.study.results import unlike
from diptych.training.budget import Budget
from diptych.training.checkpoint import load_checkpoint, newest_readable
from diptych.training.plan import Precision
from diptych.training.run import resume, train
from diptych.training.rundir import RunDirectory
from diptych.training.session import Listener

__all__ = ["State", "standing", "train_member"]

State = Literal["nothing", "unusable", "begun", "spent", "finished", "diverged"]
"""What a member's directory holds. "spent": all is trained, only run.json does not say so yet."""


def standing(task: Task, data: Data, budget: Budget) -> State:
    """Look at what there is of a member.

    Raises:
        RunError: there is a run of other settings, which must not be touched.
    """
    directory = task.directory
    if not directory.is_dir():
        if directory.exists():
            raise RunError(f"{directory} is a file, and a member's directory is to be there")
        return "nothing"
    if not any(directory.iterdir()):
        return "nothing"
    try:
        run = RunDirectory.open(directory)
        info = run.read_info()
        recipe = load_recipe(run.recipe_file)
    except (RunError, RecipeError):
        return "unusable"
    found = _Found(recipe.to_dict(), info)
    if differences := found.differences(task, data, budget):
        raise RunError(
            f"{directory} holds a run of other settings: {'; '.join(differences)}; "
            "move it away, or name another --out"
        )
    if info.get("status") == "diverged":
        return "diverged"
    try:
        newest, _ = newest_readable(run.checkpoints)
    except RunError:
        return "unusable"
    spent = info.get("spent")
    told = isinstance(spent, dict) and {"steps", "images", "seconds"} <= spent.keys()
    if info.get("status") == "finished" and told:
        return "finished"
    state = load_checkpoint(newest).state
    done = budget.progress(seconds=state["seconds"], images=state["images"]) >= 1.0
    return "spent" if done else "begun"


@dataclass(frozen=True)
class _Found:
    recipe: dict[str, Any]
    info: dict[str, Any]

    def differences(self, task: Task, data: Data, budget: Budget) -> list[str]:
        """Why the run is not this member, each in words."""
        told = [
            f"{key} is {old} there and {new} here"
            for key, old, new in unlike(
                what_trains(self.recipe), what_trains(task.recipe.to_dict())
            )
        ]
        if self.info["seed"] != task.seed:
            told.append(f"its seed is {self.info['seed']}")
        if self.info["data"]["fingerprint"] != data.fingerprint:
            told.append(f"it was trained on other data ({self.info['data'].get('name')})")
        there = self.info.get("budget")
        if there is not None and there != {"minutes": budget.minutes, "images": budget.images}:
            told.append(f"its budget is {_budget_in_words(there)} and not {budget}")
        return told


def _budget_in_words(there: Any) -> str:
    try:
        return str(Budget(**there))
    except (TypeError, DiptychError):  # of a file that was changed by hand
        return str(there)


def train_member(
    task: Task,
    data: Data,
    budget: Budget,
    *,
    device: str,
    precision: Precision,
    listener: Listener | None,
    announce: Callable[[str], None] | None,
) -> None:
    """Bring a member to the end of its budget, from wherever it stands.

    Raises:
        InterruptedRun: after saving.
        TrainingDiverged: now, or when it was trained before.
        RunError: the directory holds another run.
    """
    directory = task.directory
    state = standing(task, data, budget)
    if state == "diverged":
        reason = RunDirectory(directory).read_info().get("reason", "")
        raise TrainingDiverged(f"{directory}: training diverged: {reason}")
    if state == "finished":
        return
    if state == "spent":
        _write_the_end(RunDirectory(directory))
        return
    if state == "begun":
        resume(directory, data=data, device=device, listener=listener, announce=announce)
        return
    if state == "unusable" and _is_bare(directory):
        (directory / "recipe.yaml").unlink()  # stopped before the first step: nothing to keep
    elif state == "unusable":
        aside = _set_aside(directory)
        if announce is not None:
            announce(f"{directory} held no state to go on from; it was moved to {aside}")
    train(
        task.recipe,
        data,
        minutes=budget.minutes,
        images=budget.images,
        seed=task.seed,
        out=directory,
        device=device,
        precision=precision,
        listener=listener,
        announce=announce,
    )


def _write_the_end(run: RunDirectory) -> None:
    """The last checkpoint was written and the process ended before run.json said so."""
    state = load_checkpoint(newest_readable(run.checkpoints)[0]).state
    run.cut_metrics(state["step"])
    run.write_info(
        {
            **run.read_info(),
            "status": "finished",
            "spent": {
                "steps": state["step"],
                "images": state["images"],
                "seconds": round(state["seconds"], 3),
            },
        }
    )


def _is_bare(directory: Path) -> bool:
    """Whether a training was stopped here before it had anything to save."""
    return [entry.name for entry in directory.iterdir()] == ["recipe.yaml"]


def _set_aside(directory: Path) -> Path:
    """Rename a directory that cannot be used; nothing of a person's is deleted."""
    number = 1
    while (aside := directory.with_name(f"aside-{directory.name}-{number}")).exists():
        number += 1
    directory.rename(aside)
    return aside
