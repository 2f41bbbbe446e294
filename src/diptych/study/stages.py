"""The stages of a study, from the first picture to the page; each looks at what is there."""

import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from diptych.data import write_png
from diptych.errors import InterruptedRun
from diptych.evaluation.streams import stream_seed
from diptych.study.baselines import measure_baselines
from diptych.study.evidence import choose_queries
from diptych.study.lock import study_lock
from diptych.study.measured import Outcome
from diptych.study.members import Conditions, interrupted, run_member
from diptych.study.pictures import GRID, real_picture
from diptych.study.plan import Plan, Task
from diptych.study.probe import probe_speeds
from diptych.study.reasons import in_a_line
from diptych.study.results import Book
from diptych.study.search import SearchResult, search_recipe
from diptych.study.side_by_side import run_side_by_side
from diptych.study.study import Study
from diptych.study.tabulate import write_tables
from diptych.study.telling import what_is_left
from diptych.study.trained import State, standing
from diptych.study.watching import Watcher

__all__ = ["Stages", "search_together"]


def search_together(
    plan: Plan, directory: Path, command: str, watcher: Watcher
) -> list[SearchResult]:
    """Find the best settings of every recipe; finished trials are not repeated.

    The study is not locked meanwhile: other machines that share its directory may take trials of
    the same search, each by the same command. One of them then trains the members.
    """
    with study_lock(directory) as lock:
        book = Book.open(directory, plan, command)
        Stages(plan, book, watcher, lock, is_settled=False).prepare()
    budget, found = book.budget, []
    for recipe in plan.recipes:
        name = f"{recipe.title}, trials"
        watcher.begin(name)
        found.append(
            search_recipe(
                recipe,
                plan.data,
                directory / recipe.name / "trials",
                trials=plan.trials,
                minutes=budget.minutes,
                images=budget.images,
                # A seed that no member has: a setting chosen for its luck is not lucky again.
                seed=stream_seed(plan.seeds[0], "search"),
                device=plan.speed.device,
                precision=plan.precision,
                listener=partial(watcher.row, name),
                announce=watcher.say,
                progress=partial(watcher.measuring, name),
            )
        )
        watcher.end(name)
    return found


class Stages:
    """The stages of a study; each looks at what is there already."""

    def __init__(
        self, plan: Plan, book: Book, watcher: Watcher, lock: int, *, is_settled: bool = True
    ) -> None:
        self.plan = plan
        self.is_settled = is_settled  # False while a search has still to find the recipes
        self.book = book
        self.watcher = watcher
        self.lock = lock
        self.directory = book.directory

    def do(self) -> None:
        """From the first picture to the page."""
        self.prepare()
        standings = self._standings()
        trained = sum(state in ("finished", "spent") for _, state in standings)
        for line in what_is_left(self.plan, self.book.budget, len(standings), trained):
            self.watcher.say(line)
        if standings:
            self._run([task for task, _ in standings])
        else:
            self.watcher.say("the study is finished already; its page is written again")
        self._conclude()

    def prepare(self) -> None:
        """Real pictures, the images whose codes every model is asked for, and the budget."""
        if self.book.is_budget_known and self.is_settled:
            self._standings()  # refuses a stranger's run before anything is written
        self._draw()
        self._find_budget()

    def _draw(self) -> None:
        results, data = self.book.results, self.plan.data
        picture = self.directory / "pictures" / "real.png"
        if not results["real"] or not picture.is_file():
            picture.parent.mkdir(exist_ok=True)
            write_png(real_picture(data), picture)
            results["real"] = "pictures/real.png"
            results["real_grid"] = {"columns": GRID, "rows": GRID}
        if results["queries"] is None:
            results["queries"] = choose_queries(data, self.directory)
        self.book.write()

    def _find_budget(self) -> None:
        plan = self.plan
        if self.book.is_budget_known:
            return
        rates = probe_speeds(
            plan.recipes,
            plan.data,
            seed=plan.seeds[0],
            device=plan.device,
            precision=plan.precision,
            threads=plan.share_of_cores if plan.jobs > 1 else None,
            watcher=self.watcher,
        )
        self.book.set_probed(rates)
        self.watcher.say(f"each member is shown {self.book.budget}")

    def _standings(self) -> list[tuple[Task, State]]:
        """Members that are not finished, and what there is of each in its directory."""
        budget, data = self.book.budget, self.plan.data
        return [
            (task, standing(task, data, budget))
            for task in self.plan.tasks(self.directory)
            if not self._is_done(self.book.member(task.recipe.name, task.seed))
        ]

    def _is_done(self, entry: Mapping[str, Any]) -> bool:
        """Whether nothing is left to do; lost pictures of a finished member are drawn again."""
        if entry["status"] != "finished":
            return bool(entry["status"] == "diverged")
        files = [*entry.get("pictures", {}).values(), entry.get("evidence")]
        return all((self.directory / file).is_file() for file in files if file)

    def _run(self, tasks: Sequence[Task]) -> None:
        plan, budget = self.plan, self.book.budget
        conditions = Conditions(
            minutes=budget.minutes,
            images=budget.images,
            metrics=plan.metrics,
            n=plan.n,
            effort=plan.effort,
            device=plan.speed.device,
            precision=plan.precision,
        )
        if plan.jobs > 1:
            run_side_by_side(
                tasks,
                plan.data,
                conditions,
                jobs=plan.jobs,
                threads=plan.share_of_cores,
                lock=self.lock,
                on_outcome=self._take,
                watcher=self.watcher,
            )
            return
        for place, task in enumerate(tasks):
            try:
                self._take(run_member(task, plan.data, conditions, self.watcher))
            except InterruptedRun as stop:
                self._take(interrupted(task, str(stop)))
                raise
            following = tasks[place + 1 :]
            if following and following[0].seed != task.seed:
                self._show_the_round()

    def _take(self, outcome: Outcome) -> None:
        """Write down what became of a member."""
        self.book.put(outcome.entry, outcome.shared)
        entry = outcome.entry
        told = f"{entry['title']}, seed {entry['seed']}: {entry['status']}"
        self.watcher.say(f"{told} ({entry['reason']})" if entry["reason"] else told)

    def _show_the_round(self) -> None:
        """A round of seeds is a comparison already; without its page the study still goes on."""
        try:
            self._conclude()
        except InterruptedRun:
            raise
        except Exception as error:
            self.watcher.say(f"the page of this round could not be written: {in_a_line(error)}")

    def _conclude(self) -> None:
        """Baselines, verdict, tables and page, from the members there are."""
        results = self.book.results
        if self.book.finished() and not results["baselines"]:
            self._measure_baselines()
        study = Study(self.directory, results)
        verdict = study.verdict
        results["verdict"] = None if verdict is None else verdict.to_json()
        self.book.write()
        write_tables(study.table, self.directory)
        study.report()

    def _measure_baselines(self) -> None:
        """What needs no training stands beside the members; without it they still stand."""
        results, plan = self.book.results, self.plan
        failure = self.directory / "baselines" / "failure.txt"
        try:
            entries = measure_baselines(
                plan.data,
                self.directory,
                metrics=plan.metrics,
                n=plan.n,
                progress=partial(self.watcher.measuring, "baselines"),
            )
        except Exception as error:
            failure.parent.mkdir(exist_ok=True)
            failure.write_text(traceback.format_exc(), encoding="utf-8")
            self.watcher.say(f"baselines could not be measured: {error} (see {failure})")
            return
        failure.unlink(missing_ok=True)
        for entry in entries:
            results["protocols"] |= entry.pop("protocols", {})
        results["baselines"] = entries
