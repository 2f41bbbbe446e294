"""`write_tables`: the results as files for other tools, one row per member and metric."""

import csv
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diptych.study.table import Row, Table

__all__ = ["COLUMNS", "tidy_rows", "write_tables"]

COLUMNS: dict[str, type] = {
    "kind": str,
    "recipe": str,
    "title": str,
    "family": str,
    "seed": int,
    "status": str,
    "panel": str,
    "key": str,
    "metric": str,
    "unit": str,
    "better": str,
    "value": float,
    "low": float,
    "high": float,
    "interval": str,
    "floor": float,
    "ceiling": float,
    "n_real": int,
    "n_fake": int,
    "extractor": str,
    "trusted": bool,
    "protocol": str,
    "note": str,
}
"""Names and types of the columns, in their order; every one may be empty."""


def write_tables(table: Table, directory: Path) -> list[Path]:
    """Write results.csv, and results.parquet where pyarrow is installed.

    In the CSV an absent value is empty, a truth is "true" or "false", and numbers have all their
    digits; in the Parquet file columns have their types, and an absent value is null.

    Args:
        table: of a study.
        directory: of the study.

    Returns:
        The files that were written.

    Raises:
        OSError: the directory cannot be written.
    """
    # Where files are written numpy is at hand; who only judges a table does not need it.
    from diptych.data.files import atomic_path

    rows = list(tidy_rows(table))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    paths = [directory / "results.csv"]
    with atomic_path(paths[0]) as draft:
        draft.write_text(text.getvalue(), encoding="utf-8", newline="")
    if importlib.util.find_spec("pyarrow") is not None:
        paths.append(directory / "results.parquet")
        with atomic_path(paths[1]) as draft:
            _write_parquet(rows, draft)
    return paths


def tidy_rows(table: Table) -> Iterator[dict[str, Any]]:
    """The rows of the files: members in their order, then baselines.

    A member without figures has one row, with no metric in it.
    """
    by_owner: dict[tuple[str, str, int | None], list[Row]] = {}
    for row in table.rows:
        by_owner.setdefault((row.kind, row.recipe, row.seed), []).append(row)
    for member in table.members:
        about = {
            "kind": "member",
            "recipe": member.recipe,
            "title": member.title,
            "family": member.family,
            "seed": member.seed,
            "status": member.status,
        }
        own = by_owner.get(("member", member.recipe, member.seed), [])
        yield from [_tidy(about, row) for row in own] or [_tidy(about, None)]
    for name, title in table.baselines.items():
        about = {"kind": "baseline", "recipe": name, "title": title}
        own = by_owner.get(("baseline", name, None), [])
        yield from [_tidy(about, row) for row in own] or [_tidy(about, None)]


def _tidy(about: dict[str, Any], row: Row | None) -> dict[str, Any]:
    figure = {} if row is None else {**vars(row), "metric": row.name}
    # An empty text says no more than nothing at all.
    return {
        name: None if (value := {**figure, **about}.get(name)) == "" else value for name in COLUMNS
    }


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else value


def _write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    types = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }
    columns = {
        name: pyarrow.array(
            [None if row[name] is None else kind(row[name]) for row in rows], types[kind]
        )
        for name, kind in COLUMNS.items()
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
