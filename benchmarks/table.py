"""What a benchmark returns: rows under headings, shown as text, Markdown or JSON.

A benchmark module has `run(quick: bool, rounds: int) -> list[Row | Note]`. Rows with the same
`table` make one table, in the order in which they come; its columns are the union of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.interleave import By, Spread, Timings

__all__ = [
    "Cell",
    "Note",
    "Row",
    "percent",
    "rows_of",
    "shown",
    "to_json",
    "to_markdown",
    "to_text",
]

Cell = str | float | int | Spread | None


@dataclass(frozen=True)
class Row:
    """One row: the heading it stands under, and its cells by column, in order."""

    table: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Note:
    """A sentence under a table: what was skipped and why, or what a column means."""

    table: str
    text: str


@dataclass
class _Table:
    columns: list[str] = field(default_factory=list)
    rows: list[Mapping[str, Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rows_of(
    table: str,
    timings: Timings,
    *,
    unit: str = "images",
    ratio_to: Mapping[str, str] | None = None,
    more: Mapping[str, Mapping[str, Cell]] | None = None,
    ratio_by: By = "cpu",
) -> list[Row]:
    """One row per variant: its rates, its ratios, and what else is known of it.

    Args:
        table: the heading.
        timings: from `interleave`.
        unit: what the amounts count.
        ratio_to: column headings to the variant each ratio is taken to, e.g.
            {"x pythae": "pythae"}; left out where that variant was not timed.
        more: further cells by variant.
        ratio_by: the seconds that ratios are taken in.
    """
    rows = []
    for name in timings.samples:
        cells: dict[str, Cell] = {
            "variant": name,
            f"{unit} / CPU-s": timings.rate(name, "cpu").median,
            f"{unit} / s": timings.rate(name, "wall").median,
        }
        for heading, base in (ratio_to or {}).items():
            if base in timings.samples:
                cells[heading] = timings.ratio(name, base, ratio_by) if name != base else 1
        rows.append(Row(table, {**cells, **(more or {}).get(name, {})}))
    return rows


def _tables(rows: Iterable[Row | Note]) -> dict[str, _Table]:
    tables: dict[str, _Table] = {}
    for row in rows:
        table = tables.setdefault(row.table, _Table())
        if isinstance(row, Note):
            table.notes.append(row.text)
            continue
        table.rows.append(row.cells)
        table.columns += [column for column in row.cells if column not in table.columns]
    return tables


def shown(cell: Cell) -> str:
    """The cell as people read it: a spread is `median (low-high)`; nothing is a dash."""
    if cell is None:
        return "-"
    if isinstance(cell, Spread):
        return f"{shown(cell.median)} ({shown(cell.low)}-{shown(cell.high)})"
    if isinstance(cell, float):
        # Four digits tell rates apart; more would pretend to a precision that no machine has.
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def percent(spread: Spread) -> str:
    """A share as people read it: `96 % (94-98)`."""
    middle, low, high = (f"{100 * value:.0f}" for value in spread)
    return f"{middle} % ({low}-{high})"


def _grid(table: _Table) -> list[list[str]]:
    return [[shown(row.get(column)) for column in table.columns] for row in table.rows]


def to_text(rows: Iterable[Row | Note]) -> str:
    """Aligned columns for the terminal."""
    blocks = []
    for title, table in _tables(rows).items():
        lines: Sequence[Sequence[str]] = [table.columns, *_grid(table)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
            if line
        ]
        blocks.append("\n".join([title, *(f"  {line}" for line in [*text, *table.notes])]))
    return "\n\n".join(blocks)


def to_markdown(rows: Iterable[Row | Note]) -> str:
    """The tables as docs/performance.md has them."""
    blocks = []
    for title, table in _tables(rows).items():
        lines = [f"### {title}", ""]
        if table.rows:
            lines.append("| " + " | ".join(table.columns) + " |")
            lines.append("|" + "---|" * len(table.columns))
            lines += ["| " + " | ".join(line) + " |" for line in _grid(table)]
        if table.notes:
            lines += ["", *(f"{note}  " for note in table.notes[:-1]), table.notes[-1]]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def to_json(rows: Iterable[Row | Note]) -> list[dict[str, Any]]:
    """Plain data: a list of tables with their columns, rows and notes."""

    def plain(cell: Cell) -> Any:
        return dict(cell._asdict()) if isinstance(cell, Spread) else cell

    return [
        {
            "table": title,
            "columns": table.columns,
            "rows": [{key: plain(cell) for key, cell in row.items()} for row in table.rows],
            "notes": table.notes,
        }
        for title, table in _tables(rows).items()
    ]
