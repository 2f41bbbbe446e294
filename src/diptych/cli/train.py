"""`diptych train` and `diptych resume`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diptych.cli.console import Reporter, print_json, reporting, stdout
from diptych.cli.execution import (
    Allocator,
    AllocatorName,
    Compile,
    CompileName,
    Devices,
    Layers,
    LayersName,
    Linear,
    LinearName,
    MemoryFormat,
    MemoryFormatName,
    Nodes,
    Threads,
    make_wishes,
)
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
    RunPath,
    Seed,
    Settings,
    Size,
    SkipBad,
    check_budget,
    parse_size,
)

if TYPE_CHECKING:
    from diptych.data import Data
    from diptych.training.run import Run

__all__ = ["find_data", "resume", "train"]


def find_data(
    name: str,
    *,
    size: str | None,
    crop: bool,
    data_dir: Path | None,
    skip_bad: bool,
    reporter: Reporter,
    split: bool = True,
) -> "Data":
    """Load data as the options say, and say what was found."""
    from diptych.data import FEWEST_HELD_OUT, load_data

    data = load_data(
        name,
        size=parse_size(size),
        crop=crop,
        data_dir=data_dir,
        skip_bad=skip_bad,
        split=split,
        progress=reporter.measuring,
    )
    reporter.finish()
    shape = " x ".join(str(n) for n in data.shape[1:] + data.shape[:1])
    what = f"{shape} images" if data.kind == "images" else f"points of {data.shape[0]} dimensions"
    splits = ", ".join(f"{len(rows):,} {name}" for name, rows in data.splits.items())
    parted = f" ({splits})" if split else ""
    reporter.say(f"data: {data.name}, {len(data.array):,} {what}{parted}")
    for note in data.notes:
        reporter.say(f"      {note}")
    if split and min(len(data.splits["test"]), len(data.splits["validation"])) < FEWEST_HELD_OUT:
        reporter.say("      too few to be measured afterwards: that takes about 60")
    return data


def train(
    recipe: Annotated[
        str, typer.Argument(help="vae, gan, ... (see diptych recipes) or a YAML file.")
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
    threads: Threads = None,
    memory_format: MemoryFormat = MemoryFormatName.auto,
    allocator: Allocator = AllocatorName.auto,
    linear: Linear = LinearName.auto,
    layers: Layers = LayersName.auto,
    compile: Compile = CompileName.auto,
    devices: Devices = 1,
    nodes: Nodes = 1,
    json: JsonOutput = False,
    quiet: Quiet = False,
) -> None:
    """Train one model within a budget (5 minutes if none is given).

    diptych train vae --data fashion-mini --minutes 2

    diptych train gan --data ./my-pictures --size 32
    """
    from diptych.recipes import load_recipe

    # Before the slow imports: slips show at once.
    check_budget(minutes, images)
    wishes = make_wishes(
        device=device,
        precision=precision,
        threads=threads,
        memory_format=memory_format,
        allocator=allocator,
        linear=linear,
        layers=layers,
        compile=compile,
        devices=devices,
        nodes=nodes,
    )
    resolved = load_recipe(recipe, settings or ())
    with reporting(quiet or json) as reporter:
        found = find_data(
            data, size=size, crop=crop, data_dir=data_dir, skip_bad=skip_bad, reporter=reporter
        )
        from diptych.training.run import train as train_run

        reporter.start(resolved.title)
        run = train_run(
            resolved,
            found,
            minutes=minutes,
            images=images,
            seed=seed,
            out=out,
            wishes=wishes,
            listener=reporter.row,
            announce=reporter.say,
        )
    _print_run(run, json)


def resume(
    run: RunPath,
    minutes: Minutes = None,
    images: Images = None,
    device: Device = "auto",
    precision: Precision = PrecisionName.auto,
    threads: Threads = None,
    memory_format: MemoryFormat = MemoryFormatName.auto,
    allocator: Allocator = AllocatorName.auto,
    linear: Linear = LinearName.auto,
    layers: Layers = LayersName.auto,
    compile: Compile = CompileName.auto,
    devices: Devices = 1,
    nodes: Nodes = 1,
    json: JsonOutput = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a run as if it had never stopped.

    Without a budget the old one is finished. With --minutes it trains so long from where it
    stands, whatever was left, and rates fall over that.
    """
    check_budget(minutes, images)
    wishes = make_wishes(
        device=device,
        precision=precision,
        threads=threads,
        memory_format=memory_format,
        allocator=allocator,
        linear=linear,
        layers=layers,
        compile=compile,
        devices=devices,
        nodes=nodes,
    )
    with reporting(quiet or json) as reporter:
        from diptych.training.run import resume as resume_run

        reporter.start(run.name)
        finished = resume_run(
            run,
            minutes=minutes,
            images=images,
            wishes=wishes,
            listener=reporter.row,
            announce=reporter.say,
        )
    _print_run(finished, json)


def _print_run(run: "Run", json: bool) -> None:
    spent: dict[str, Any] = dict(run.info["spent"])
    rate = spent["images"] / max(spent["seconds"], 1e-9)
    if json:
        print_json({"run": str(run.directory), **spent, "images_per_second": round(rate, 1)})
        return
    stdout.print(
        f"{run.recipe.title}: {spent['images']:,} images in {spent['steps']:,} steps and "
        f"{spent['seconds']:.0f} s of training, {rate:,.0f} images/s"
    )
    stdout.print(f"run: {run.directory}    pictures while training: {run.directory / 'samples'}")
    stdout.print(f"next: diptych sample {run.directory} -n 64 --out grid.png")
    stdout.print(f"      diptych evaluate {run.directory}")
