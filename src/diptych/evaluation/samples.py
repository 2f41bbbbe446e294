"""`evaluate_samples`: samples that no run of ours has made, by the instruments of runs."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

import diptych
from diptych.data import Data
from diptych.errors import DataError
from diptych.evaluation.figure import PanelName
from diptych.evaluation.ground import lay_ground
from diptych.evaluation.measuring import all_metrics
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.results import Evaluation, Notebook, read_evaluation
from diptych.evaluation.selection import Selection
from diptych.evaluation.sets import Progress, silent
from diptych.training.rundir import write_text

__all__ = ["evaluate_samples"]

PANELS: tuple[PanelName, ...] = ("fidelity", "collapse", "blur", "copies")
"""The panels that need samples and no model."""


def evaluate_samples(
    draw: Callable[[int], Tensor],
    data: Data,
    *,
    subject: Mapping[str, Any],
    kept: Path,
    n: int | None = None,
    seed: int = 0,
    metrics: Sequence[str] = (),
    progress: Progress = silent,
) -> Evaluation | None:
    """Measure samples as `evaluate` measures those of a run: protocols and floors are the same.

    Args:
        draw: gives so many samples: images (n, C, H, W) in [0, 1], or points (n, D).
        data: what they are held against.
        subject: what makes the samples, as JSON values.
        kept: the file to write. If it holds the same already, nothing is drawn or measured.
        n: as in `evaluate`.
        seed: of everything random in measuring.
        metrics: panels or metrics by name; what needs a model is passed over.
        progress: told how far the work is.

    Returns:
        The evaluation, or None where nothing that is asked for can be had from samples alone.

    Raises:
        DataError: there is too little data.
    """
    selection = Selection.of(metrics, all_metrics())
    if not any(selection.wants(panel) for panel in PANELS):
        return None
    ground = lay_ground(data, n=n, seed=seed, progress=progress)
    extractors = [Protocol.of(**each.protocol).fingerprint for each in ground.extractors]
    whole = {
        **subject,
        "data": data.fingerprint,
        "seed": seed,
        "metrics": sorted(metrics),
        "ground": {**ground.base, "extractors": extractors},
        "diptych": diptych.__version__,
    }
    if (found := _read(kept)) is not None and found.subject == whole:
        return found
    notebook = Notebook(selection, progress)
    ground.measure(notebook, ground.sets(draw(ground.n)))
    evaluation = notebook.close(whole)
    write_text(kept, json.dumps(evaluation.to_json(), indent=1) + "\n")
    return evaluation


def _read(file: Path) -> Evaluation | None:
    try:
        return read_evaluation(file)
    except DataError:
        return None  # missing, damaged or of another version: it is made again
