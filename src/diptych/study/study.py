"""A study that lies on disk: its results, its verdict, its page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from diptych.report import write_report
from diptych.study.results import read_results
from diptych.study.table import Table
from diptych.study.verdict import Verdict, judge

__all__ = ["Study", "open_study"]


@dataclass(frozen=True)
class Study:
    """Several runs at one budget, backed by a directory with `study.json`."""

    directory: Path
    results: dict[str, Any]
    """The content of study.json."""

    @property
    def table(self) -> Table:
        """One row per member (or baseline) and metric."""
        return Table.from_results(self.results)

    @property
    def verdict(self) -> Verdict | None:
        """What the figures say, question by question; None while nothing is measured."""
        measured = any(member["status"] == "finished" for member in self.results["members"])
        return judge(self.table) if measured else None

    def report(
        self, out: str | Path | None = None, format: Literal["html", "md", "json"] = "html"
    ) -> Path:
        """Write the page, from the files alone; `report.html` in the directory if not told."""
        return write_report(self.directory, None if out is None else Path(out), format=format)


def open_study(directory: str | Path) -> Study:
    """A study that was made before, finished or not.

    Raises:
        RunError: the directory is no study, or one of another version.
    """
    return Study(Path(directory), read_results(directory))
