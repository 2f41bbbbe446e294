"""`diptych data`."""

from pathlib import Path
from typing import Annotated

import typer

from diptych.cli.console import print_json, reporting, stdout
from diptych.cli.options import Crop, DataDir, JsonOutput, Quiet, Size, SkipBad
from diptych.cli.train import find_data

__all__ = ["data"]


def data(
    source: Annotated[str, typer.Argument(metavar="DATA", help="A name, folder or file.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The contact sheet to write, a PNG.")
    ] = Path("contact-sheet.png"),
    size: Size = None,
    crop: Crop = False,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    json: JsonOutput = False,
    quiet: Quiet = False,
) -> None:
    """Look at data: what was found, how it is split, and a contact sheet."""
    from diptych.data import contact_sheet, describe

    with reporting(quiet or json) as reporter:
        found = find_data(
            source, size=size, crop=crop, data_dir=data_dir, skip_bad=skip_bad, reporter=reporter
        )
        contact_sheet(found, out)
    summary = describe(found)
    if json:
        print_json({**summary, "contact_sheet": str(out)})
        return
    if summary["classes"]:
        counts = ", ".join(f"{name} {n:,}" for name, n in summary["classes"].items())
        stdout.print(f"classes: {counts}")
    stdout.print(f"bits per value: {summary['bits']}")
    stdout.print(f"fingerprint: {summary['fingerprint']}")
    stdout.print(f"contact sheet: {out}")
