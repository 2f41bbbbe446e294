"""`diptych evaluate`."""

from typing import Annotated

import typer

from diptych.cli.console import figures_table, print_json, reporting, stdout
from diptych.cli.options import JsonOutput, Quiet, RunPath, Seed

__all__ = ["evaluate"]


def evaluate(
    run: RunPath,
    n: Annotated[
        int | None,
        typer.Option("--n", "-n", min=6, help="Samples and real items; all held out by default."),
    ] = None,
    seed: Seed = 0,
    json: JsonOutput = False,
    quiet: Quiet = False,
) -> None:
    """Measure a run on the test split, each figure beside its floor (real against real)."""
    from diptych.evaluation.evaluate import evaluate as evaluate_run
    from diptych.training.speed import SpeedPlan

    SpeedPlan.choose()
    with reporting(quiet or json) as reporter:
        result = evaluate_run(run, n=n, seed=seed, progress=reporter.measuring)
    if json:
        print_json(result.to_json())
        return
    stdout.print(figures_table({run.name: result.figures}))
    for figure in result.figures:
        if figure.note:
            stdout.print(f"{figure.name}: {figure.note}")
    if result.accuracy is not None:
        stdout.print(f"The classifier is right on {result.accuracy:.1%} of held-out images.")
    stdout.print(result.sentence)
