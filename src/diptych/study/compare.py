"""`compare`: recipes under one budget, the same instruments, one page."""

import datetime
import json
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diptych
from diptych.data import Data, describe, load_data, write_png
from diptych.errors import DiptychError, TrainingDiverged
from diptych.evaluation.evaluate import check_enough, evaluate
from diptych.evaluation.results import Evaluation
from diptych.evaluation.sets import Progress
from diptych.models.build import check_fit
from diptych.recipes import Recipe, load_recipe
from diptych.report import write_report
from diptych.study.pictures import GRID, draw_member, real_picture
from diptych.training.budget import Budget
from diptych.training.loop import LogRow
from diptych.training.run import Run, train
from diptych.training.rundir import RunDirectory, new_directory, numbered, write_text
from diptych.training.speed import Precision, SpeedPlan

__all__ = ["Study", "compare"]

COMPARED = (
    *("fid", "kid", "prdc", "collapse", "blur", "reconstruction"),
    *("negative-elbo", "bits-per-dimension"),
)
"""What members are measured by: panels that take seconds. `evaluate` measures the rest."""


@dataclass(frozen=True)
class Study:
    """Several runs at one budget, backed by a directory with `study.json`."""

    directory: Path
    results: dict[str, Any]
    """The content of study.json."""

    def report(self, out: str | Path | None = None) -> Path:
        """Write the page, from the files alone; `report.html` in the directory if not told."""
        return write_report(self.directory, None if out is None else Path(out))


def compare(
    recipes: str | Path | Sequence[str | Path | Recipe],
    data: Data | str | Path,
    *,
    minutes: float | None = None,
    images: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    overrides: Iterable[str] = (),
    device: str = "auto",
    precision: Precision = "auto",
    command: str = "",
    on_member: Callable[[Recipe], None] | None = None,
    listener: Callable[[LogRow], None] | None = None,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
) -> Study:
    """Train each recipe under the same budget, measure all with the same instruments.

    Data order, splits and budget are the same; evaluation and pictures are not charged. A member
    that diverges is reported as such, and the study goes on. The page is written at the end.

    Args:
        recipes: names, files or recipes, each once.
        data: from `load_data`, or what `load_data` takes.
        minutes: the budget of each member in minutes of training; 5 if nothing is given.
        images: or in images shown.
        seed: of weights, data order and noise, the same for all.
        out: the study's directory, new or empty; None makes `studies/NNNN-data`.
        overrides: settings applied to every recipe.
        device: "auto", "cpu", "cuda" or "mps".
        precision: "auto", "fp32" or "bf16".
        command: what the person typed, for the page; made up from the arguments if empty.
        on_member: called before each member is trained.
        listener: called with each row of metrics.
        progress: called while measuring.
        announce: called with one line about each member before it is trained.

    Raises:
        RecipeError, DataError: before anything is trained.
        InterruptedRun: on Ctrl-C or SIGTERM, after saving the member in training.
    """
    overrides = tuple(overrides)
    if isinstance(recipes, (str, Path)):
        recipes = [recipes]
    resolved = _with_own_titles([load_recipe(recipe, overrides) for recipe in recipes])
    names = [recipe.name for recipe in resolved]
    if len(set(names)) < len(names) or not names:
        raise DiptychError(f"compare needs recipes of different names, not: {', '.join(names)}")
    loaded = data if isinstance(data, Data) else load_data(data)
    for recipe in resolved:
        check_fit(recipe, loaded)
    check_enough(loaded)
    if minutes is None and images is None:
        minutes = 5.0
    Budget(minutes, images)
    SpeedPlan.choose(device=device, precision=precision)
    directory = _directory(out, loaded)
    write_png(real_picture(loaded), directory / "pictures" / "real.png")
    results: dict[str, Any] = {
        "schema": 1,
        "diptych": diptych.__version__,
        "command": command or _command(names, loaded, minutes, images, seed),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "data": {**describe(loaded), "classes": describe(loaded)["classes"] or {}},
        "budget": {"minutes": minutes, "images": images},
        "seed": seed,
        "machine": {},
        "features": None,
        "protocols": {},
        "real": "pictures/real.png",
        "real_grid": {"columns": GRID, "rows": GRID},
        "members": [],
    }
    study = Study(directory, results)
    for recipe in resolved:
        if on_member is not None:
            on_member(recipe)
        try:
            run = train(
                recipe,
                loaded,
                minutes=minutes,
                images=images,
                seed=seed,
                out=directory / recipe.name,
                device=device,
                precision=precision,
                listener=listener,
                announce=announce,
            )
            member = _measured(run, recipe, loaded, directory, results, progress)
        except TrainingDiverged as error:
            member = _unfinished(directory / recipe.name, recipe, "diverged", str(error))
        results["members"].append(member)
        _write(study)
    study.report()
    return study


