"""Options that several commands share: the same name means the same everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "EXECUTION",
    "Crop",
    "DataDir",
    "DataName",
    "Device",
    "Images",
    "JsonOutput",
    "Metrics",
    "Minutes",
    "Out",
    "Precision",
    "PrecisionName",
    "Quiet",
    "RunPath",
    "Seed",
    "Settings",
    "Size",
    "SkipBad",
    "check_budget",
    "parse_size",
]


EXECUTION = "Execution"
"""The part of --help about how the work is run on a machine."""


class PrecisionName(StrEnum):
    """What networks compute in."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


_DATA_HELP = (
    "fashion-mini (comes with the package), fashion-mnist, mnist, ring, grid; or a folder of "
    "pictures, a .npz, .npy or idx file."
)

DataName = Annotated[str, typer.Option("--data", help=_DATA_HELP)]
Size = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="PIXELS", help="Resize pictures: 32, or height x width: 32x48."
    ),
]
Crop = Annotated[
    bool, typer.Option("--crop", help="Cut pictures of another aspect to the middle.")
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave unusable files out instead of stopping.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", envvar="DIPTYCH_DATA", help="Where published data sets are looked for."
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option("--minutes", help="Minutes of training; measuring and pictures are not charged."),
]
Images = Annotated[
    int | None, typer.Option("--images", help="Budget in images shown, instead of minutes.")
]
Metrics = Annotated[
    str,
    typer.Option(
        "--metrics",
        help="Comma-separated panels or metrics: fidelity, blur, fid, kid, prdc, ... "
        "All that apply by default.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="Of everything random.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe: model.latent_dim=16."),
]
Device = Annotated[
    str, typer.Option("--device", rich_help_panel=EXECUTION, help="auto, cpu, cuda or mps.")
]
Precision = Annotated[
    PrecisionName,
    typer.Option(
        "--precision", rich_help_panel=EXECUTION, help="bf16 keeps weights and losses in fp32."
    ),
]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory.")]


def parse_size(text: str | None) -> int | tuple[int, int] | None:
    """ "32" to 32, "32x48" to (32, 48), nothing to None.

    Raises:
        typer.BadParameter: for anything else.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise typer.BadParameter(
            f"{text!r} is not a size; give pixels like 32, or height x width like 32x48",
            param_hint="--size",
        )
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def check_budget(minutes: float | None, images: int | None) -> None:
    """Refuse an impossible budget before data are read.

    Raises:
        DiptychError: saying what is allowed.
    """
    from diptych.training.budget import Budget

    if minutes is not None or images is not None:
        Budget(minutes, images)
