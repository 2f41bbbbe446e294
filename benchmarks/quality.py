"""Whether bf16 costs quality: the same recipes trained in both precisions over several seeds.

    python -m benchmarks quality --work DIR [--images 300000] [--seeds 3] [--data fashion-mnist]

Every training is a run directory in --work. What is finished and measured there is not repeated,
what was interrupted goes on, so the command may be stopped and started again at will.

The seed spread of a figure is the distance between its best and its worst seed, the larger of the
two precisions'. A change of precision is within it if the means over seeds differ by less.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.table import Note, Row

__all__ = ["Plan", "run"]

PRECISIONS = ("fp32", "bf16")
METRICS = {"vae": ("negative-elbo", "fd"), "gan": ("fd",)}
"""What is measured of each recipe: on the test split, with our own evaluate."""


class Plan(NamedTuple):
    """What is trained; the quick one only shows that everything runs."""

    work: Path
    data: str
    images: int
    seeds: int
    recipes: Sequence[str] = ("vae", "gan")
    n: int | None = None
    """Samples that are measured; None takes evaluate's own number."""


def run(
    quick: bool,
    rounds: int = 0,
    *,
    work: Path | None = None,
    data: str | None = None,
    images: int | None = None,
    seeds: int | None = None,
    recipes: Sequence[str] = ("vae", "gan"),
) -> list[Row | Note]:
    """Train, measure and compare; `rounds` has no meaning here."""
    whole = "fashion-mnist" if "DIPTYCH_DATA" in os.environ else "fashion-mini"
    folder = work or Path(tempfile.mkdtemp(prefix="diptych-quality-"))
    plan = Plan(
        work=folder,
        data=data or ("fashion-mini" if quick else whole),
        images=images or (3_200 if quick else 300_000),
        seeds=seeds or (2 if quick else 3),
        recipes=recipes,
        n=500 if quick else None,
    )
    figures = {
        (recipe, precision, seed): _measured(plan, recipe, precision, seed)
        for seed in range(plan.seeds)
        for recipe in plan.recipes
        for precision in PRECISIONS
    }
    title = f"bf16 against fp32, {plan.data}, {plan.images:,} images, {plan.seeds} seeds"
    rows: list[Row | Note] = []
    for recipe in plan.recipes:
        for key in figures[recipe, PRECISIONS[0], 0]:
            values = {
                precision: [figures[recipe, precision, seed][key] for seed in range(plan.seeds)]
                for precision in PRECISIONS
            }
            rows.append(Row(title, {"recipe": recipe, "figure": key, **compared(values)}))
    rows.append(
        Note(
            title,
            "Each cell: the mean over seeds, then every seed. Seed spread: worst minus best seed, "
            f"the larger of both precisions. Runs: {plan.work}",
        )
    )
    return rows


def compared(values: dict[str, list[float]]) -> dict[str, str | float]:
    """The cells of one figure: both precisions, their difference, and the spread of seeds."""
    spread = max(max(each) - min(each) for each in values.values())
    fp32, bf16 = (statistics.fmean(values[precision]) for precision in PRECISIONS)
    cells: dict[str, str | float] = {}
    for precision in PRECISIONS:
        seeds = ", ".join(f"{value:.2f}" for value in values[precision])
        cells[precision] = f"{statistics.fmean(values[precision]):.2f} ({seeds})"
    cells["bf16 - fp32"] = f"{bf16 - fp32:+.2f}"
    cells["seed spread"] = f"{spread:.2f}"
    cells["within seed spread"] = "yes" if abs(bf16 - fp32) <= spread else "no"
    return cells


def _measured(plan: Plan, recipe: str, precision: str, seed: int) -> dict[str, float]:
    """The figures of one training, from its directory where they are there already."""
    folder = plan.work / f"{recipe}-{Path(plan.data).stem}-{plan.images}-{precision}-{seed}"
    kept = folder / "quality.json"
    if kept.exists():
        figures: dict[str, float] = json.loads(kept.read_text())
        return figures
    import diptych

    trained = _trained(plan, recipe, precision, seed, folder)
    evaluation = diptych.evaluate(trained, n=plan.n, metrics=METRICS.get(recipe, ("fd",)))
    figures = {figure.key: figure.value for figure in evaluation.figures}
    unfinished = kept.with_suffix(".tmp")
    unfinished.write_text(json.dumps(figures, indent=1))
    unfinished.replace(kept)
    print(f"{folder.name}: {figures}", file=sys.stderr, flush=True)
    return figures


def _trained(plan: Plan, recipe: str, precision: str, seed: int, folder: Path) -> Any:
    import diptych

    if folder.exists():
        if any(folder.glob("checkpoints/step-*")):
            run = diptych.load(folder)
            if run.info["status"] == "finished":
                return run
            return diptych.resume(folder, precision=precision, announce=_tell)
        shutil.rmtree(folder)  # stopped before anything was saved
    return diptych.train(
        recipe,
        plan.data,
        images=plan.images,
        seed=seed,
        out=folder,
        precision=precision,
        announce=_tell,
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
