"""One trained member measured and drawn: its entry in study.json."""

import json
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diptych
from diptych.data import Data
from diptych.errors import DataError
from diptych.evaluation.density.panel import Effort
from diptych.evaluation.evaluate import evaluate
from diptych.evaluation.figure import Figure
from diptych.evaluation.results import Evaluation
from diptych.evaluation.sets import Progress
from diptych.study.evidence import write_evidence
from diptych.study.pictures import draw_member
from diptych.study.plan import Task
from diptych.study.reasons import in_a_line
from diptych.training.run import Run, load
from diptych.training.rundir import RunDirectory, write_text

__all__ = ["Outcome", "facts", "measure_member"]

NOTES = "member.json"
"""What was measured of a member, beside its run: taken over when study.json does not know it."""
NOTED = frozenset(
    {"evaluation_seconds", "figures", "reconstruction_sentence", "skipped", "remarks"}
    | {"features", "protocols"}
)


@dataclass(frozen=True)
class Outcome:
    """What became of a member.

    Attributes:
        entry: of study.json.
        shared: `features`, `protocols` and `machine`, which stand once for the whole study.
    """

    entry: Mapping[str, Any]
    shared: Mapping[str, Any]


def facts(task: Task) -> dict[str, Any]:
    """Of a member's entry what its run.json says; without a readable one only what was asked."""
    entry: dict[str, Any] = {
        "recipe": task.recipe.name,
        "title": task.recipe.title,
        "seed": task.seed,
        "directory": task.place,
    }
    try:
        info = RunDirectory(task.directory).read_info()
        spent = info["spent"]
        entry |= {
            "family": info["family"],
            "parameters": info["parameters"],
            "images_seen": spent["images"],
            "steps": spent["steps"],
            "train_seconds": spent["seconds"],
            "images_per_second": round(spent["images"] / max(spent["seconds"], 1e-9), 1),
            "turns": info["turns"],
        }
    except (ValueError, KeyError):  # RunError is a ValueError
        return entry
    return entry


def measure_member(
    task: Task,
    data: Data,
    *,
    metrics: tuple[str, ...],
    n: int | None,
    effort: Effort,
    device: str,
    progress: Progress,
) -> Outcome:
    """Measure and draw a trained member; what was measured before is not measured again.

    The model is always loaded from its directory, so that a member measured right after its
    training and one found there later have the same figures.
    """
    run = load(task.directory, device=device)
    asked = {
        "diptych": diptych.__version__,
        "data": data.fingerprint,
        "spent": run.info["spent"],
        "metrics": list(metrics),
        "n": n,
        "effort": effort,
    }
    notes = _read_notes(task.directory, asked)
    if notes is None:
        started = time.perf_counter()
        evaluation = evaluate(run, data, metrics=metrics, n=n, effort=effort, progress=progress)
        notes = {
            "asked": asked,
            "evaluation_seconds": round(time.perf_counter() - started, 2),
            "figures": [figure.to_json() for figure in evaluation.figures],
            "reconstruction_sentence": _reconstruction_sentence(evaluation),
            "skipped": dict(evaluation.skipped),
            "remarks": list(evaluation.remarks),
            "features": _features(evaluation),
            "protocols": {name: dict(parts) for name, parts in evaluation.protocols.items()},
        }
        write_text(task.directory / NOTES, json.dumps(notes, indent=1) + "\n")
    progress("drawing", 0, 1)
    pictures = draw_member(run.model, data, run.directory / "pictures")
    evidence, trouble = _evidence(run, data, n, progress)
    entry = {
        **facts(task),
        "status": "finished",
        "reason": "",
        **{
            key: notes[key]
            for key in ("evaluation_seconds", "figures", "reconstruction_sentence", "skipped")
        },
        "remarks": [*notes["remarks"], *trouble],
        "pictures": {kind: f"{task.place}/pictures/{name}" for kind, name in pictures.items()},
        "evidence": None if evidence is None else f"{task.place}/{evidence}",
    }
    shared = {
        "features": notes["features"],
        "protocols": notes["protocols"],
        "machine": run.info["machine"],
    }
    return Outcome(entry, shared)


def _read_notes(directory: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was measured of this very state in this very way, or None."""
    try:
        notes = json.loads((directory / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(notes, dict) or notes.get("asked") != asked or not notes.keys() >= NOTED:
        return None
    try:
        for figure in notes["figures"]:
            Figure.from_json(figure, notes["protocols"])
    except (DataError, TypeError, AttributeError, KeyError):
        return None
    return notes


def _evidence(
    run: Run, data: Data, n: int | None, progress: Progress
) -> tuple[str | None, list[str]]:
    """The evidence's path within the run. Without it a member still has its figures."""
    failure = run.directory / "page" / "failure.txt"
    try:
        path = write_evidence(run, data, n=n, progress=progress)
    except Exception as error:
        write_text(failure, traceback.format_exc())
        return None, [f"The evidence for the page could not be made ({in_a_line(error)})."]
    failure.unlink(missing_ok=True)
    return path.relative_to(run.directory).as_posix(), []


def _features(evaluation: Evaluation) -> dict[str, Any] | None:
    if not evaluation.features:
        return None
    described = evaluation.features[0]
    return {
        "name": described["name"],
        "accuracy": described.get("accuracy"),
        "sentence": described["caveat"],
    }


def _reconstruction_sentence(evaluation: Evaluation) -> str:
    found = [f for f in evaluation.figures if f.name == "reconstruction error"]
    if not found:
        return ""
    searched = found[0].protocol.parts.get("by") == "search"
    way = "the code is searched for" if searched else "the encoder finds the code"
    return f"{way}; mean squared error {found[0].value:.4f} over {found[0].n_real} held-out images"
