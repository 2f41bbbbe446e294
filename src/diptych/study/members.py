"""One member from beginning to end; what goes wrong with it ends at its border."""

import traceback
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from diptych.data import Data
from diptych.errors import InterruptedRun, TrainingDiverged
from diptych.evaluation.density.panel import Effort
from diptych.study.measured import Outcome, facts, measure_member
from diptych.study.plan import Task
from diptych.study.reasons import in_a_line
from diptych.study.trained import train_member
from diptych.study.watching import Watcher
from diptych.training.budget import Budget
from diptych.training.plan import Precision
from diptych.training.rundir import write_text

__all__ = ["Conditions", "crashed", "interrupted", "run_member"]

CRASH_FILE = "crash.txt"


@dataclass(frozen=True)
class Conditions:
    """What is the same for every member.

    Attributes:
        minutes: the budget, or None.
        images: the budget, or None.
        metrics: panels and metrics by name; all that apply if empty.
        n: items of each set, or None.
        effort: on likelihoods.
        device: where to train and measure.
        precision: as `train` takes it.
    """

    minutes: float | None
    images: int | None
    metrics: tuple[str, ...]
    n: int | None
    effort: Effort
    device: str
    precision: Precision

    @property
    def budget(self) -> Budget:
        """Of each member."""
        return Budget(self.minutes, self.images)


def run_member(task: Task, data: Data, conditions: Conditions, watcher: Watcher) -> Outcome:
    """Train, measure and draw a member, from wherever it stands.

    Whatever goes wrong is written down as the member's fate, so that the others go on.

    Raises:
        InterruptedRun, KeyboardInterrupt: the person wants to stop.
    """
    watcher.begin(task.title)
    try:
        train_member(
            task,
            data,
            conditions.budget,
            device=conditions.device,
            precision=conditions.precision,
            listener=partial(watcher.row, task.title),
            announce=watcher.say,
        )
        outcome = measure_member(
            task,
            data,
            metrics=conditions.metrics,
            n=conditions.n,
            effort=conditions.effort,
            device=conditions.device,
            progress=partial(watcher.measuring, task.title),
        )
    except InterruptedRun:
        raise
    except TrainingDiverged as error:
        return _unfinished(task, "diverged", str(error))
    except Exception as error:
        return crashed(task, in_a_line(error), traceback.format_exc())
    finally:
        watcher.end(task.title)
    (task.directory / CRASH_FILE).unlink(missing_ok=True)
    return outcome


def crashed(task: Task, reason: str, details: str) -> Outcome:
    """The outcome of a member that ended with an error; the details stay in its directory."""
    with suppress(OSError):  # a full disk may be the very reason
        write_text(task.directory / CRASH_FILE, details)
    return _unfinished(task, "crashed", reason)


def interrupted(task: Task, reason: str) -> Outcome:
    """The outcome of a member that was stopped; it is gone on with next time."""
    # What to type is said once, for the study: a member is not resumed by itself.
    return _unfinished(task, "interrupted", reason.partition("; go on with")[0])


def _unfinished(task: Task, status: str, reason: str) -> Outcome:
    entry: dict[str, Any] = {**facts(task), "status": status, "reason": reason, "figures": []}
    return Outcome(entry, {})
