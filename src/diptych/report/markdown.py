"""The verdict as Markdown: what a person pastes into an issue or a pull request."""

import re

from diptych.report import facts, words
from diptych.report.judging import standings_of, table_of, verdict_of
from diptych.report.panels import Panel, panels_of
from diptych.report.reading import Study
from diptych.report.tables import FigureTable, Row, cost_rows, figure_tables
from diptych.study.verdict import Verdict

__all__ = ["markdown"]

SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def markdown(study: Study) -> str:
    """The whole report: verdict, answers, uses, folklore, key figures, cost, how to repeat it."""
    panels = panels_of(study)
    verdict = verdict_of(study)
    subject = words.subject(study, [panel.title for panel in panels])
    parts = [f"# {_safe(verdict.headline if verdict else subject)}"]
    if verdict is None:
        parts.append("Nothing was measured yet, so there is no verdict.")
    else:
        parts += [_safe(verdict.standfirst)] if verdict.standfirst else []
        parts += [f"*{_safe(subject)}. {_safe(words.conditions(study))}*"]
        parts += _verdict(verdict, words.names_in(study))
    parts += [f"> {_safe(sentence)}" for sentence in facts.failures(panels)]
    if verdict is not None:
        parts += _figures(study, panels, verdict)
    parts += _cost(study, panels)
    parts += _repeat(study)
    return "\n\n".join(parts) + "\n"


def _safe(text: str) -> str:
    """Words of a study as words: nothing in them is markup, a link, HTML or a new line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("@", "@\N{ZERO WIDTH SPACE}")


def _table(head: list[str], rows: list[list[str]], right: int = 1) -> str:
    """A table whose columns from number `right` on are set to the right."""
    rule = ["---" if i < right else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


def _verdict(verdict: Verdict, names: list[str]) -> list[str]:
    parts = ["## The verdict"]
    parts.append(
        _table(
            ["Question", "Answer", ""],
            [
                [
                    _safe(a.question),
                    _state(verdict, a.state, a.best),
                    _safe(words.brief(a.sentence, names=names)),
                ]
                for a in verdict.answers
            ],
            right=3,
        )
    )
    if verdict.recommendations:
        parts.append("## Which to take")
        parts.append(
            "\n".join(
                f"- **{_safe(r.use)}**: "
                f"{'**' + _title(verdict, r.pick) + '**' if r.pick else 'no pick'}. "
                f"{_safe(r.because)}"
                + (f" What would change it: {_safe(r.would_change)}" if r.would_change else "")
                for r in verdict.recommendations
            )
        )
    if verdict.folklore:
        parts.append("## What people say")
        parts.append(
            "\n".join(
                f"- “{_safe(f.claim)}” **{f.state}** on these data. {_safe(f.sentence)}"
                for f in verdict.folklore
            )
        )
    return parts


def _state(verdict: Verdict, state: str, best: str | None) -> str:
    word = words.STATES.get(state, state)
    return f"{word}: **{_title(verdict, best)}**" if best else word


def _title(verdict: Verdict, recipe: str | None) -> str:
    return _safe(verdict.titles.get(recipe or "", recipe or ""))


def _figures(study: Study, panels: list[Panel], verdict: Verdict) -> list[str]:
    """The figures that answers hang on; the rest is on the page and in results.csv."""
    comparisons = {c.key: c for answer in verdict.answers for c in answer.comparisons}
    keys = {key for key, comparison in comparisons.items() if comparison.primary}
    tables: list[FigureTable] = figure_tables(
        panels, study.baselines, comparisons, standings_of(table_of(study))
    )
    rows = [row for table in tables for row in table.rows if row.key in keys]
    if not rows:
        return []
    names = [*(p.title for p in panels), *(b.title or b.name for b in study.baselines)]
    head = ["Figure", *(_safe(name) for name in names), "Floor"]
    return [
        "## Key figures",
        "Mean over seeds with its 95 % interval; bold where the verdict says who is ahead.",
        _table(head, [_figure(row) for row in rows]),
    ]


def _figure(row: Row) -> list[str]:
    unit = f", {row.unit}" if row.unit else ""
    cells = []
    for cell in row.cells:
        text = f"**{cell.text}**" if cell.better else cell.text
        cells.append(f"{text} ({cell.interval})" if cell.interval else text)
    return [_safe(f"{row.name}{unit} ({row.direction})"), *cells, row.floor]


def _cost(study: Study, panels: list[Panel]) -> list[str]:
    if not panels:
        return []
    head = ["", *(_safe(panel.title) for panel in panels)]
    rows = [
        [_safe(f"{name}, {remark}" if remark else name), *(amount.text for amount in amounts)]
        for name, remark, amounts in cost_rows(panels)
    ]
    equal = words.budget_sentence(study, panels)
    return ["## What it cost", *([_safe(equal)] if equal else []), _table(head, rows)]


def _repeat(study: Study) -> list[str]:
    parts = ["## How to repeat it"]
    if study.command:
        command = " ".join(study.command.split())
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", command)), default=0))
        parts.append(f"{fence}\n{command}\n{fence}")
    lines = []
    if study.diptych:
        lines.append(f"Diptych {_safe(study.diptych)}")
    if study.seeds:
        lines.append(f"seeds {', '.join(map(str, study.seeds))}")
    lines += [f"{_safe(str(name).replace('_', ' '))} {_safe(str(value))}"
              for name, value in study.machine.items() if value is not None]  # fmt: skip
    lines.append(f"data {_safe(study.data.name)}")
    if study.data.fingerprint:
        lines.append(f"fingerprint of the data {_safe(study.data.fingerprint)}")
    lines += [f"features {_safe(name)} {_safe(weights)}"
              for name, weights in facts.extractors(study)]  # fmt: skip
    parts.append("\n".join(f"- {line}" for line in lines))
    return parts
