"""`diptych sample`, `reconstruct` and `interpolate`: pictures from a run."""

from pathlib import Path
from typing import Annotated

import typer

from diptych.cli.console import reporting, stdout
from diptych.cli.options import Crop, DataDir, RunPath, Seed, Size, SkipBad
from diptych.cli.train import find_data
from diptych.errors import DataError

__all__ = ["interpolate", "reconstruct", "sample"]

PictureOut = Annotated[Path, typer.Option("--out", "-o", help="The PNG to write.")]
Scale = Annotated[
    int | None, typer.Option(min=1, help="Enlarge pixels by this; chosen if not given.")
]


def _checked(out: Path, *endings: str) -> Path:
    """Refuse before the work, not after it."""
    if out.suffix.lower() not in endings:
        raise typer.BadParameter(f"{out} must end in {' or '.join(endings)}", param_hint="--out")
    if not out.parent.is_dir():
        raise typer.BadParameter(f"there is no directory {out.parent}", param_hint="--out")
    return out


def sample(
    run: RunPath,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many.")] = 64,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A .png for a grid, a .npz for the arrays.")
    ] = Path("samples.png"),
    seed: Seed = 0,
    scale: Scale = None,
) -> None:
    """Draw new pictures from a run, as a grid or as bytes `images` (N, H, W, C)."""
    _checked(out, ".png", ".npz")
    from diptych.data import write_png
    from diptych.models.drawing import picture_of, write_samples
    from diptych.training.run import load
    from diptych.training.speed import SpeedPlan

    SpeedPlan.choose()
    samples = load(run).model.sample(count, seed=seed)
    if out.suffix.lower() == ".npz":
        write_samples(samples, out)
    else:
        columns = max(1, round(count**0.5))
        write_png(picture_of(samples, columns=columns, scale=scale), out)
    stdout.print(f"{count:,} samples: {out}")


def reconstruct(
    run: RunPath,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Pictures to use; else the run's own test split."),
    ] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many pairs.")] = 8,
    out: PictureOut = Path("pairs.png"),
    size: Size = None,
    crop: Crop = False,
    data_dir: DataDir = None,
    skip_bad: SkipBad = False,
    seed: Seed = 0,
    scale: Scale = None,
) -> None:
    """Show held-out pictures above the model's own version of each.

    A VAE or VAE-GAN encodes and decodes. A GAN has no encoder: it searches for each code.
    """
    _checked(out, ".png")
    from diptych.data import MIXTURES, write_png
    from diptych.study.pictures import pairs, real_items
    from diptych.training.run import data_of, load
    from diptych.training.speed import SpeedPlan

    SpeedPlan.choose()
    loaded = load(run)
    if not loaded.model.is_image:
        raise DataError(f"{run} makes points, and pairs of pictures can only be drawn of images")
    if data is None:
        images = real_items(data_of(loaded), count)
    else:
        shape = loaded.model.event_shape
        if data in MIXTURES:
            raise DataError(f"{run} was trained on images, and {data} holds points")
        with reporting() as reporter:
            found = find_data(
                data,
                size=size or f"{shape[1]}x{shape[2]}",
                crop=crop,
                data_dir=data_dir,
                skip_bad=skip_bad,
                reporter=reporter,
            )
        if found.shape != shape:
            raise DataError(
                f"{run} was trained on images of {_words(shape)} "
                f"and {data} gives {_words(found.shape)}"
            )
        images = real_items(found, count, split=None)
    again = loaded.model.reconstruct(images, seed=seed)
    write_png(pairs(images, again, scale=scale), out)
    error = (again - images).square().mean().item()
    plural = "" if len(images) == 1 else "s"
    stdout.print(f"{len(images)} pair{plural}, mean squared error {error:.4f}: {out}")


def _words(shape: tuple[int, ...]) -> str:
    channels = f"{shape[0]} channel{'' if shape[0] == 1 else 's'}"
    return f"{shape[1]} x {shape[2]} pixels and {channels}" if len(shape) == 3 else "points"


def interpolate(
    run: RunPath,
    out: PictureOut = Path("strip.png"),
    rows: Annotated[int, typer.Option("-n", "--count", min=1, help="How many strips.")] = 6,
    steps: Annotated[int, typer.Option(min=2, help="Pictures per strip, ends included.")] = 9,
    seed: Seed = 0,
    scale: Scale = None,
) -> None:
    """Walk between random codes: straight in a VAE or VAE-GAN, along the sphere in a GAN."""
    _checked(out, ".png")
    from diptych.data import write_png
    from diptych.study.pictures import interpolations
    from diptych.training.run import load

    model = load(run).model
    codes = model.sample_codes(2 * rows, seed=seed)
    picture = interpolations(model, codes[:rows], codes[rows:], steps=steps, scale=scale)
    write_png(picture, out)
    stdout.print(f"{rows} strips of {steps}: {out}")
