"""The verdict of a study, made again from its figures when the page is written."""

from typing import Any

from diptych.report.reading import Study
from diptych.study.table import Row, Table
from diptych.study.verdict import Verdict, judge
from diptych.study.verdict.comparing import standing_of
from diptych.study.verdict.words import Standing

__all__ = ["Standings", "report_json", "standings_of", "table_of", "verdict_of"]

Standings = dict[tuple[str, str], Standing]
"""By recipe and key of the metric."""


def table_of(study: Study) -> Table:
    """The table of results of a study that was read and checked."""
    content = study.model_dump(by_alias=True)
    for record in (*content["members"], *content["baselines"]):
        record["figures"] = [f for f in record["figures"] if f["value"] is not None]
    return Table.from_results(content)


def verdict_of(study: Study) -> Verdict | None:
    """The verdict, or None where nothing was measured yet."""
    measured = any(m.status == "finished" and m.figures for m in study.members)
    return judge(table_of(study)) if measured else None


def standings_of(table: Table) -> Standings:
    """Every metric of every recipe over its seeds, with the interval that the verdict would use.

    Seeds that cannot be trusted do not count, unless none can. Seeds measured under different
    protocols have no interval in common.
    """
    rows: dict[tuple[str, str], list[Row]] = {}
    for row in table.rows:
        if row.kind == "member":
            rows.setdefault((row.recipe, row.key), []).append(row)
    used = {place: [r for r in found if r.trusted] or found for place, found in rows.items()}
    return {
        place: standing_of(found)
        for place, found in used.items()
        if len({row.protocol for row in found}) == 1
    }


def report_json(study: Study) -> dict[str, Any]:
    """Verdict and table for programs: what the page says, as JSON values."""
    verdict, table = verdict_of(study), table_of(study)
    return {
        "schema": 1,
        "verdict": None if verdict is None else verdict.to_json(),
        "table": {
            "rows": [dict(vars(row)) for row in table.rows],
            "members": [dict(vars(member)) for member in table.members],
            "baselines": dict(table.baselines),
            "data": dict(table.data),
            "budget": dict(table.budget),
        },
    }
