"""Training as it happened: the kept sample grids of every recipe, by part of the budget."""

from bisect import bisect_right
from dataclasses import dataclass

from diptych.report.charts import Rows
from diptych.report.panels import Panel
from diptych.report.pictures import Album, Picture
from diptych.report.reading import Study

__all__ = ["Film", "Frame", "films_of", "moments"]


@dataclass(frozen=True)
class Frame:
    """One kept grid: `at` per cent of the budget, after so many images and minutes."""

    at: int
    images: int
    minutes: float | None
    picture: Picture


@dataclass(frozen=True)
class Film:
    """The frames of one recipe's shown seed, in order."""

    panel: Panel
    frames: tuple[Frame, ...]


def films_of(study: Study, panels: list[Panel], logs: list[Rows], album: Album) -> list[Film]:
    """The films of all recipes that kept any frames.

    Args:
        study: for its budget, in whose parts frames are placed.
        panels: the recipes.
        logs: what `read_metrics` gave for the shown member of each.
        album: where the pictures are read.
    """
    films = []
    for panel, rows in zip(panels, logs, strict=True):
        if not panel.shown.directory:
            continue
        found = album.frames(panel.shown.directory)
        last = found[-1][0] if found else 0
        frames = []
        for images, picture in found:
            seconds = _seconds_at(rows, images)
            if seconds is None and images == last:
                seconds = panel.shown.train_seconds
            part = _part(study, panel, images, seconds)
            minutes = None if seconds is None else seconds / 60
            frames.append(Frame(min(100, round(100 * part)), images, minutes, picture))
        if frames:
            films.append(Film(panel, tuple(frames)))
    return films


def moments(films: list[Film]) -> list[int]:
    """Every per cent of the budget at which any film has a frame, in order."""
    return sorted({frame.at for film in films for frame in film.frames})


def _part(study: Study, panel: Panel, images: int, seconds: float | None) -> float:
    """How much of the budget was spent; of what was seen at the end where it is not known."""
    budget = study.budget
    if budget.equal != "images" and budget.minutes and seconds is not None:
        return seconds / (60 * budget.minutes)
    return images / max(1, budget.images or panel.shown.images_seen or images)


def _seconds_at(rows: Rows, images: int) -> float | None:
    """Seconds of training when so many images were seen, between the logged rows around it."""
    moments = [(row.get("images"), row.get("seconds")) for row in rows]
    points = [(i, s) for i, s in moments if i is not None and s is not None]
    if not points or images > 1.02 * points[-1][0]:
        return None
    points.insert(0, (0.0, 0.0))
    place = min(bisect_right(points, (float(images), float("inf"))), len(points) - 1)
    (i0, s0), (i1, s1) = points[place - 1], points[place]
    return s0 + (s1 - s0) * (images - i0) / (i1 - i0) if i1 > i0 else s1
