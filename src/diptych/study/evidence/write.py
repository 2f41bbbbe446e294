"""`write_evidence`: everything the page needs of one trained member, as files."""

import json
from pathlib import Path
from typing import Any

from diptych.data import Data
from diptych.evaluation.sets import Progress, silent
from diptych.study.evidence.latents import choose_queries, write_latents
from diptych.study.evidence.pictures import write_pictures
from diptych.training.run import Run
from diptych.training.rundir import write_text

__all__ = ["choose_queries", "write_evidence"]

SCHEMA = 1


def write_evidence(
    run: Run, data: Data, *, seed: int = 0, n: int | None = None, progress: Progress = silent
) -> Path:
    """Write `page/evidence.json` of a run and the files it names; see docs/study.md.

    Args:
        run: a trained member.
        data: what it was trained on.
        seed: of what is drawn; that of the evaluation, so that sentences and figures agree.
        n: samples and real items, as in the evaluation.
        progress: called with what is done, how far, and of how much.

    Returns:
        The path of evidence.json.
    """
    folder = run.directory / "page"
    folder.mkdir(parents=True, exist_ok=True)
    evidence: dict[str, Any] = {
        "schema": SCHEMA,
        "latents": write_latents(run, data, folder, seed=seed, progress=progress),
        **write_pictures(run, data, folder, seed=seed, n=n, progress=progress),
    }
    path = folder / "evidence.json"
    write_text(path, json.dumps(evidence) + "\n")
    return path