def _with_own_titles(recipes: list[Recipe]) -> list[Recipe]:
    """Two members of one title could not be told apart: theirs are followed by the name."""
    titles = [recipe.title for recipe in recipes]
    return [
        recipe
        if titles.count(recipe.title) == 1
        else recipe.model_copy(update={"title": f"{recipe.title} ({recipe.name})"})
        for recipe in recipes
    ]


def _directory(out: str | Path | None, data: Data) -> Path:
    if out is None:
        directory = numbered(Path("studies"), Path(data.name).stem)
    else:
        directory = new_directory(out)
    (directory / "pictures").mkdir(parents=True, exist_ok=True)
    return directory


def _command(
    names: Sequence[str], data: Data, minutes: float | None, images: int | None, seed: int
) -> str:
    budget = f"--minutes {minutes:g}" if minutes is not None else f"--images {images}"
    return (
        f"diptych compare {' '.join(names)} --data {shlex.quote(data.name)} {budget} --seed {seed}"
    )


def _write(study: Study) -> None:
    write_text(study.directory / "study.json", json.dumps(study.results, indent=1) + "\n")


def _measured(
    run: Run,
    recipe: Recipe,
    data: Data,
    directory: Path,
    results: dict[str, Any],
    progress: Progress | None,
) -> dict[str, Any]:
    """Evaluate and draw a finished run; fill what all members share into the results."""
    started = time.perf_counter()
    evaluation: Evaluation = evaluate(run, data, metrics=COMPARED, progress=progress)
    pictures = draw_member(run.model, data, run.directory / "pictures")
    described = evaluation.features[0]
    results["features"] = {
        "name": described["name"],
        "accuracy": described.get("accuracy"),
        "sentence": described["caveat"],
    }
    results["protocols"] |= {name: dict(parts) for name, parts in evaluation.protocols.items()}
    results["machine"] = run.info["machine"]
    return {
        **_facts(run.directory, recipe, dict(run.info)),
        "status": "finished",
        "reason": "",
        "evaluation_seconds": round(time.perf_counter() - started, 2),
        "figures": [figure.to_json() for figure in evaluation.figures],
        "pictures": {
            kind: str((run.directory / "pictures" / name).relative_to(directory))
            for kind, name in pictures.items()
        },
        "reconstruction_sentence": _reconstruction_sentence(evaluation, recipe),
    }


def _reconstruction_sentence(evaluation: Evaluation, recipe: Recipe) -> str:
    found = [f for f in evaluation.figures if f.name == "reconstruction error"]
    if not found:
        return ""
    way = (
        "the encoder finds the code" if recipe.model.kind == "vae" else "the code is searched for"
    )
    return f"{way}; mean squared error {found[0].value:.4f} over {found[0].n_real} held-out images"


def _unfinished(path: Path, recipe: Recipe, status: str, reason: str) -> dict[str, Any]:
    info = RunDirectory.open(path).read_info()
    return {**_facts(path, recipe, info), "status": status, "reason": reason, "figures": []}


def _facts(path: Path, recipe: Recipe, info: dict[str, Any]) -> dict[str, Any]:
    spent = info["spent"]
    return {
        "recipe": recipe.name,
        "title": recipe.title,
        "family": info["family"],
        "directory": path.name,
        "parameters": info["parameters"],
        "images_seen": spent["images"],
        "steps": spent["steps"],
        "train_seconds": spent["seconds"],
        "images_per_second": round(spent["images"] / max(spent["seconds"], 1e-9), 1),
        "turns": info["turns"],
    }
