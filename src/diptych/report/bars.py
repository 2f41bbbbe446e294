"""Evidence as strips of dots: one strip per metric, one row per recipe, drawn as inline SVG.

A dot is the mean over seeds, the line through it its interval, the small ticks single seeds. The
floor is a line through all rows; baselines stand in rows of their own. Positions are in per cent
of the strip's width, so that a strip needs no script, prints, and keeps its text legible on any
screen.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from diptych.report.panels import Panel
from diptych.report.reading import Baseline, Figure
from diptych.report.words import ABSENT, ARROWS, decimals_for, number
from diptych.study.verdict.words import Comparison, Standing

__all__ = ["Scale", "Strip", "StripRow", "strip_of"]

EDGE = 3.0
"""Per cent of the width left free at both ends."""
LOG_FROM = 15
"""Largest over smallest value from which on a strip is drawn on a logarithmic scale."""


@dataclass(frozen=True)
class Scale:
    """From values to per cent of the width; what lies beyond is put at the edge."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, needed: Iterable[float], wanted: Iterable[float] = ()) -> "Scale":
        """A scale that holds all of `needed`, and of `wanted` what is not too far away.

        It is logarithmic where all are above nought and far apart.
        """
        inner = list(needed)
        every = [*inner, *wanted]
        if min(every) > 0 and max(every) / min(every) > LOG_FROM:
            return cls(min(every), max(every), log=True)
        low, high = min(inner), max(inner)
        room = 1.5 * (high - low)
        near = [value for value in every if low - room <= value <= high + room]
        return cls(min(near), max(near))

    def place(self, value: float) -> float:
        """Where a value stands, in per cent from the left."""
        if self.high <= self.low:
            return 50.0
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        return round(EDGE + (100 - 2 * EDGE) * (at - low) / (high - low), 2)

    def beyond(self, value: float) -> str:
        """An arrow where the value had to be put at the edge, else nothing."""
        return "←" if value < self.low else "→" if value > self.high else ""


@dataclass(frozen=True)
class StripRow:
    """One recipe or baseline on a strip; places in per cent, the rest as text."""

    title: str
    number: int
    text: str
    interval: str
    at: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: tuple[float, ...] = ()
    ahead: bool = False
    beyond: str = ""


@dataclass(frozen=True)
class Strip:
    """One metric over all recipes and baselines, ready to draw."""

    key: str
    name: str
    unit: str
    arrow: str
    direction: str
    primary: bool
    rows: tuple[StripRow, ...]
    floor: float | None
    floor_text: str
    ceiling: float | None
    ceiling_text: str
    log: bool
    remark: str
    protocol: str
    alt: str

    def middle(self, row: int) -> float:
        """How far below the top a row's dot stands, in per cent."""
        return round(100 * (row + 0.5) / len(self.rows), 2)


def strip_of(comparison: Comparison, panels: list[Panel], baselines: list[Baseline]) -> Strip:
    """Draw one comparison of the verdict.

    Rows keep the order of the panels, whoever is ahead, so that the eye finds a recipe at the
    same place in every strip.
    """
    by_recipe = {standing.recipe: standing for standing in comparison.standings}
    others = [(b, f) for b in baselines for f in b.figures if f.key == comparison.key]
    figures = [f for panel in panels for _, f in panel.figures(comparison.key)]
    ceilings = [f.ceiling for f in figures if f.ceiling is not None]
    ceiling = sum(ceilings) / len(ceilings) if ceilings else None
    seen = [v for s in by_recipe.values() for v in (s.mean, s.low, s.high, *s.seeds)]
    needed = [v for v in (*seen, comparison.floor) if v is not None and math.isfinite(v)]
    wanted = [f.value for _, f in others if f.value is not None]
    wanted += [] if ceiling is None else [ceiling]
    scale = Scale.around(needed or wanted or [0.0], wanted)
    decimals = _decimals([*(s.mean for s in by_recipe.values()), comparison.floor, *wanted], seen)
    rows = [_row(panel, by_recipe.get(panel.recipe), comparison, scale, decimals)
            for panel in panels]  # fmt: skip
    rows += [_baseline_row(baseline, figure, scale, decimals) for baseline, figure in others]
    arrow, direction = ARROWS.get(comparison.better, ("", ""))
    floor = comparison.floor
    return Strip(
        key=comparison.key,
        name=comparison.name,
        unit=comparison.unit,
        arrow=arrow,
        direction=direction,
        primary=comparison.primary,
        rows=tuple(rows),
        floor=None if floor is None else scale.place(floor),
        floor_text="" if floor is None else number(floor, decimals),
        ceiling=None if ceiling is None or scale.beyond(ceiling) else scale.place(ceiling),
        ceiling_text="" if ceiling is None else number(ceiling, decimals),
        log=scale.log,
        remark=_remark(comparison),
        protocol=" · ".join(dict.fromkeys(f.protocol for f in figures if f.protocol)),
        alt=_alt(comparison, rows, "" if floor is None else number(floor, decimals), direction),
    )


def _decimals(values: list[float | None], every: list[float | None]) -> int:
    known = [value for value in (*values, *every) if value is not None]
    counts = all(value == round(value) for value in known if math.isfinite(value))
    return 0 if counts else decimals_for(values)


def _row(
    panel: Panel, standing: Standing | None, comparison: Comparison, scale: Scale, decimals: int
) -> StripRow:
    if standing is None or not math.isfinite(standing.mean):
        return StripRow(panel.title, panel.number, ABSENT, "")
    known = standing.low is not None and standing.high is not None
    ends = [number(standing.low, decimals), number(standing.high, decimals)]
    return StripRow(
        title=panel.title,
        number=panel.number,
        text=number(standing.mean, decimals),
        interval=" … ".join(ends) if known else "",
        at=scale.place(standing.mean),
        low=None if standing.low is None else scale.place(standing.low),
        high=None if standing.high is None else scale.place(standing.high),
        seeds=tuple(scale.place(value) for value in standing.seeds) if len(standing.seeds) > 1
        else (),
        ahead=comparison.winner == standing.recipe,
    )  # fmt: skip


def _baseline_row(baseline: Baseline, figure: Figure, scale: Scale, decimals: int) -> StripRow:
    title = baseline.title or baseline.name
    if figure.value is None:
        return StripRow(title, 0, ABSENT, "")
    return StripRow(
        title=title,
        number=0,
        text=number(figure.value, decimals),
        interval="",
        at=scale.place(figure.value),
        beyond=scale.beyond(figure.value),
    )


def _remark(comparison: Comparison) -> str:
    parts = [comparison.why_not.rstrip(".")] if comparison.why_not else []
    if comparison.winner is not None and comparison.effect is not None:
        parts.append(
            f"the best two differ by {number(abs(comparison.effect), 1)} standard deviations over "
            "seeds (Hedges' g)"
        )
    sentence = "; ".join(parts)
    return sentence[:1].upper() + sentence[1:] + "." if sentence else ""


def _alt(comparison: Comparison, rows: list[StripRow], floor: str, direction: str) -> str:
    said = [f"{row.title} {row.text}" + (f" ({row.interval})" if row.interval else "")
            for row in rows]  # fmt: skip
    end = f"; floor {floor}" if floor else ""
    return f"{comparison.name}, {direction}: {', '.join(said)}{end}."
