"""`diptych report`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from diptych.cli.console import stdout

__all__ = ["report"]


class ReportFormat(StrEnum):
    """What a report is written as."""

    html = "html"
    md = "md"
    json = "json"


def report(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="A directory that `diptych compare` wrote.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Where to write; the page goes to report.html in the study if not said, md and "
            "json are printed.",
        ),
    ] = None,
    format: Annotated[
        ReportFormat,
        typer.Option(
            "--format", help="html: the page. md: to paste as a comment. json: for programs."
        ),
    ] = ReportFormat.html,
) -> None:
    """Write the page of a study again, from its files alone."""
    from diptych.report import render_markdown, report_json, write_report

    if format is ReportFormat.html or out is not None:
        stdout.print(str(write_report(study, out, format.value)), soft_wrap=True, markup=False)
    elif format is ReportFormat.md:
        typer.echo(render_markdown(study), nl=False)
    else:
        from diptych.cli.console import print_json

        print_json(report_json(study))
