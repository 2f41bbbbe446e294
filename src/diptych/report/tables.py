"""The tables of the page, made from the study: every figure with its floor, and what it cost."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from diptych.report.judging import Standings
from diptych.report.panels import Panel
from diptych.report.reading import Baseline, Figure, Member
from diptych.report.words import (
    ABSENT,
    ARROWS,
    decimals_for,
    duration,
    figure_counts,
    listing,
    number,
    whole,
)
from diptych.study.verdict.words import Comparison, Standing

__all__ = ["PANEL_TITLES", "Amount", "Cell", "FigureTable", "Row", "cost_rows", "figure_tables"]

PANEL_TITLES = {
    "fidelity": "Fidelity and coverage",
    "collapse": "Collapse",
    "blur": "Blur",
    "density": "Density",
    "latent": "Latent space",
    "reconstruction": "Reconstruction",
    "copies": "Copies",
    "factors": "Factors",
}
"""What people read above the figures of a panel, in the order in which panels are printed."""
NOT_ALIKE = "Measured under different protocols, so not ranked."


@dataclass(frozen=True)
class Cell:
    """One recipe's (or baseline's) value in a row; `floor` only where floors differ by recipe.

    The value is the mean over the seeds to be trusted; `trusted` is false where there is none.
    """

    text: str
    floor: str = ""
    interval: str = ""
    seeds: str = ""
    trusted: bool = True
    better: bool = False
    absent: bool = False


@dataclass(frozen=True)
class Row:
    """One figure for all recipes, ready to print; the cells of baselines follow."""

    key: str
    name: str
    unit: str
    arrow: str
    direction: str
    floor: str
    cells: list[Cell]
    counts: str
    protocol: str
    notes: list[str]


@dataclass(frozen=True)
class FigureTable:
    """All figures of one panel."""

    name: str
    title: str
    rows: list[Row]


def figure_tables(
    panels: list[Panel],
    baselines: list[Baseline],
    comparisons: Mapping[str, Comparison],
    standings: Standings,
) -> list[FigureTable]:
    """One table per panel of figures, each row in the order in which members first name it.

    Args:
        panels: the recipes.
        baselines: what stands beside them.
        comparisons: of the verdict, by key: who is ahead. A row marks nobody that it does not.
        standings: intervals over seeds.
    """
    first: dict[str, Figure] = {}
    for panel in panels:
        for member in panel.finished:
            for figure in member.figures:
                first.setdefault(figure.key, figure)
    by_panel: dict[str, list[Row]] = {name: [] for name in PANEL_TITLES}
    for key, figure in first.items():
        row = _figure_row(key, panels, baselines, comparisons.get(key), standings)
        by_panel.setdefault(figure.panel, []).append(row)
    return [
        FigureTable(name, PANEL_TITLES.get(name, name.capitalize() or "Figures"), rows)
        for name, rows in by_panel.items()
        if rows
    ]


def _figure_row(
    key: str,
    panels: list[Panel],
    baselines: list[Baseline],
    comparison: Comparison | None,
    standings: Standings,
) -> Row:
    found = [panel.figures(key) for panel in panels]
    present = [figure for pairs in found for _, figure in pairs]
    beside = [next((f for f in b.figures if f.key == key), None) for b in baselines]
    everyone = [*present, *(figure for figure in beside if figure is not None)]
    alike = len({figure.protocol for figure in everyone}) == 1
    used = [[p for p in pairs if p[1].trusted] or pairs for pairs in found]
    means = [_mean([f.value for _, f in pairs]) for pairs in used]
    floors = [_mean([f.floor for _, f in pairs]) for pairs in used if pairs]
    beside_values = [figure.value for figure in beside if figure is not None]
    singles = [v for f in everyone for v in (f.value, f.low, f.high, f.floor) if v is not None]
    over = [standings[panel.recipe, key] for panel in panels if (panel.recipe, key) in standings]
    singles += [v for s in over for v in (s.mean, s.low, s.high) if v is not None]
    counts = all(value == round(value) for value in singles)
    decimals = 0 if counts else decimals_for([*means, *floors, *beside_values])
    common = len({number(floor, decimals) for floor in floors}) <= 1
    cells = []
    for panel, pairs, mean, own_floors in zip(panels, found, means, used, strict=True):
        if not pairs:
            cells.append(Cell(ABSENT, absent=True))
            continue
        own = "" if common else number(_mean([f.floor for _, f in own_floors]), decimals)
        cells.append(
            Cell(
                text=number(mean, decimals),
                floor=own,
                interval=_interval(standings.get((panel.recipe, key)), decimals),
                seeds=_seeds(pairs, decimals),
                trusted=any(figure.trusted for _, figure in pairs),
                better=alike and comparison is not None and comparison.winner == panel.recipe,
                absent=mean is None,
            )
        )
    for figure in beside:
        value = figure.value if figure is not None else None
        cells.append(Cell(number(value, decimals), absent=value is None))
    arrow, direction = ARROWS[present[0].better]
    notes = _notes(panels, found)
    if not alike:
        notes.append(NOT_ALIKE)
    return Row(
        key=key,
        name=present[0].name,
        unit=present[0].unit,
        arrow=arrow,
        direction=direction,
        floor=number(floors[0], decimals) if common and floors else "see each",
        cells=cells,
        counts=" · ".join(dict.fromkeys(c for f in present if (c := figure_counts(f)))) or ABSENT,
        protocol=" · ".join(dict.fromkeys(f.protocol for f in everyone if f.protocol)),
        notes=notes,
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _interval(standing: Standing | None, decimals: int) -> str:
    if standing is None or standing.low is None or standing.high is None:
        return ""
    return f"{number(standing.low, decimals)} … {number(standing.high, decimals)}"


def _seeds(pairs: list[tuple[Member, Figure]], decimals: int) -> str:
    """The values of single seeds, where there are several; those not counted are marked."""
    if len(pairs) < 2:
        return ""
    some = any(figure.trusted for _, figure in pairs)
    return " · ".join(
        number(figure.value, decimals)
        + (f" (seed {member.seed} not trusted)" if some and not figure.trusted else "")
        for member, figure in pairs
    )


def _notes(panels: list[Panel], found: list[list[tuple[Member, Figure]]]) -> list[str]:
    """Each note once, with whose it is unless it is everyone's."""
    owners: dict[str, list[str]] = {}
    for panel, pairs in zip(panels, found, strict=True):
        for note in dict.fromkeys(figure.note for _, figure in pairs if figure.note):
            owners.setdefault(note, []).append(panel.title)
    return [
        note if len(titles) == len(panels) else f"{listing(titles)}: {note}"
        for note, titles in owners.items()
    ]


