"""`diptych compare`."""

import shlex
import sys
from enum import StrEnum
from typing import Annotated

import typer

from diptych.cli.console import print_json, reporting
from diptych.cli.options import (
    Crop,
    DataDir,
    DataName,
    Device,
    Images,
    JsonOutput,
    Metrics,
    Minutes,
    Out,
    Precision,
    PrecisionName,
    Quiet,
    Seed,
    Settings,
    Size,
    SkipBad,
    check_budget,
)
from diptych.cli.train import find_data
from diptych.errors import DiptychError

__all__ = ["compare"]


class Equal(StrEnum):
    """What all members have the same of."""

    time = "time"
    images = "images"


def compare(
    recipes: Annotated[
        list[str], typer.Argument(help="Which to compare: vae gan vae-gan (see diptych recipes).")
    ],
    data: DataName = "fashion-mini",
    minutes: Minutes = None,
    images: Images = None,
    equal: Annotated[
        Equal | None,
        typer.Option(
            "--equal",
            help="With --minutes: images shows all as many as the slowest recipe sees in them.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Members per recipe: seeds --seed and on.")
    ] = 1,
    trials: Annotated[
        int,
        typer.Option("--trials", min=0, help="Settings of each recipe to search through first."),
    ] = 0,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Members trained side by side.")
    ] = 1,
    metrics: Metrics = "",
    size: Size = None,
    crop: Crop = False,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    seed: Seed = 0,
    out: Out = None,
    settings: Settings = None,
    device: Device = "auto",
    precision: Precision = PrecisionName.auto,
    json: JsonOutput = False,
    quiet: Quiet = False,
) -> None:
    """Train recipes under the same budget, measure them alike, and judge, on one page.

    diptych compare vae gan --data fashion-mini --minutes 3

    diptych compare vae gan vae-gan --data ./my-pictures --size 32 --minutes 20 --seeds 3

    An interrupted study goes on when the same command names its --out; with more seeds or
    recipes it grows.
    """
    from diptych.recipes import load_recipe

    check_budget(minutes, images)
    resolved = [load_recipe(recipe, settings or ()) for recipe in recipes]
    with reporting(quiet or json) as reporter:
        found = find_data(
            data, size=size, crop=crop, data_dir=data_dir, skip_bad=skip_bad, reporter=reporter
        )
        from diptych.cli.verdict import StudyReporter, print_study
        from diptych.study.compare import compare as compare_recipes

        study = compare_recipes(
            resolved,
            found,
            minutes=minutes,
            images=images,
            equal=None if equal is None else equal.value,
            seeds=seeds,
            seed=seed,
            trials=trials,
            jobs=jobs,
            metrics=[name.strip() for name in metrics.split(",") if name.strip()],
            out=out,
            device=device,
            precision=precision.value,
            command=shlex.join(["diptych", *sys.argv[1:]]),
            watcher=StudyReporter(reporter),
        )
    if json:
        print_json({"study": str(study.directory), **study.results})
    else:
        print_study(study)
    if not any(member["status"] == "finished" for member in study.results["members"]):
        raise DiptychError(
            f"no member of {study.directory} finished; study.json says why for each"
        )
