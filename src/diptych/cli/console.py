"""What the terminal shows: results on stdout, progress on stderr, plain lines off a terminal."""

import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from diptych.evaluation import Figure
    from diptych.evaluation.results import Evaluation

__all__ = [
    "ARROWS",
    "Reporter",
    "figures_table",
    "format_number",
    "print_evaluation",
    "print_json",
    "print_table",
    "reporting",
    "stderr",
    "stdout",
]


class ProgressConsole(Console):
    """A console whose reader may leave: what it shows is no reason to stop what it shows."""

    def on_broken_pipe(self) -> None:
        """Go quiet, where rich would end the program."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


# No markup: names of files and classes are the person's own and may hold brackets.
stdout = Console(highlight=False, soft_wrap=True, markup=False)
stderr = ProgressConsole(stderr=True, highlight=False, soft_wrap=True, markup=False)

WIDE = 140
"""Columns of a table that goes to a file or a pipe."""
PLAIN_EVERY_SECONDS = 10.0
"""Between two progress lines where there is no terminal to redraw."""


def print_json(value: Any) -> None:
    """One JSON object on stdout and nothing else."""
    print(json.dumps(value, indent=1))


def format_number(value: float | None) -> str:
    """Four significant digits; thousands without exponent."""
    if value is None:
        return "–"
    if value and abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


ARROWS = {"lower": "↓", "higher": "↑", "closer": "≈"}
"""Before a figure: which way is better; ≈ as near to the floor as can be."""


def figures_table(title: str, figures: "Sequence[Figure]") -> Table:
    """A row per figure under the name of its panel: value, interval, floor, ceiling and N.

    Args:
        title: whose figures they are.
        figures: of one evaluation.
    """
    from diptych.report.tables import PANEL_TITLES

    ceilings = any(figure.ceiling is not None for figure in figures)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("figure")
    table.add_column(title, justify="right", overflow="fold")
    for column in ("95 % interval", "floor", *(("ceiling",) if ceilings else ()), "N"):
        table.add_column(column, justify="right", overflow="fold")
    heading = ""
    for figure in sorted(figures, key=_place_of):
        base, features = _parted(figure.name)
        if heading != (heading := PANEL_TITLES[figure.panel] + features):
            table.add_row("", Text(heading, style="bold"))
        table.add_row(
            ARROWS[figure.better],
            base,
            format_number(figure.value) + ("" if figure.trusted else " (?)"),
            _interval(figure),
            format_number(figure.floor),
            *((format_number(figure.ceiling),) if ceilings else ()),
            _counts(figure),
        )
    return table


def print_table(table: Table) -> None:
    """A table as wide as it needs, where there is no terminal whose width it must keep."""
    if stdout.is_terminal:
        stdout.print(table)
    else:
        # The width that is asked of a console's `print` is cut to the console's own.
        wide = Console(file=stdout.file, width=max(WIDE, stdout.width), highlight=False)
        wide.print(table)


def print_evaluation(title: str, result: "Evaluation", *, every_note: bool) -> None:
    """The figures of one evaluation with what must be known to read them.

    Args:
        title: whose figures they are.
        result: the evaluation.
        every_note: print the note of every figure, not only of those not to be trusted.
    """
    from diptych.report.tables import PANEL_TITLES

    print_table(figures_table(title, result.figures))
    noted = [f for f in result.figures if f.note and (every_note or not f.trusted)]
    if noted:
        stdout.print()
    for figure in noted:
        stdout.print(f"{'' if figure.trusted else '(?) '}{figure.name}: {figure.note}")
    stdout.print()
    stdout.print("↓ lower is better, ↑ higher, ≈ as the floor; floor: real against real")
    for remark in result.remarks:
        stdout.print(remark)
    for panel, reason in result.skipped.items():
        stdout.print(f"{PANEL_TITLES[panel]} was left out: {reason}")
    for extractor in result.features:
        sentence = str(extractor["caveat"])
        if "accuracy" in extractor:
            sentence += f" It is right on {extractor['accuracy']:.1%} of held-out images."
        stdout.print(sentence)
    taken = ", ".join(f"{panel} {s:.1f} s" for panel, s in result.panel_seconds.items())
    stdout.print(f"time: {taken}; {result.seconds:.0f} s in all")
    if not every_note:
        stdout.print("--notes prints a remark on every figure.")


def _place_of(figure: "Figure") -> tuple[int, str]:
    """Panel by panel, and within one what needs features by their extractor."""
    from diptych.report.tables import PANEL_TITLES

    return list(PANEL_TITLES).index(figure.panel), _parted(figure.name)[1]


def _parted(name: str) -> tuple[str, str]:
    """ "FD (classifier)" as "FD" and ", classifier": the extractor goes into the heading."""
    if name.startswith("FID"):
        return name, ""  # FID (clean) is a name, and FID says what its features are
    base, bracket, rest = name.rpartition(" (")
    return (base, f", {rest.removesuffix(')')}") if bracket else (name, "")


def _interval(figure: "Figure") -> str:
    if figure.low is None or figure.high is None:
        return "–"
    return f"{figure.low:.3g} … {figure.high:.3g}"


def _counts(figure: "Figure") -> str:
    counts = [n for n in (figure.n_fake, figure.n_real) if n is not None]
    return " / ".join(f"{n:,}" for n in dict.fromkeys(counts)) or "–"


class Reporter:
    """Shows progress of training and of measuring; made by `reporting`."""

    def __init__(self, bar: Progress | None, quiet: bool) -> None:
        self._bar = bar
        self._quiet = quiet
        self._task: TaskID | None = None
        self._last_line = time.monotonic()
        self._name = ""
        self._stage = ""

    def start(self, name: str) -> None:
        """A new member or run begins."""
        self.finish()
        self._name, self._stage = name, ""
        self._last_line = time.monotonic()

    def of(self, name: str) -> "Reporter":
        """A reporter of one member beside others: a bar of its own, or lines of its own."""
        reporter = Reporter(self._bar, self._quiet)
        reporter.start(name)
        return reporter

    def say(self, sentence: str) -> None:
        """A line of its own."""
        if not self._quiet:
            stderr.print(sentence)

    def finish(self) -> None:
        """Leave the bar as it is and go to the next line."""
        if self._bar is not None and self._task is not None:
            self._bar.stop_task(self._task)
        self._task = None

    def row(self, row: Mapping[str, float]) -> None:
        """A row of metrics: the listener of `train`."""
        progress = row["progress"]
        left = row["seconds"] * (1.0 - progress) / progress if progress else math.nan
        scalars = "  ".join(
            f"{name.rpartition('/')[0][:1].upper()}:{name.rpartition('/')[2]} {value:.4g}"
            if name.endswith("/loss")
            else f"{name.rpartition('/')[2]} {value:.4g}"
            for name, value in row.items()
            if "/" in name and name.rpartition("/")[2] in ("loss", "kl", "negative_elbo")
        )
        text = f"{row['images_per_second']:>7,.0f} images/s  {_duration(left)} left  {scalars}"
        self._show(self._name, progress, text)

    def measuring(self, what: str, done: int, total: int) -> None:
        """The progress callback of `evaluate` and of `load_data`."""
        if what != self._stage:
            self.finish()
            self._stage = what
        name = f"{self._name}: {what}" if self._name else what
        self._show(name, done / total if total else 0.0, f"{done:,} of {total:,}")

    def _show(self, name: str, part: float, text: str) -> None:
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task(name, total=1.0, text=text)
            self._bar.update(self._task, completed=part, text=text)
            return
        now = time.monotonic()
        if not self._quiet and (now - self._last_line >= PLAIN_EVERY_SECONDS):
            self._last_line = now
            stderr.print(f"{name}  {part:4.0%}  {text}")


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "–:––"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def reporting(quiet: bool = False) -> Iterator[Reporter]:
    """A bar on a terminal, a line now and then elsewhere, nothing when quiet."""
    if quiet or not stderr.is_terminal:
        yield Reporter(None, quiet)
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[text]}", markup=False),
        console=stderr,
    ) as bar:
        reporter = Reporter(bar, quiet=False)
        yield reporter
        reporter.finish()
