"""What the page reads: `study.json` and each member's `metrics.jsonl`.

A study may have been interrupted, a member may have diverged, and the files may be edited by hand,
so every field but the names has a default and what is absent is shown on the page as absent. Only
a directory that is no study at all is an error.
"""

import json
import math
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from diptych.errors import RunError

__all__ = ["Data", "Figure", "Member", "Study", "read_metrics", "read_study", "safe_path"]

SCHEMA = 1


class _Part(BaseModel):
    """One object of `study.json`: frozen, and deaf to keys that a later version adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Figure(_Part):
    """One measured figure of one member, with the same figure for real against real beside it."""

    name: str
    value: float | None = None
    unit: str = ""
    better: Literal["lower", "higher", "closer"] = "lower"
    floor: float | None = None
    n_real: int | None = None
    n_fake: int | None = None
    protocol: str = ""
    note: str = ""
    panel: str = ""
    low: float | None = None
    high: float | None = None
    trusted: bool = True

    @field_validator("value", "floor", "low", "high")
    @classmethod
    def _finite_or_nothing(cls, number: float | None) -> float | None:
        """A figure that is NaN or infinite was not measured."""
        return number if number is not None and math.isfinite(number) else None


class Member(_Part):
    """One recipe trained under the budget, with what it cost and what was measured."""

    recipe: str
    title: str
    family: str = ""
    status: str = "finished"
    reason: str = ""
    directory: str = ""
    parameters: dict[str, int] = Field(default_factory=dict)
    images_seen: int | None = None
    steps: int | None = None
    train_seconds: float | None = None
    evaluation_seconds: float | None = None
    images_per_second: float | None = None
    turns: list[str] = Field(default_factory=list)
    figures: list[Figure] = Field(default_factory=list)
    pictures: dict[str, str | None] = Field(default_factory=dict)
    reconstruction_sentence: str = ""


class Data(_Part):
    """What all were trained on; `shape` is (channels, height, width), or (D,) for points."""

    name: str
    kind: str = "images"
    shape: tuple[int, ...] = ()
    count: int | None = None
    splits: dict[str, int] = Field(default_factory=dict)
    classes: dict[str, int] = Field(default_factory=dict)
    fingerprint: str = ""
    notes: list[str] = Field(default_factory=list)

    @property
    def cell(self) -> tuple[int, int] | None:
        """Height and width of one picture in pixels; None where the pictures are scatter plots."""
        if self.kind == "images" and len(self.shape) == 3:
            return self.shape[1], self.shape[2]
        return None


class Budget(_Part):
    """What each member was allowed: minutes of training, or images seen."""

    minutes: float | None = None
    images: int | None = None


class Features(_Part):
    """Which features the distances are measured on, and what they are not."""

    name: str = ""
    accuracy: float | None = None
    sentence: str = ""


class Study(_Part):
    """The whole of `study.json`."""

    schema_: int = Field(alias="schema")
    diptych: str = ""
    command: str = ""
    created: str = ""
    data: Data
    budget: Budget = Budget()
    seed: int | None = None
    machine: dict[str, Any] = Field(default_factory=dict)
    features: Features | None = None
    real: str | None = None
    members: list[Member] = Field(default_factory=list)


def read_study(directory: Path) -> Study:
    """Read `study.json` of a study directory.

    Raises:
        RunError: the file is missing, is not JSON, is not a study, or was written by a Diptych
            with a newer schema; the sentence names the file and the first thing wrong in it.
    """
    path = directory / "study.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{directory} is not a study: it has no study.json; "
            "give the directory that `diptych compare` wrote."
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error
    if isinstance(content, dict) and content.get("schema") not in (None, SCHEMA):
        raise RunError(
            f"{path} has schema {content['schema']!r}, and this Diptych reads schema {SCHEMA}; "
            "use the Diptych that wrote it, or compare again."
        )
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top level"
        raise RunError(f"{path} is not a study: at {where}, {first['msg'].lower()}.") from None


def safe_path(directory: Path, relative: str | None) -> Path | None:
    """The file that a study names, or None if it is absent or lies outside the study.

    A page is handed to other people, so a study must not be able to name `../../private.png`
    and have it inlined.
    """
    if not relative:
        return None
    root = directory.resolve()
    path = (root / relative).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None


def read_metrics(path: Path | None) -> list[dict[str, float | None]]:
    """The rows of a `metrics.jsonl`: numbers by name, None where one is NaN or infinite.

    A last line cut short by an interruption is left out, as is anything that is no number.
    """
    if path is None:
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append({name: _number(value) for name, value in row.items() if _scalar(value)})
    return rows


def _scalar(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _number(value: int | float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
