"""The command `diptych`: commands from one file each, errors as sentences with exit codes."""

import sys
import warnings
from typing import Annotated

import typer

from diptych import __version__
from diptych.cli.compare import compare
from diptych.cli.data import data
from diptych.cli.diff import diff
from diptych.cli.doctor import doctor
from diptych.cli.evaluate import evaluate
from diptych.cli.explore import explore
from diptych.cli.pictures import interpolate, reconstruct, sample
from diptych.cli.recipes import recipes
from diptych.cli.report import report
from diptych.cli.train import resume, train
from diptych.cli.weights import weights
from diptych.errors import DiptychError

__all__ = ["app", "run"]

app = typer.Typer(
    name="diptych",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"diptych {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and exit.")
    ] = False,
) -> None:
    """Train a VAE and a GAN on your images under one budget, and see which to use.

    diptych compare vae gan --data fashion-mini --minutes 3

    diptych compare vae gan --data ./my-pictures --size 32 --minutes 10
    """


for command in (
    compare,
    report,
    explore,
    train,
    resume,
    sample,
    reconstruct,
    interpolate,
    evaluate,
    diff,
    recipes,
    data,
    doctor,
):
    app.command()(command)
app.add_typer(weights, name="weights")


def run() -> None:
    """Run, and turn what goes wrong into a sentence and an exit code.

    0 done · 2 something the person can mend · 130 interrupted after saving · 1 a bug of ours.
    """
    warnings.formatwarning = lambda message, *_: f"diptych: {message}\n"
    try:
        app()
    except DiptychError as error:
        _end(str(error), error.exit_code)
    except OSError as error:
        # A full disk, a directory in a file's place, a share that is gone.
        if error.errno is None:
            raise
        where = error.filename if error.filename is not None else "a file"
        _end(f"{where} cannot be read or written ({error.strerror}); mend that and try again", 2)
    except MemoryError as error:
        _end(f"not enough memory ({error}); ask for fewer or smaller pictures", 2)
    except RuntimeError as error:
        # torch has no class of its own for this on the CPU.
        if "can't allocate memory" not in str(error):
            raise
        _end("not enough memory; ask for fewer or smaller pictures, or a smaller model", 2)


def _end(sentence: str, code: int) -> None:
    typer.echo(f"diptych: {sentence}", err=True)
    sys.exit(code)
