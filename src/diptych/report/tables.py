"""The tables of the page, made from the study: figures with their floors, and what it cost."""

from dataclasses import dataclass

from diptych.report.reading import Figure, Member
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

__all__ = ["PANEL_TITLES", "Cell", "Row", "cost_rows", "figure_rows"]

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
    """One member's value in a row; `floor` only where the members' floors differ."""

    text: str
    floor: str = ""
    interval: str = ""
    trusted: bool = True
    better: bool = False
    absent: bool = False


@dataclass(frozen=True)
class Row:
    """One figure for all members, ready to print."""

    panel: str
    name: str
    unit: str
    arrow: str
    direction: str
    floor: str
    cells: list[Cell]
    counts: str
    protocol: str
    notes: list[str]


def figure_rows(members: list[Member]) -> list[Row]:
    """One row per figure, panel by panel, each in the order in which members first name it."""
    names = dict.fromkeys(figure.name for member in members for figure in member.figures)
    rows = [_figure_row(name, members) for name in names]
    panels = list(dict.fromkeys(row.panel for row in rows))
    return sorted(rows, key=lambda row: panels.index(row.panel))


def _figure_row(name: str, members: list[Member]) -> Row:
    figures = [next((f for f in m.figures if f.name == name), None) for m in members]
    present = [figure for figure in figures if figure is not None]
    alike = len({figure.protocol for figure in present}) == 1
    values = [v for figure in present for v in (figure.value, figure.floor)]
    ends = [v for figure in present for v in (figure.low, figure.high)]
    counts = all(v == round(v) for v in [*values, *ends] if v is not None)
    decimals = 0 if counts else decimals_for(values)
    floors = [number(figure.floor, decimals) for figure in present]
    common = len(set(floors)) == 1
    best = _best(present) if alike else None
    cells = []
    for figure in figures:
        if figure is None:
            cells.append(Cell(ABSENT, absent=True))
            continue
        own = "" if common else number(figure.floor, decimals)
        text = number(figure.value, decimals)
        marked = best is not None and figure.value == best
        cells.append(
            Cell(
                text,
                floor=own,
                interval=_interval(figure, decimals),
                trusted=figure.trusted,
                better=marked,
                absent=figure.value is None,
            )
        )
    arrow, direction = ARROWS[present[0].better]
    notes = _notes(members, figures)
    if not alike:
        notes.append(NOT_ALIKE)
    return Row(
        panel=PANEL_TITLES.get(present[0].panel, ""),
        name=name,
        unit=present[0].unit,
        arrow=arrow,
        direction=direction,
        floor=floors[0] if common else "see each",
        cells=cells,
        counts=" · ".join(dict.fromkeys(c for f in present if (c := figure_counts(f)))) or ABSENT,
        protocol=" · ".join(dict.fromkeys(f.protocol for f in present if f.protocol)),
        notes=notes,
    )


def _notes(members: list[Member], figures: list[Figure | None]) -> list[str]:
    """Each note once, with whose it is unless it is everyone's."""
    owners: dict[str, list[str]] = {}
    for member, figure in zip(members, figures, strict=True):
        if figure is not None and figure.note:
            owners.setdefault(figure.note, []).append(member.title)
    return [
        note
        if len(titles) == len(members) > 1 or len(members) == 1
        else f"{listing(titles)}: {note}"
        for note, titles in owners.items()
    ]


def _interval(figure: Figure, decimals: int) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{number(figure.low, decimals)} … {number(figure.high, decimals)}"


def _best(figures: list[Figure]) -> float | None:
    """The better value of a row, or None where nothing was compared or the best are equal.

    Figures that are not to be trusted at their N are in no ranking, nor is what stands beside, nor
    are two whose intervals overlap.
    """
    if not all(figure.trusted for figure in figures):
        return None

    def badness(figure: Figure) -> float | None:
        if figure.value is None:
            return None
        if figure.better == "closer":
            return None if figure.floor is None else abs(figure.value - figure.floor)
        return figure.value if figure.better == "lower" else -figure.value

    ranked = sorted(
        (bad, figure.value) for figure in figures if (bad := badness(figure)) is not None
    )
    if len(ranked) < 2 or ranked[0][0] == ranked[1][0]:
        return None
    best, second = (
        next(figure for figure in figures if figure.value == value) for _, value in ranked[:2]
    )
    return None if _overlap(best, second) else best.value


def _overlap(first: Figure, second: Figure) -> bool:
    """Whether two intervals have a value in common; False where one of them is not known."""
    ends = (first.low, first.high, second.low, second.high)
    if any(end is None for end in ends):
        return False
    low, high, other_low, other_high = (float(end) for end in ends if end is not None)
    return low <= other_high and other_low <= high


def cost_rows(members: list[Member]) -> list[tuple[str, str, list[str]]]:
    """What each member has and took: (name, remark, a text for each member)."""
    rows: list[tuple[str, str, list[str]]] = []
    for part in dict.fromkeys(part for member in members for part in member.parameters):
        texts = [whole(m.parameters[part]) if part in m.parameters else ABSENT for m in members]
        rows.append((f"Parameters, {part}", "", texts))
    totals = [whole(sum(m.parameters.values())) if m.parameters else ABSENT for m in members]
    rows.append(("Parameters, all", "", totals))
    rows.append(
        ("Training", "charged to the budget", [duration(m.train_seconds) for m in members])
    )
    rows.append(
        ("Evaluation", "not charged", [duration(m.evaluation_seconds) for m in members]),
    )
    rows.append(("Images seen", "", [whole(m.images_seen) for m in members]))
    rows.append(("Steps", "", [whole(m.steps) for m in members]))
    rows.append(("Images per second", "while training", [_rate(m) for m in members]))
    return rows


def _rate(member: Member) -> str:
    rate = member.images_per_second
    return number(rate, decimals_for([rate]))
