"""What the page reads: `study.json`, each member's `metrics.jsonl` and its `page/evidence.json`.

A study may have been interrupted, a member may have diverged, and the files may be edited by hand
or come from a stranger, so every field but the names has a default, sizes are bounded, nothing
outside the study is opened, and what is absent is shown on the page as absent. Only a directory
that is no study at all is an error.
"""

import json
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from diptych.errors import RunError

__all__ = [
    "REMEDY",
    "Baseline",
    "Copies",
    "Data",
    "Evidence",
    "Figure",
    "Member",
    "Search",
    "Shares",
    "Study",
    "Trial",
    "read_evidence",
    "read_json",
    "read_metrics",
    "read_study",
    "safe_path",
]

SCHEMA = 2
EVIDENCE_SCHEMA = 1
LARGEST_FILE = 64 * 2**20
"""Bytes of a JSON file beyond which it is not read: no study of ours comes near."""
LARGEST = 1e300
"""A number beyond it was not measured: sums of two such numbers overflow."""
MOST_DIGITS = 300
"""Of an integer; one of more is larger than `LARGEST`."""
REMEDY = "compare again with the same --out, or bring back the file"
"""What to do about a study.json that is damaged."""
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that command a terminal, turn the direction of the text around them, or are no text.

Tabs and new lines stay: settings are written over several lines.
"""

Raw = dict[str, Any]
Content = TypeVar("Content", bound="_Part")


def _finite(number: Any) -> Any:
    """A figure that is NaN, infinite or absurd was not measured."""
    if isinstance(number, float) and not abs(number) < LARGEST:
        return None
    return number


Number = Annotated[float | None, BeforeValidator(_finite)]


def _whole(number: Any) -> Any:
    """A count written as a float (an older JSON writer) is a count still."""
    if isinstance(number, float):
        return round(number) if abs(number) < LARGEST else None
    return number


Count = Annotated[int | None, BeforeValidator(_whole)]


class _Part(BaseModel):
    """One object of a file: frozen, and deaf to keys that a later version adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, content: Any) -> Any:
        """What is not known yet is written as null, and is as if it were not written."""
        if isinstance(content, dict):
            return {key: value for key, value in content.items() if value is not None}
        return content


class Figure(_Part):
    """One measured figure of one member, with the same figure for real against real beside it."""

    name: str
    key: str = ""
    value: Number = None
    unit: str = ""
    better: Literal["lower", "higher", "closer"] = "lower"
    floor: Number = None
    ceiling: Number = None
    n_real: Count = None
    n_fake: Count = None
    protocol: str = ""
    note: str = ""
    panel: str = ""
    low: Number = None
    high: Number = None
    interval: str = ""
    trusted: bool = True

    def model_post_init(self, _: Any) -> None:
        """A figure without a key is known by its name."""
        if not self.key:
            object.__setattr__(self, "key", self.name)


class Member(_Part):
    """One recipe trained under the budget at one seed, what it cost and what was measured."""

    recipe: str
    title: str
    family: str = ""
    seed: int = 0
    status: str = "finished"
    reason: str = ""
    directory: str = ""
    parameters: dict[str, int] = Field(default_factory=dict)
    images_seen: Count = None
    steps: Count = None
    train_seconds: Number = None
    evaluation_seconds: Number = None
    images_per_second: Number = None
    turns: list[str] = Field(default_factory=list)
    figures: list[Figure] = Field(default_factory=list)
    pictures: dict[str, str | None] = Field(default_factory=dict)
    evidence: str | None = None
    reconstruction_sentence: str = ""


class Baseline(_Part):
    """What always stands beside the members, so that a figure means something."""

    name: str
    title: str = ""
    sentence: str = ""
    directory: str = ""
    figures: list[Figure] = Field(default_factory=list)
    pictures: dict[str, str | None] = Field(default_factory=dict)
    seconds: Number = None


class Data(_Part):
    """What all were trained on; `shape` is (channels, height, width), or (D,) for points."""

    name: str
    kind: str = "images"
    shape: tuple[int, ...] = ()
    count: Count = None
    splits: dict[str, int] = Field(default_factory=dict)
    classes: dict[str, int] = Field(default_factory=dict)
    fingerprint: str = ""
    notes: list[str] = Field(default_factory=list)

    @property
    def cell(self) -> tuple[int, int] | None:
        """Height and width of one picture in pixels; None where the pictures are scatter plots."""
        if self.kind == "images" and len(self.shape) == 3 and min(self.shape) > 0:
            return self.shape[1], self.shape[2]
        return None


class Budget(_Part):
    """What each member was allowed: minutes of training, or images seen."""

    minutes: Number = None
    images: Count = None
    equal: str = ""


class Features(_Part):
    """Which features the distances are measured on, and what they are not."""

    name: str = ""
    accuracy: Number = None
    sentence: str = ""


class Trial(_Part):
    """One setting that was tried in a search."""

    number: int
    status: str = "finished"
    settings: dict[str, Any] = Field(default_factory=dict)
    value: Number = None
    seconds: Number = None
    images_seen: Count = None
    reason: str = ""


class Search(_Part):
    """The search of one recipe: its space, every trial, and the one that was chosen."""

    recipe: str
    title: str = ""
    space: dict[str, dict[str, Any]] = Field(default_factory=dict)
    metric: str = ""
    split: str = "validation"
    trials: list[Trial] = Field(default_factory=list)
    chosen: int | None = None
    settings: dict[str, Any] | None = None


