"""`diptych explore`."""

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diptych.cli.console import reporting, stderr
from diptych.cli.options import Crop, DataDir, SkipBad
from diptych.cli.train import find_data
from diptych.errors import DiptychError

if TYPE_CHECKING:
    from diptych.data import Data

__all__ = ["explore"]

NEEDED = ("starlette", "uvicorn", "python_multipart")


def explore(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Runs, or a study: its finished members."),
    ],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of 127.0.0.1; 0 takes a free one.")
    ] = 0,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Pictures to choose from; else each run's own held-out ones."),
    ] = None,
    crop: Crop = False,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
) -> None:
    """Explore trained models in the browser: move their latents and watch them decode.

    The page is served on this machine alone, under an address that holds a secret. Ctrl-C ends it.
    """
    if any(find_spec(name) is None for name in NEEDED):
        raise DiptychError("explore needs a small web server: pip install 'diptych[explore]'")
    from diptych.explorer.runs import named_runs, open_exhibits
    from diptych.explorer.serving import serve
    from diptych.training.plan import ExecutionPlan

    ExecutionPlan.choose()
    with reporting() as reporter:

        def find(size: tuple[int, int] | None) -> "Data":
            return find_data(
                data or "",
                size=f"{size[0]}x{size[1]}" if size else None,
                crop=crop and size is not None,
                data_dir=data_dir,
                skip_bad=skip_bad,
                reporter=reporter,
            )

        exhibits = open_exhibits(
            named_runs(runs),
            load_given=None if data is None else find,
            given="" if data is None else _given(data, crop, data_dir, skip_bad),
        )
    for exhibit in exhibits:
        if exhibit.without:
            stderr.print(f"{exhibit.title}: no pictures to choose from: {exhibit.without}")
    serve(exhibits, port=port, ready=lambda address: _ready(address, browse=not no_open))
    print("stopped", file=sys.stderr)


def _given(data: str, crop: bool, data_dir: Path | None, skip_bad: bool) -> str:
    """The options that name the same pictures to another command."""
    options = ["--data", data]
    options += ["--crop"] if crop else []
    options += ["--data-dir", str(data_dir)] if data_dir else []
    options += ["--skip-bad"] if skip_bad else []
    return shlex.join(options)


def _ready(address: str, *, browse: bool) -> None:
    print(address, flush=True)
    stderr.print("Ctrl-C ends it.")
    if browse and _has_display():
        import webbrowser

        webbrowser.open(address)


def _has_display() -> bool:
    """Whether there is a screen that a browser could open on."""
    import os

    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
