"""`diptych diff`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from diptych.cli.console import format_number, print_json, stdout
from diptych.cli.options import JsonOutput

if TYPE_CHECKING:
    from diptych.evaluation import Figure

__all__ = ["diff"]

What = Annotated[
    Path, typer.Argument(help="An evaluated run, or what `evaluate --json` printed, as a file.")
]


def diff(
    first: What,
    second: What,
    force: Annotated[
        bool, typer.Option("--force", help="Also subtract what was measured differently.")
    ] = False,
    json: JsonOutput = False,
) -> None:
    """Set two evaluations side by side; what was measured differently is not subtracted."""
    from diptych.errors import DataError
    from diptych.evaluation.figure import difference
    from diptych.evaluation.results import read_evaluation

    evaluations = [read_evaluation(path) for path in (first, second)]
    known = set(evaluations[1].keys())
    shared = [figure.key for figure in evaluations[0].figures if figure.key in known]
    if not shared:
        raise DataError(f"{first} and {second} have no figure in common")
    pairs = [(evaluations[0][key], evaluations[1][key]) for key in shared]
    alike = [a.protocol == b.protocol for a, b in pairs]
    if not force and not any(alike):
        a, b = pairs[0]
        raise DataError(
            f"all {len(shared)} figures were measured under different protocols, so their "
            f"differences mean nothing. {a.name}: {_reasons(a, b)}. Measure both alike, or say "
            "--force"
        )
    if json:
        print_json(
            {
                a.key: {
                    "first": a.value,
                    "second": b.value,
                    "difference": difference(a, b, force=True) if same or force else None,
                    "same_protocol": same,
                }
                for (a, b), same in zip(pairs, alike, strict=True)
            }
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("figure", str(first), str(second), "difference"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    refused = []
    for (a, b), same in zip(pairs, alike, strict=True):
        change = format_number(difference(a, b, force=True)) if same or force else "refused"
        table.add_row(
            a.name,
            format_number(a.value) + ("" if a.trusted else " (?)"),
            format_number(b.value) + ("" if b.trusted else " (?)"),
            change if same else f"{change} *",
        )
        if not same:
            refused.append(f"* {a.name}: {_reasons(a, b)}")
    stdout.print(table)
    if refused:
        stdout.print()
        stdout.print("Measured under different protocols:")
        for line in refused:
            stdout.print(line)


def _reasons(a: "Figure", b: "Figure") -> str:
    return "; ".join(a.protocol.differences(b.protocol)[:4])
