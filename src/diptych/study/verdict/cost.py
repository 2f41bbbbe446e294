"""What each recipe used, as statements: no race."""

from collections.abc import Callable, Iterable

from diptych.study.verdict.case import Case
from diptych.study.verdict.rules import QUESTIONS
from diptych.study.verdict.wording import count, join, plural, time
from diptych.study.verdict.words import Answer

__all__ = ["cost"]


def cost(case: Case) -> Answer:
    """What each recipe used; statements, no race."""
    told: dict[str, Callable[[float], str]] = {
        "train_seconds": lambda v: f"{time(v)} of training",
        "images_seen": lambda v: f"{count(v)} {case.things} seen",
        "images_per_second": lambda v: f"{count(v)} {case.things} per second",
        "parameters": lambda v: f"{count(v)} parameters",
        "evaluation_seconds": lambda v: f"{time(v)} of measuring, not charged",
    }
    sentences = []
    for recipe in case.judged:
        members = case.finished(recipe)
        parts = [
            said(mean)
            for name, said in told.items()
            if (mean := _mean(getattr(member, name) for member in members)) is not None
        ]
        if parts:
            seeds = f" (means of {plural(len(members), 'seed')})" if len(members) > 1 else ""
            sentences.append(f"{case.at_start(recipe)}: {', '.join(parts)}{seeds}.")
    if not sentences:
        return Answer(
            "cost", QUESTIONS["cost"], "not measured", None, "Not measured: no run finished."
        )
    return Answer("cost", QUESTIONS["cost"], "clear", None, join(*sentences, _faster(case)))


def _faster(case: Case) -> str:
    """How many times as many items the fastest saw in its time."""
    speeds = {
        recipe: speed
        for recipe in case.judged
        if (speed := _mean(m.images_per_second for m in case.finished(recipe)))
    }
    if len(speeds) < 2:
        return ""
    fast, slow = max(speeds, key=speeds.__getitem__), min(speeds, key=speeds.__getitem__)
    times = speeds[fast] / speeds[slow]
    if times < 1.1:
        return "All train about equally fast."
    return f"{case.at_start(fast)} trains {times:.1f} times as fast as {case.the(slow)}."


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
