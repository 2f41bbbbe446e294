"""`diptych compare`."""

import shlex
import sys
from typing import Annotated

import typer

from diptych.cli.console import figures_table, print_json, print_table, reporting, stdout
from diptych.cli.options import (
    Crop,
    DataDir,
    DataName,
    Device,
    Images,
    JsonOutput,
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

__all__ = ["compare"]


def compare(
    recipes: Annotated[
        list[str], typer.Argument(help="Two or more recipes: vae gan (see diptych recipes).")
    ],
    data: DataName = "fashion-mini",
    minutes: Minutes = None,
    images: Images = None,
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
    """Train recipes under the same budget, measure them alike, and write one page.

    diptych compare vae gan --data fashion-mini --minutes 3
    """
    from diptych.recipes import load_recipe

    check_budget(minutes, images)
    resolved = [load_recipe(recipe, settings or ()) for recipe in recipes]
    with reporting(quiet or json) as reporter:
        found = find_data(
            data, size=size, crop=crop, data_dir=data_dir, skip_bad=skip_bad, reporter=reporter
        )
        from diptych.evaluation import Figure
        from diptych.study.compare import compare as compare_recipes

        study = compare_recipes(
            resolved,
            found,
            minutes=minutes,
            images=images,
            seed=seed,
            out=out,
            device=device,
            precision=precision.value,
            command=shlex.join(["diptych", *sys.argv[1:]]),
            on_member=lambda recipe: reporter.start(recipe.title),
            listener=reporter.row,
            progress=reporter.measuring,
            announce=reporter.say,
        )
    if json:
        print_json({"study": str(study.directory), **study.results})
        return
    members = study.results["members"]
    stdout.print()
    print_table(
        figures_table(
            {
                m["title"]: [Figure.from_json(f, study.results["protocols"]) for f in m["figures"]]
                for m in members
            }
        )
    )
    stdout.print()
    for member in members:
        counts = ", ".join(f"{name} {n:,}" for name, n in member["parameters"].items())
        stdout.print(
            f"{member['title']}: {member['status']}; {member['images_seen']:,} images in "
            f"{member['train_seconds']:.0f} s, {member['images_per_second']:,.0f} images/s; "
            f"parameters: {counts}"
        )
        if member["reason"]:
            stdout.print(f"  {member['reason']}")
    if study.results["features"]:
        stdout.print(study.results["features"]["sentence"])
    stdout.print()
    stdout.print(f"page: {(study.directory / 'report.html').resolve()}")
    finished = [study.directory / m["directory"] for m in members if m["status"] == "finished"]
    if finished:
        stdout.print(f"next: diptych sample {finished[-1]} -n 64 --out grid.png")
        stdout.print(f"      diptych resume {finished[-1]} --minutes 5")
