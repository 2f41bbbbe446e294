"""How it was done: extractors, searches and failures, brought into the order of the page."""

import json
from dataclasses import dataclass
from typing import Any

from diptych.report.bars import Scale
from diptych.report.panels import Panel
from diptych.report.reading import Search, Study
from diptych.report.words import ABSENT, cause, decimals_for, duration, number, trouble, whole

__all__ = ["SearchView", "TrialRow", "extractors", "failures", "protocols", "recipes", "searches"]


@dataclass(frozen=True)
class TrialRow:
    """One trial as the page prints it; `at` is its place on the strip in per cent."""

    number: int
    status: str
    settings: tuple[str, ...]
    value: str
    seconds: str
    images: str
    reason: str
    chosen: bool
    at: float | None


@dataclass(frozen=True)
class SearchView:
    """The search of one recipe."""

    title: str
    metric: str
    split: str
    space: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    trials: tuple[TrialRow, ...]
    alt: str


def extractors(study: Study) -> list[tuple[str, str]]:
    """Every feature extractor that measured, and the hash of its weights (or what it has)."""
    found: dict[tuple[str, str], None] = {}
    for parts in study.protocols.values():
        features = parts.get("features")
        if isinstance(features, dict) and isinstance(features.get("extractor"), str):
            weights = features.get("weights") or features.get("sha256") or "no weights"
            found[features["extractor"], str(weights)] = None
    return list(found)


def protocols(study: Study) -> list[tuple[str, str]]:
    """The parts of every protocol as indented text, by fingerprint."""
    return [(name, _text(parts)) for name, parts in sorted(study.protocols.items())]


def recipes(study: Study) -> list[tuple[str, str]]:
    """The resolved recipes as indented text, by name."""
    resolved = study.settings.get("recipes")
    if not isinstance(resolved, dict):
        return []
    return [(str(name), parts if isinstance(parts, str) else _text(parts))
            for name, parts in resolved.items()]  # fmt: skip


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def failures(panels: list[Panel]) -> list[str]:
    """One sentence about every member that did not finish."""
    said = [trouble(member, seeds=len(p.members)) for p in panels for member in p.members]
    return [sentence for sentence in said if sentence]


def searches(study: Study) -> list[SearchView]:
    """Every search with its space and all its trials."""
    return [_search(search) for search in study.search]


def _search(search: Search) -> SearchView:
    values = [trial.value for trial in search.trials]
    known = [value for value in values if value is not None]
    decimals = decimals_for(values)
    scale = Scale.around(known) if known else None
    columns = tuple(dict.fromkeys(key for trial in search.trials for key in trial.settings))
    rows = tuple(
        TrialRow(
            number=trial.number,
            status=trial.status,
            settings=tuple(_setting(trial.settings.get(key)) for key in columns),
            value=number(trial.value, decimals),
            seconds=duration(trial.seconds),
            images=whole(trial.images_seen),
            reason=cause(trial.reason),
            chosen=trial.number == search.chosen,
            at=None if trial.value is None or scale is None else scale.place(trial.value),
        )
        for trial in search.trials
    )
    return SearchView(
        title=search.title or search.recipe,
        metric=search.metric,
        split=search.split,
        space=tuple((key, _range(of)) for key, of in search.space.items()),
        columns=columns,
        trials=rows,
        alt=f"{search.metric} of {len(known)} trials, from "
        f"{number(min(known, default=None), decimals)} to "
        f"{number(max(known, default=None), decimals)}",
    )


def _setting(value: Any) -> str:
    if value is None:
        return ABSENT
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _range(of: dict[str, Any]) -> str:
    if isinstance(of.get("choices"), list):
        return "one of " + ", ".join(_setting(choice) for choice in of["choices"])
    remarks = [word for key, word in (("integer", "whole numbers"), ("log", "log scale"))
               if of.get(key)]  # fmt: skip
    ends = f"{_setting(of.get('low'))} … {_setting(of.get('high'))}"
    return f"{ends} ({', '.join(remarks)})" if remarks else ends
