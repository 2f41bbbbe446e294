"""A quick study: tiny recipes, and of the rooms above the engine only what a test is about."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from diptych.evaluation.extractors import choose
from diptych.evaluation.extractors.classifier import train_classifier
from diptych.recipes import Recipe, load_recipe
from diptych.study import measured, stages
from diptych.study import study as study_room
from diptych.study.watching import Watcher


@pytest.fixture
def quick_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "train_classifier", partial(train_classifier, steps=15))


@pytest.fixture
def engine_only(quick_classifier: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Baselines, evidence, verdict and page have tests of their own and take their time."""

    def evidence(run: Any, data: Any, **_: Any) -> Path:
        path = run.directory / "page" / "evidence.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        return path

    def page(directory: Path, out: Path | None = None, format: str = "html") -> Path:
        path = out or directory / "report.html"
        path.write_text("<!doctype html>")
        return path

    class NoVerdict:
        headline = "none"

        def to_json(self) -> dict[str, Any]:
            return {"headline": self.headline}

    monkeypatch.setattr(stages, "measure_baselines", lambda *_, **__: [])
    monkeypatch.setattr(stages, "choose_queries", lambda *_: None)
    monkeypatch.setattr(study_room, "judge", lambda table: NoVerdict())
    monkeypatch.setattr(study_room, "write_report", page)
    monkeypatch.setattr(measured, "write_evidence", evidence)


@pytest.fixture
def recipes(tiny_recipe: Callable[[str], dict[str, Any]]) -> list[Recipe]:
    """A tiny VAE and a tiny GAN."""
    return [load_recipe(tiny_recipe("vae")), load_recipe(tiny_recipe("gan"))]


class Told(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.begun: list[str] = []

    def say(self, sentence: str) -> None:
        self.lines.append(sentence)

    def begin(self, member: str) -> None:
        self.begun.append(member)


@pytest.fixture
def told() -> Told:
    return Told()


def _settled(directory: Path) -> dict[str, Any]:
    results = json.loads((directory / "study.json").read_text())
    for key in ("created", "command", "machine"):
        results.pop(key)
    for member in results["members"]:
        for key in ("train_seconds", "images_per_second", "evaluation_seconds"):
            member.pop(key, None)
    return results


@pytest.fixture
def settled() -> Callable[[Path], dict[str, Any]]:
    """study.json without what differs from one afternoon to the next: times."""
    return _settled
