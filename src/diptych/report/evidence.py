"""What stands below each answer of the verdict: strips of dots, and the pictures behind them."""

from dataclasses import dataclass

from diptych.report.bars import Strip, strip_of
from diptych.report.panels import Panel
from diptych.report.pictures import Album, Picture
from diptych.report.reading import Evidence, Study, read_evidence
from diptych.report.words import number
from diptych.study.verdict.words import Answer

__all__ = ["ClassTable", "Copied", "Exhibit", "Question", "questions_of"]

LIGHT = 60_000
"""Bytes above which a picture shown a second time, smaller, is compressed."""
MOST_CLASSES = 20


@dataclass(frozen=True)
class Exhibit:
    """One picture with what it shows; `number` is 0 for real data and baselines."""

    title: str
    number: int
    picture: Picture
    alt: str
    sentence: str = ""


@dataclass(frozen=True)
class Copied:
    """The copy check of one recipe: three rows of pictures and two distances per column."""

    title: str
    number: int
    picture: Picture
    alt: str
    sentence: str
    distance: str
    distances: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ClassTable:
    """Per class: what is real, and what each recipe has of it, as shares in per cent.

    Attributes:
        heads: title and colour number of each recipe.
        rows: name, the real share or None, and one share or None per recipe.
        top: the share at the right end of a bar.
        sentence: what the bars are.
        left_out: how many classes are not shown.
    """

    heads: tuple[tuple[str, int], ...]
    rows: tuple[tuple[str, float | None, tuple[float | None, ...]], ...]
    top: float
    sentence: str
    left_out: int


@dataclass(frozen=True)
class Question:
    """One answer with its evidence."""

    answer: Answer
    pick: Panel | None
    primary: tuple[Strip, ...]
    others: tuple[Strip, ...]
    exhibits: tuple[Exhibit, ...] = ()
    missing: tuple[Exhibit, ...] = ()
    copies: tuple[Copied, ...] = ()
    classes: ClassTable | None = None

    @property
    def opens(self) -> bool:
        """Whether there is anything behind the first strips."""
        return bool(self.others or self.exhibits or self.missing or self.copies or self.classes)


def questions_of(
    study: Study,
    answers: tuple[Answer, ...],
    panels: list[Panel],
    album: Album,
    *,
    pictured: list[Panel] | None = None,
) -> list[Question]:
    """Every answer of the verdict with its strips of all panels, and pictures of those pictured.

    Args:
        study: that was judged.
        answers: of its verdict.
        panels: the recipes.
        album: where pictures are read.
        pictured: the panels whose pictures are shown; all if not given.
    """
    pictured = panels if pictured is None else pictured
    found = [(panel, read_evidence(album.directory, panel.shown)) for panel in pictured]
    questions = []
    for answer in answers:
        strips = [strip_of(c, panels, study.baselines) for c in answer.comparisons]
        primary = tuple(s for s in strips if s.primary) or tuple(strips[:2])
        questions.append(
            Question(
                answer=answer,
                pick=next((p for p in panels if p.recipe == answer.best), None),
                primary=primary,
                others=tuple(s for s in strips if s not in primary),
                exhibits=_exhibits(answer.key, study, pictured, album),
                missing=_missing(found, album) if answer.key == "coverage" else (),
                copies=_copies(found, album) if answer.key == "copies" else (),
                classes=_classes(answer.key, found),
            )
        )
    return questions


def _exhibits(key: str, study: Study, panels: list[Panel], album: Album) -> tuple[Exhibit, ...]:
    """Pictures to hold against each other: samples for realism, a few enlarged for blur."""
    corner = {"realism": 3, "blur": 2}.get(key)
    if corner is None or album.cell is None:
        return ()
    named = [(panel.title, panel.number, panel.shown.pictures.get("samples")) for panel in panels]
    named.insert(0, ("Real", 0, study.real))
    if key == "realism":
        named += [(b.title or b.name, 0, b.pictures.get("samples")) for b in study.baselines]
    exhibits = []
    for title, place, relative in named:
        picture = album.picture(relative, corner=corner, heavy=LIGHT)
        if picture is not None:
            of = "Real pictures" if title == "Real" else f"Samples of {title}"
            alt = f"{of}, {'enlarged' if key == 'blur' else 'the first few'}"
            exhibits.append(Exhibit(title, place, picture, alt))
    return tuple(exhibits) if len(exhibits) > 1 else ()


def _missing(found: list[tuple[Panel, Evidence]], album: Album) -> tuple[Exhibit, ...]:
    exhibits = []
    for panel, evidence in found:
        if evidence.missing is None:
            continue
        picture = album.picture(evidence.missing.picture)
        if picture is not None:
            alt = f"Held-out images that no sample of {panel.title} is near to"
            sentence = evidence.missing.sentence
            exhibits.append(Exhibit(panel.title, panel.number, picture, alt, sentence))
    return tuple(exhibits)


def _copies(found: list[tuple[Panel, Evidence]], album: Album) -> tuple[Copied, ...]:
    copies = []
    for panel, evidence in found:
        if evidence.copies is None:
            continue
        picture = album.picture(evidence.copies.picture)
        if picture is None:
            continue
        columns = picture.grid.columns if picture.grid else 0
        pairs = evidence.copies.distances[:columns]
        values = [value for pair in pairs for value in pair if value is not None]
        decimals = 2 if not values or max(map(abs, values)) < 10 else 1
        copies.append(
            Copied(
                title=panel.title,
                number=panel.number,
                picture=picture,
                alt=f"Samples of {panel.title} above, below each the nearest training image, "
                "and below that the nearest held-out image",
                sentence=evidence.copies.sentence,
                distance=evidence.copies.distance,
                distances=tuple((number(a, decimals), number(b, decimals)) for a, b in pairs),
            )
        )
    return tuple(copies)


def _classes(key: str, found: list[tuple[Panel, Evidence]]) -> ClassTable | None:
    """Shares of samples per class for collapse, how much of each is covered for coverage."""
    if key not in ("collapse", "coverage"):
        return None
    known = [(panel, e.classes) for panel, e in found if e.classes is not None]
    if not known:
        return None
    names = list(dict.fromkeys(name for _, shares in known for name in shares.names))
    rows = []
    for name in names:
        real: float | None = None
        values: list[float | None] = []
        for _, shares in known:
            of = shares.coverage if key == "coverage" else shares.samples
            values.append(_of_class(name, shares.names, of))
            if key == "collapse" and real is None:
                real = _of_class(name, shares.names, shares.real)
        rows.append((name, real, tuple(values)))
    if all(value is None for _, _, values in rows for value in values):
        return None
    rows = [row for row in rows if any(value is not None for value in row[2])]
    shown = rows
    if len(rows) > MOST_CLASSES:  # the classes that fare worst with anyone tell most
        worst = sorted(rows, key=lambda row: min(v for v in row[2] if v is not None))
        shown = worst[:MOST_CLASSES]
    top = max([v for _, real, vs in shown for v in (real, *vs) if v is not None] + [1e-9])
    return ClassTable(
        heads=tuple((panel.title, panel.number) for panel, _ in known),
        rows=tuple(shown),
        top=1.0 if key == "coverage" else top,
        sentence=(
            "Of the real images of each class, the share that has a sample near."
            if key == "coverage"
            else "The share of samples that falls into each class; the line is the share of "
            "real images."
        ),
        left_out=len(rows) - len(shown),
    )


def _of_class(name: str, names: list[str], values: list[float | None]) -> float | None:
    place = names.index(name) if name in names else len(values)
    value = values[place] if place < len(values) else None
    return None if value is None else min(max(value, 0.0), 1.0)
