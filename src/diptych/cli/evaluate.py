"""`diptych evaluate`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diptych.cli.console import print_evaluation, print_json, reporting
from diptych.cli.options import EXECUTION, Crop, DataDir, JsonOutput, Quiet, Seed, Size, SkipBad
from diptych.cli.train import find_data

if TYPE_CHECKING:
    from diptych.evaluation.results import Evaluation

__all__ = ["evaluate"]


class Split(StrEnum):
    """A split of data."""

    train = "train"
    validation = "validation"
    test = "test"


class Effort(StrEnum):
    """How much work goes into likelihoods."""

    quick = "quick"
    full = "full"


class Resize(StrEnum):
    """How images are brought to the size of the Inception network."""

    tf1 = "tf1"
    torch = "torch"
    pil = "pil"


class Dtype(StrEnum):
    """What the Inception network computes in."""

    fp32 = "fp32"
    bf16 = "bf16"


def evaluate(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run's directory.", show_default=False)
    ] = None,
    real: Annotated[
        str | None,
        typer.Option("--real", help="Instead of a run: real images, as a name, folder or file."),
    ] = None,
    fake: Annotated[
        str | None, typer.Option("--fake", help="The images to judge, as a folder or file.")
    ] = None,
    trained_on: Annotated[
        str | None,
        typer.Option("--train", help="What made --fake was trained on: looks for copies."),
    ] = None,
    split: Annotated[
        Split | None, typer.Option("--split", help="Compare with this split of --real only.")
    ] = None,
    features: Annotated[
        str,
        typer.Option(
            "--features",
            help="Comma-separated: classifier, pixels, wavelets, inception, lite0, dinov2, clip.",
        ),
    ] = "",
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            help="Comma-separated panels or metrics: fidelity, blur, fid, kid, prdc, ... "
            "All that apply by default.",
        ),
    ] = "",
    n: Annotated[
        int | None,
        typer.Option("--n", "-n", min=6, help="Items of each set; 5,000 at the most by default."),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", metavar="MINUTES", help="Choose N to take about this long."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="Weights: a file; for dinov2 and clip a folder."),
    ] = None,
    resize: Annotated[
        Resize, typer.Option("--resize", help="To Inception's size; tf1 is the standard FID.")
    ] = Resize.tf1,
    dtype: Annotated[
        Dtype,
        typer.Option(
            "--dtype", help="Of Inception; bf16 is twice as fast, about 1 % off: for a search."
        ),
    ] = Dtype.fp32,
    effort: Annotated[
        Effort, typer.Option("--effort", help="On likelihoods; full may take an hour.")
    ] = Effort.quick,
    size: Size = None,
    crop: Crop = False,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    seed: Seed = 0,
    notes: Annotated[
        bool, typer.Option("--notes", help="Print the remark on every figure, not on some.")
    ] = False,
    devices: Annotated[
        int,
        typer.Option(
            "--devices",
            min=1,
            rich_help_panel=EXECUTION,
            help="Processes that share sampling and the large extractors (inception, ...).",
        ),
    ] = 1,
    json: JsonOutput = False,
    quiet: Quiet = False,
) -> None:
    """Measure a run on the test split of its data, or one set of images against another.

    diptych evaluate RUN

    diptych evaluate --real DATA --fake DATA --features pixels,inception --metrics fid,kid,prdc

    Every figure stands beside its floor: the same figure for real images against real images.
    """
    from diptych.training.plan import ExecutionPlan
    from diptych.workers import is_first_worker

    chosen = [part.strip() for part in features.split(",") if part.strip()]
    asked = [part.strip() for part in metrics.split(",") if part.strip()]
    _check_what(run, real, fake, trained_on, split)
    ExecutionPlan.choose()
    with reporting(quiet or json) as reporter:
        if run is not None:
            from diptych.evaluation.evaluate import evaluate as evaluate_run

            result: Evaluation = evaluate_run(
                run,
                n=n,
                seed=seed,
                features=chosen,
                metrics=asked,
                weights=weights,
                resize=resize.value,
                dtype=dtype.value,
                effort=effort.value,
                minutes=budget,
                devices=devices,
                progress=reporter.measuring,
            )
            title = run.name
        else:
            from diptych.evaluation.two_sets import evaluate_sets

            found = [
                None
                if name is None
                else find_data(
                    name,
                    size=size,
                    crop=crop,
                    data_dir=data_dir,
                    skip_bad=skip_bad,
                    reporter=reporter,
                    split=name == real and split is not None,
                )
                for name in (real, fake, trained_on)
            ]
            assert found[0] is not None
            assert found[1] is not None
            result = evaluate_sets(
                found[0],
                found[1],
                train=found[2],
                split=None if split is None else split.value,
                n=n,
                seed=seed,
                features=chosen,
                metrics=asked,
                weights=weights,
                resize=resize.value,
                dtype=dtype.value,
                minutes=budget,
                devices=devices,
                progress=reporter.measuring,
            )
            title = Path(found[1].name).name
    if not is_first_worker():
        return
    if json:
        print_json(result.to_json())
    else:
        print_evaluation(title, result, every_note=notes)


def _check_what(
    run: Path | None,
    real: str | None,
    fake: str | None,
    trained_on: str | None,
    split: Split | None,
) -> None:
    """Either a run, or two sets."""
    if run is None and (real is None or fake is None):
        raise typer.BadParameter("give a RUN, or both --real and --fake")
    if run is not None and any(part is not None for part in (real, fake, trained_on, split)):
        raise typer.BadParameter(
            "a RUN brings its own data; leave out --real, --fake, --train and --split"
        )
