"""What an evaluation found: figures, protocols, what was left out and how long it took."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diptych.errors import DataError
from diptych.evaluation.extractors.features import Features
from diptych.evaluation.figure import PANELS, Figure, PanelName
from diptych.evaluation.selection import Selection
from diptych.evaluation.sets import Progress, silent

__all__ = ["Evaluation", "Notebook", "read_evaluation"]

SCHEMA = 2
NOTHING = "nothing of it applies to these data, or to data without a model"


@dataclass(frozen=True)
class Evaluation:
    """The figures of one run, or of one set of images against another.

    Attributes:
        subject: what was measured, e.g. ``{"run": "runs/0001-vae"}``; JSON values.
        figures: in the order of the panels.
        features: for every extractor its name, its caveat and, for a classifier, its accuracy.
        skipped: why a panel that was asked for gives no figures, by panel.
        panel_seconds: how long each panel took.
        seconds: how long all of it took.
        remarks: what is to be known of the sets.
    """

    subject: Mapping[str, Any]
    figures: tuple[Figure, ...]
    features: tuple[Mapping[str, Any], ...]
    skipped: Mapping[str, str]
    panel_seconds: Mapping[str, float]
    seconds: float
    remarks: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Figure:
        """The figure of that key or name."""
        for figure in self.figures:
            if name in (figure.key, figure.name):
                return figure
        raise KeyError(f"{name!r} was not measured; there are {', '.join(self.keys())}")

    def keys(self) -> list[str]:
        """The keys of all figures."""
        return [figure.key for figure in self.figures]

    @property
    def protocols(self) -> dict[str, Mapping[str, Any]]:
        """The parts of every protocol by fingerprint."""
        return {figure.protocol.fingerprint: figure.protocol.parts for figure in self.figures}

    def together_with(self, earlier: "Evaluation") -> "Evaluation":
        """This evaluation, and what an earlier one of the same subject holds beyond it."""
        if earlier.subject != self.subject:
            return self
        mine, described = set(self.keys()), {each["name"] for each in self.features}
        figures = [*self.figures, *(f for f in earlier.figures if f.key not in mine)]
        return replace(
            self,
            figures=tuple(sorted(figures, key=lambda figure: PANELS.index(figure.panel))),
            features=(
                *self.features,
                *(each for each in earlier.features if each["name"] not in described),
            ),
            panel_seconds={**earlier.panel_seconds, **self.panel_seconds},
        )

    def to_json(self) -> dict[str, Any]:
        """What evaluation.json holds: every metric by its key, every protocol by fingerprint."""
        return {
            "schema": SCHEMA,
            "subject": dict(self.subject),
            "metrics": {figure.key: figure.to_json() for figure in self.figures},
            "protocols": {name: dict(parts) for name, parts in self.protocols.items()},
            "features": [dict(each) for each in self.features],
            "skipped": dict(self.skipped),
            "remarks": list(self.remarks),
            "panel_seconds": {name: round(s, 2) for name, s in self.panel_seconds.items()},
            "seconds": round(self.seconds, 2),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Evaluation":
        """Rebuild an evaluation from :meth:`to_json`.

        Raises:
            DataError: it is not one, or was written by another version.
        """
        if record.get("schema") != SCHEMA:
            raise DataError(
                f"this evaluation has schema {record.get('schema')!r}, and this Diptych reads "
                f"{SCHEMA}; evaluate again"
            )
        try:
            return cls(
                subject=record["subject"],
                figures=tuple(
                    Figure.from_json(figure, record["protocols"])
                    for figure in record["metrics"].values()
                ),
                features=tuple(record["features"]),
                skipped=record["skipped"],
                remarks=tuple(record["remarks"]),
                panel_seconds=record["panel_seconds"],
                seconds=record["seconds"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"this evaluation is damaged ({error}); evaluate again") from None


def read_evaluation(path: str | Path) -> Evaluation:
    """Read an evaluation from a file, or from a run's directory.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "evaluation.json"
    if not file.is_file():
        raise DataError(
            f"{path} has no evaluation; give a JSON file that `diptych evaluate --json` printed, "
            "or a run that was evaluated"
        )
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0][:100]
        raise DataError(f"{file} cannot be read as JSON: {reason}") from None
    if not isinstance(record, dict):
        raise DataError(f"{file} is not an evaluation")
    try:
        return Evaluation.from_json(record)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None


@dataclass
class Notebook:
    """Collects the figures of panels while they are measured.

    A panel that cannot be measured is noted with its reason and does not end the others.
    """

    selection: Selection
    progress: Progress = silent
    figures: list[Figure] = field(default_factory=list)
    features: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def describe(self, extractor: Features) -> None:
        """Write down which features are used and what they are not."""
        entry: dict[str, Any] = {"name": extractor.name, "caveat": extractor.caveat}
        if (accuracy := getattr(extractor, "accuracy", None)) is not None:
            entry["accuracy"] = accuracy
        self.features.append(entry)

    def measure(self, panel: PanelName, instruments: Callable[[], Iterable[Figure]]) -> None:
        """Call the instruments of a panel, if it is asked for."""
        if not self.selection.wants(panel):
            return
        started = time.perf_counter()
        self.progress(f"measuring {panel}", 0, 1)
        try:
            found = list(instruments())
        except DataError as error:
            self.skip(panel, str(error))
            return
        self.figures += [figure for figure in found if self.selection.keeps(figure)]
        taken = time.perf_counter() - started
        self.seconds[panel] = self.seconds.get(panel, 0.0) + taken
        self.progress(f"measuring {panel}", 1, 1)

    def skip(self, panel: PanelName, reason: str) -> None:
        """Note why a panel gives nothing, if it is asked for."""
        if self.selection.wants(panel):
            self.skipped[panel] = reason

    def close(self, subject: Mapping[str, Any]) -> Evaluation:
        """The evaluation, its figures in the order of the panels.

        Raises:
            DataError: nothing that was asked for could be measured.
        """
        measured = {figure.panel for figure in self.figures}
        for panel in PANELS:
            if self.selection.named and panel not in measured | self.skipped.keys():
                self.skip(panel, NOTHING)
        if not self.figures:
            reasons = "; ".join(f"{panel}: {why}" for panel, why in self.skipped.items())
            raise DataError(f"nothing that was asked for could be measured ({reasons or NOTHING})")
        return Evaluation(
            subject=subject,
            figures=tuple(sorted(self.figures, key=lambda figure: PANELS.index(figure.panel))),
            features=tuple(self.features),
            skipped=self.skipped,
            panel_seconds=self.seconds,
            seconds=time.perf_counter() - self.started,
            remarks=tuple(self.remarks),
        )
