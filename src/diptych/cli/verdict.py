"""What the terminal shows of a study: progress of its members, and at the end the verdict."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from diptych.cli.console import ARROWS, Reporter, format_number, print_table, stdout
from diptych.study.watching import Watcher

if TYPE_CHECKING:
    from diptych.study.study import Study
    from diptych.study.verdict import Comparison, Verdict

__all__ = ["StudyReporter", "print_study"]


class StudyReporter(Watcher):
    """Shows each member by a reporter of its own, so that several may be in work at a time."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._members: dict[str, Reporter] = {}

    def say(self, sentence: str) -> None:
        """A line of its own."""
        self._reporter.say(sentence)

    def row(self, member: str, row: Mapping[str, float]) -> None:
        """A row of metrics of a member in training."""
        self._of(member).row(row)

    def measuring(self, member: str, what: str, done: int, total: int) -> None:
        """How far measuring is."""
        self._of(member).measuring(what, done, total)

    def end(self, member: str) -> None:
        """Leave the member's bar as it is."""
        if member in self._members:
            self._members.pop(member).finish()

    def _of(self, member: str) -> Reporter:
        if member not in self._members:
            self._members[member] = self._reporter.of(member)
        return self._members[member]


def print_study(study: "Study") -> None:
    """The verdict first; then key figures, cost, what failed, where things are, what is next."""
    members = study.results["members"]
    stdout.print()
    verdict = study.verdict
    if verdict is not None:
        _print_verdict(verdict)
        _print_figures(verdict)
    _print_cost(study)
    for member in members:
        name = f"{member['title']}, seed {member['seed']}"
        if member["status"] != "finished":
            stdout.print(f"{name} {member['status']}: {member.get('reason', '')}")
        for remark in member.get("remarks", ()):
            stdout.print(f"{name}: {remark}")
    if study.results["features"]:
        stdout.print(study.results["features"]["sentence"])
    stdout.print()
    stdout.print(f"every figure: {(study.directory / 'results.csv').resolve()}")
    stdout.print(f"page: {(study.directory / 'report.html').resolve()}")
    finished = [study.directory / m["directory"] for m in members if m["status"] == "finished"]
    if finished:
        stdout.print(f"next: diptych explore {' '.join(map(str, _one_of_each(finished)))}")
        stdout.print(f"      diptych sample {finished[-1]} -n 64 --out grid.png")


def _one_of_each(directories: list[Path]) -> list[Path]:
    """The first member of every recipe."""
    chosen: dict[Path, Path] = {}
    for directory in directories:
        chosen.setdefault(directory.parent, directory)
    return list(chosen.values())


def _print_verdict(verdict: "Verdict") -> None:
    stdout.print(Text(verdict.headline, style="bold"))
    if verdict.standfirst:
        stdout.print(verdict.standfirst)
    stdout.print()
    for answer in verdict.answers:
        stdout.print(f"{answer.question} {answer.sentence}")
    stdout.print()
    for advice in verdict.recommendations:
        pick = verdict.titles.get(advice.pick, advice.pick) if advice.pick else "cannot tell"
        stdout.print(f"{advice.use}: {pick}. {advice.because}")
    stdout.print()


def _print_figures(verdict: "Verdict") -> None:
    """A row per figure that an answer hangs on: mean over seeds and interval of each recipe."""
    found: dict[str, Comparison] = {}
    for answer in verdict.answers:
        for comparison in answer.comparisons:
            if comparison.primary:
                found.setdefault(comparison.key, comparison)
    if not found:
        return
    titles = {
        s.recipe: verdict.titles.get(s.recipe, s.recipe)
        for c in found.values()
        for s in c.standings
    }
    order = [name for name in verdict.titles if name in titles] or list(titles)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("mean over seeds (95 % interval)")
    for name in order:
        table.add_column(titles[name], justify="right", overflow="fold")
    table.add_column("floor", justify="right", overflow="fold")
    for comparison in found.values():
        standings = {standing.recipe: standing for standing in comparison.standings}
        cells = []
        for name in order:
            cell = "–"
            if (standing := standings.get(name)) is not None:
                cell = format_number(standing.mean)
                if standing.low is not None and standing.high is not None:
                    cell += f" ({standing.low:.3g} … {standing.high:.3g})"
            cells.append(cell)
        unit = f", {comparison.unit}" if comparison.unit else ""
        table.add_row(
            ARROWS.get(comparison.better, ""),
            f"{comparison.name}{unit}",
            *cells,
            format_number(comparison.floor),
        )
    print_table(table)
    stdout.print("↓ lower is better, ↑ higher, ≈ as the floor; floor: real against real")
    stdout.print()


def _print_cost(study: "Study") -> None:
    """A line per recipe: what its members saw and how long they took."""
    by_recipe: dict[str, list[dict[str, Any]]] = {}
    for member in study.results["members"]:
        if member.get("images_seen") is not None:
            by_recipe.setdefault(member["recipe"], []).append(member)
    for members in by_recipe.values():
        first = members[0]
        counts = ", ".join(
            f"{player} {number:,}" for player, number in first["parameters"].items()
        )
        images, seconds, rate = (
            sum(member[key] for member in members) / len(members)
            for key in ("images_seen", "train_seconds", "images_per_second")
        )
        done = sum(member["status"] == "finished" for member in members)
        stdout.print(
            f"{first['title']}: {done} of {_asked(study, first['recipe'])} finished; "
            f"{images:,.0f} images in {format_number(seconds)} s each, {rate:,.0f} images/s; "
            f"parameters: {counts}"
        )


def _asked(study: "Study", recipe: str) -> int:
    return sum(member["recipe"] == recipe for member in study.results["members"])