class Study(_Part):
    """The whole of `study.json`."""

    schema_: int = Field(alias="schema")
    diptych: str = ""
    command: str = ""
    created: str = ""
    data: Data
    budget: Budget = Budget()
    seeds: list[int] = Field(default_factory=list)
    settings: Raw = Field(default_factory=dict)
    machine: Raw = Field(default_factory=dict)
    features: Features | None = None
    protocols: dict[str, Raw] = Field(default_factory=dict)
    real: str | None = None
    members: list[Member] = Field(default_factory=list)
    baselines: list[Baseline] = Field(default_factory=list)
    search: list[Search] = Field(default_factory=list)


class Copies(_Part):
    """Samples above their nearest training images above their nearest held-out images."""

    picture: str
    columns: int = 0
    distances: list[tuple[Number, Number]] = Field(default_factory=list)
    distance: str = ""
    sentence: str = ""


class Shares(_Part):
    """Of each class: its share of real images, of samples, and how much of it is covered."""

    names: list[str]
    real: list[Number] = Field(default_factory=list)
    samples: list[Number] = Field(default_factory=list)
    coverage: list[Number] = Field(default_factory=list)
    sentence: str = ""


class Missing(_Part):
    """Held-out images that no sample is near to."""

    picture: str
    columns: int = 0
    sentence: str = ""


class Evidence(_Part):
    """What `page/evidence.json` holds beside the latents."""

    copies: Copies | None = None
    classes: Shares | None = None
    missing: Missing | None = None


def read_study(directory: Path) -> Study:
    """Read `study.json` of a study directory.

    Raises:
        RunError: the file is missing, is not JSON, is not a study, or was written by a Diptych
            with another schema; the sentence names the file and the first thing wrong in it.
    """
    path = directory / "study.json"
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise RunError(
            f"{directory} is not a study: it has no study.json; "
            "give the directory that `diptych compare` wrote."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        why = str(error).splitlines()[0][:120]
        raise RunError(f"{path} cannot be read: {why}; {REMEDY}.") from error
    if isinstance(content, dict) and content.get("schema") not in (None, SCHEMA):
        older = content["schema"] == 1
        raise RunError(
            f"{path} has schema {content['schema']!r}, and this Diptych reads schema {SCHEMA}; "
            + (
                "it was made before Diptych 0.2: compare again with this version."
                if older
                else "use the Diptych that wrote it, or compare again."
            )
        )
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top level"
        what = first["msg"].lower()
        raise RunError(f"{path} is not a study: at {where}, {what}; {REMEDY}.") from None


def read_evidence(directory: Path, member: Member) -> Evidence:
    """A member's pictured evidence; what is absent or damaged is left out, part by part.

    Pictures come back relative to the study: they are written relative to the member.
    """
    path = safe_path(directory, member.evidence)
    if path is None:
        return Evidence()
    try:
        content = read_json(path)
    except (OSError, ValueError, RecursionError):
        return Evidence()
    if not isinstance(content, dict) or content.get("schema") != EVIDENCE_SCHEMA:
        return Evidence()
    copies, missing = _part(Copies, content, "copies"), _part(Missing, content, "missing")
    home = f"{member.directory}/"
    return Evidence(
        copies=copies and copies.model_copy(update={"picture": home + copies.picture}),
        classes=_part(Shares, content, "classes"),
        missing=missing and missing.model_copy(update={"picture": home + missing.picture}),
    )


def _part(kind: type[Content], content: Raw, name: str) -> Content | None:
    try:
        return None if content.get(name) is None else kind.model_validate(content[name])
    except ValidationError:
        return None


def read_json(path: Path, largest: int | None = None) -> Any:
    """The content of a file, its texts without characters that a terminal or a page obeys.

    Args:
        path: of the file.
        largest: bytes beyond which it is not read; `LARGEST_FILE` if not given.

    Raises:
        OSError, ValueError, RecursionError: it cannot be read, is too large, or is no JSON.
    """
    largest = LARGEST_FILE if largest is None else largest
    if path.stat().st_size > largest:
        raise ValueError(f"it is larger than {largest // 2**20} MiB")
    return _legible(json.loads(path.read_text(encoding="utf-8"), parse_int=_integer))


def _legible(value: Any) -> Any:
    """The same JSON with a replacement character for everything in its texts that is unseen."""
    if isinstance(value, str):
        return UNSEEN.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [_legible(part) for part in value]
    if isinstance(value, dict):
        return {_legible(key): _legible(part) for key, part in value.items()}
    return value


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MOST_DIGITS:
        raise ValueError(f"{digits[:12]}… of {len(digits)} digits is a number too large")
    return int(digits)


def safe_path(directory: Path, relative: str | None) -> Path | None:
    """The file that a study names, or None if it is absent or lies outside the study.

    A page is handed to other people, so a study must not be able to name `../../private.png`
    and have it inlined.
    """
    if not relative:
        return None
    try:
        root = directory.resolve()
        path = (root / relative).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # names no file can have, links in a circle
        return None


def read_metrics(path: Path | None) -> list[dict[str, float | None]]:
    """The rows of a `metrics.jsonl`: numbers by name, None where one is NaN or infinite.

    A last line cut short by an interruption is left out, as is anything that is no number.
    """
    if path is None or path.stat().st_size > LARGEST_FILE:
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            known = {name: _number(value) for name, value in row.items() if _scalar(value)}
            rows.append(_legible(known))
    return rows


def _scalar(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _number(value: int | float | None) -> float | None:
    try:
        number = None if value is None else float(value)
    except OverflowError:  # an integer no float can hold
        return None
    return number if number is not None and math.isfinite(number) else None
