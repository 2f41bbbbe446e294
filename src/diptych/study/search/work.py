"""The work of a search: take a trial, train it, judge it, until none is left."""

import json
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from diptych.data import Data
from diptych.errors import DiptychError, InterruptedRun, RunError, TrainingDiverged
from diptych.evaluation.sets import Progress
from diptych.recipes import Recipe, with_settings
from diptych.study.plan import Task, what_trains
from diptych.study.reasons import in_a_line
from diptych.study.search.board import Board, Ending, Ticket
from diptych.study.search.judge import SPLIT, Judge
from diptych.study.search.space import describe_settings, own_settings, space_of
from diptych.study.trained import train_member
from diptych.training.budget import Budget
from diptych.training.plan import Precision
from diptych.training.run import load
from diptych.training.rundir import RunDirectory, write_text
from diptych.training.session import Listener

__all__ = ["Search"]

POLL_SECONDS = 0.5
"""How often a process that has nothing left to do looks whether the others are done."""


@dataclass(frozen=True)
class TrialTask(Task):
    """A trial as a member to train: an ordinary run, in a directory named by its number."""

    number: int

    @property
    def place(self) -> str:
        """The trial's directory within the study, with forward slashes."""
        return f"{self.recipe.name}/trials/{self.number:04d}"

    @property
    def directory(self) -> Path:
        """The trial's directory."""
        return self.study / f"{self.number:04d}"

    @property
    def title(self) -> str:
        """How progress calls it."""
        return f"{self.recipe.title}, trial {self.number}"


@dataclass(frozen=True)
class Search:
    """One search as one process does it; see `search_recipe`."""

    recipe: Recipe
    data: Data
    directory: Path
    trials: int
    budget: Budget
    seed: int
    device: str
    precision: Precision
    listener: Listener | None
    say: Callable[[str], None]
    progress: Progress

    def work(self) -> None:
        """Take trials until all are finished, by this process or by others."""
        told = False
        while True:
            ticket = self._board.take(self.trials)
            if ticket is not None:
                with ticket:
                    self._try(ticket)
            elif running := self._board.running():
                if not told:
                    self.say(f"{self.recipe.title}: {running} of the trials are with others")
                told = True
                time.sleep(POLL_SECONDS)
            else:
                return

    def outcome(self) -> tuple[Recipe, dict[str, Any]]:
        """The recipe with the best settings, and the record for study.json."""
        records = self._board.records()
        # However many there are, every family chooses among as many as were asked for.
        judged = [r for r in records if r["value"] is not None and r["number"] < self.trials]
        best = min(judged, key=lambda r: (r["value"], r["number"]), default=None)
        settings = own_settings(self.recipe) if best is None else best["settings"]
        place = "/".join(self.directory.parts[-2:])
        record = {
            "recipe": self.recipe.name,
            "title": self.recipe.title,
            "space": {key: each.model_dump(mode="json") for key, each in self._space.items()},
            "metric": self._judge.key,
            "split": SPLIT,
            "trials": [{**each, "directory": f"{place}/{each['number']:04d}"} for each in records],
            "chosen": None if best is None else best["number"],
            "settings": None if best is None else settings,
        }
        counts = Counter(each["status"] for each in records)
        ends = ", ".join(f"{n} {status}" for status, n in counts.items())
        if best is None:
            self.say(f"{self.recipe.title}: no trial can be used ({ends}); it stays as it is")
            return self.recipe, record
        self.say(
            f"{self.recipe.title}: trial {best['number']} is the best ({ends}), {self._judge.key} "
            f"{best['value']:.4g} on {SPLIT} data: {describe_settings(settings)}"
        )
        return with_settings(self.recipe, settings), record

    @cached_property
    def _space(self) -> Any:
        return space_of(self.recipe)

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self.data, seed=self.seed, progress=self.progress)

    @cached_property
    def _board(self) -> Board:
        identity = {
            "recipe": what_trains(self.recipe.to_dict()),
            "space": {key: each.model_dump(mode="json") for key, each in self._space.items()},
            "budget": {"minutes": self.budget.minutes, "images": self.budget.images},
            "seed": self.seed,
            "data": self.data.fingerprint,
        }
        return Board(
            self.directory,
            space=self._space,
            own=own_settings(self.recipe),
            identity=json.loads(json.dumps(identity)),
            seed=self.seed,
        )

    def _try(self, ticket: Ticket) -> None:
        """Train and judge one trial, and write down how it ended.

        Raises:
            InterruptedRun: the trial stays begun, and is gone on with the next time.
            RunError: its directory holds another run.
        """
        task = TrialTask(
            with_settings(self.recipe, ticket.settings), self.seed, self.directory, ticket.number
        )
        self.say(f"{task.title} ({self.trials} in all): {describe_settings(ticket.settings)}")
        outcome: Ending = "finished"
        value, reason = None, ""
        try:
            train_member(
                task,
                self.data,
                self.budget,
                device=self.device,
                precision=self.precision,
                listener=self.listener,
                announce=self.say,
            )
            device = "cpu" if self.device == "auto" else self.device
            figure = self._judge.measure(load(task.directory, device=device).model)
            value = figure.value
        except TrainingDiverged as error:
            outcome, reason = "diverged", str(error)
        except (InterruptedRun, RunError):
            raise
        except Exception as error:
            # Whatever it is, the other trials are worth having.
            outcome, reason = "crashed", in_a_line(error)
            if not isinstance(error, DiptychError):
                write_text(task.directory / "crash.txt", traceback.format_exc())
        if value is not None:
            self.say(f"{task.title}: {self._judge.key} {value:.4g} on {SPLIT} data")
        else:
            self.say(f"{task.title} {outcome}: {reason}")
        spent = _spent(task.directory)
        self._board.finish(
            ticket,
            outcome,
            value=value,
            seconds=float(spent.get("seconds", 0.0)),
            images_seen=int(spent.get("images", 0)),
            reason=reason,
        )


def _spent(directory: Path) -> dict[str, Any]:
    try:
        return dict(RunDirectory(directory).read_info().get("spent", {}))
    except RunError:
        return {}