@dataclass(frozen=True)
class Amount:
    """What one recipe took, the mean over its seeds, and from where to where where they differ."""

    text: str
    spread: str = ""


def cost_rows(panels: list[Panel]) -> list[tuple[str, str, list[Amount]]]:
    """What each recipe has and took, per run: (name, remark, an amount for each recipe).

    Where seeds differ the mean stands with the smallest and the largest.
    """
    parts = dict.fromkeys(part for p in panels for m in p.members for part in m.parameters)
    rows: list[tuple[str, str, list[Amount]]] = []
    for part in parts:
        sizes = [next((m.parameters[part] for m in p.members if part in m.parameters), None)
                 for p in panels]  # fmt: skip
        rows.append((f"Parameters, {part}", "", [Amount(whole(size)) for size in sizes]))
    totals = [next((sum(m.parameters.values()) for m in p.members if m.parameters), None)
              for p in panels]  # fmt: skip
    rows.append(("Parameters, all", "", [Amount(whole(total)) for total in totals]))

    def over(get: Callable[[Member], float | None], write: Callable[[float], str]) -> list[Amount]:
        return [_over_seeds([get(m) for m in p.finished or p.members], write) for p in panels]

    rows.append(("Training", "charged to the budget", over(lambda m: m.train_seconds, duration)))
    rows.append(
        (
            "Measuring",
            "not charged; the first member pays for what all share",
            over(lambda m: m.evaluation_seconds, duration),
        )
    )
    rows.append(("Images seen", "", over(lambda m: m.images_seen, whole)))
    rows.append(("Steps", "", over(lambda m: m.steps, whole)))
    rows.append(
        ("Images per second", "while training", over(lambda m: m.images_per_second, _rate))
    )
    rows.append(("Members finished", "", [Amount(f"{len(p.finished)} of {len(p.members)}")
                                          for p in panels]))  # fmt: skip
    return rows


def _over_seeds(values: list[float | None], write: Callable[[float], str]) -> Amount:
    known = [value for value in values if value is not None]
    if not known:
        return Amount(ABSENT)
    mean, least, most = write(math.fsum(known) / len(known)), write(min(known)), write(max(known))
    return Amount(mean, "" if least == most else f"{least} … {most}")


def _rate(value: float) -> str:
    return number(value, decimals_for([value]))
