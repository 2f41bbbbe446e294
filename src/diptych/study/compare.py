"""`compare`: recipes x seeds under one budget, the same instruments, a verdict, one page."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from diptych.data import Data, load_data
from diptych.errors import InterruptedRun
from diptych.evaluation.density.panel import Effort
from diptych.recipes import Recipe
from diptych.study.lock import study_lock
from diptych.study.plan import Equal, Plan, make_plan
from diptych.study.results import Book, check_place
from diptych.study.stages import Stages, search_together
from diptych.study.stopping import signals_as_interrupts
from diptych.study.study import Study, open_study
from diptych.study.telling import plan_lines
from diptych.study.watching import Watcher
from diptych.training.plan import Precision
from diptych.training.rundir import numbered

__all__ = ["compare"]


def compare(
    recipes: str | Path | Sequence[str | Path | Recipe],
    data: Data | str | Path,
    *,
    minutes: float | None = None,
    images: int | None = None,
    seeds: int | Iterable[int] = 1,
    seed: int = 0,
    equal: Equal | None = None,
    trials: int = 0,
    jobs: int = 1,
    metrics: Sequence[str] = (),
    n: int | None = None,
    effort: Effort = "quick",
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    device: str = "auto",
    precision: Precision = "auto",
    command: str = "",
    watcher: Watcher | None = None,
) -> Study:
    """Train each recipe at each seed under one budget, measure all alike, and judge.

    All that differs between members is what their recipes say: splits and budget are the same,
    and so is the order of the data at the same seed; measuring and pictures are not charged. A
    member that diverges or crashes is reported as such, and the study goes on.

    A study that was interrupted, in whatever way, goes on when it is asked for again with the
    same `out`: what is trained is not trained again, what is measured is not measured again. It
    may also be asked for with more seeds or more recipes than before; then it grows.

    Args:
        recipes: names, files or recipes, each once.
        data: from `load_data`, or what `load_data` takes.
        minutes: the budget of each member in minutes of training; 5 if nothing is given.
        images: or in images shown.
        seeds: how many seeds, or the seeds themselves.
        seed: the first, where only their number is given.
        equal: "time" or "images". Minutes alone are equal time, images alone equal images.
            Minutes with equal images: a short probe finds the slowest recipe, and all members
            are shown as many images as it manages in that time.
        trials: so many settings of each recipe are tried first, chosen on validation images.
        jobs: members trained side by side, each in a process with its share of the cores.
        metrics: panels or metrics by name; all that apply if none is named.
        n: samples and real items to measure on; None takes what `evaluate` takes.
        effort: on likelihoods, "quick" or "full".
        out: the study's directory: new, empty, or that of the same study to go on with; None
            makes `studies/NNNN-data`.
        overrides: settings applied to every recipe.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "fp32" or "bf16".
        command: what the person typed, for the page; made up from the arguments if empty.
        watcher: told what is being done.

    Raises:
        DiptychError: something does not fit; nothing was trained.
        InterruptedRun: on Ctrl-C or SIGTERM, after saving the members in training.
    """
    watcher = watcher or Watcher()
    loaded = data if isinstance(data, Data) else load_data(data)
    plan = make_plan(
        recipes,
        loaded,
        minutes=minutes,
        images=images,
        seeds=seeds,
        seed=seed,
        equal=equal,
        trials=trials,
        jobs=jobs,
        metrics=metrics,
        n=n,
        effort=effort,
        overrides=overrides,
        device=device,
        precision=precision,
    )
    if out is not None:
        check_place(Path(out), plan)
    for line in plan_lines(plan):
        watcher.say(line)
    directory = numbered(Path("studies"), Path(loaded.name).stem) if out is None else Path(out)
    command = _with_out(command or _command(plan), directory)
    watcher.say(f"study: {directory}; after an interruption go on with: {command}")
    try:
        with signals_as_interrupts():
            searched = search_together(plan, directory, command, watcher) if plan.trials else None
            with study_lock(directory) as lock:
                book = Book.open(directory, plan, command)
                if searched is not None:
                    plan = plan.with_recipes([result.recipe for result in searched])
                    book.results["search"] = [dict(result.record) for result in searched]
                Stages(plan, book, watcher, lock).do()
    except (KeyboardInterrupt, InterruptedRun):
        raise InterruptedRun(
            f"stopped; what was trained is saved; go on with: {command}"
        ) from None
    return open_study(directory)


def _command(plan: Plan) -> str:
    """The command line that asks for the same study."""
    budget, seeds = plan.budget, plan.seeds
    words = ["diptych", "compare", *(recipe.name for recipe in plan.recipes)]
    words += ["--data", plan.data.name]
    if budget.minutes is not None:
        words += ["--minutes", f"{budget.minutes:g}"]
    else:
        words += ["--images", str(budget.images)]
    words += ["--seeds", str(len(seeds)), "--seed", str(seeds[0])]
    if plan.needs_probe:
        words += ["--equal", plan.equal]
    if plan.trials:
        words += ["--trials", str(plan.trials)]
    if plan.metrics:
        words += ["--metrics", ",".join(plan.metrics)]
    return shlex.join(words)


def _with_out(command: str, directory: Path) -> str:
    """The command with --out, which a command that goes on with a study needs."""
    words = shlex.split(command)
    if any(word in ("--out", "-o") or word.startswith("--out=") for word in words):
        return command
    return f"{command} --out {shlex.quote(str(directory))}"
