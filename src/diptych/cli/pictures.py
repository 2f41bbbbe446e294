"""`diptych sample`, `reconstruct` and `interpolate`: pictures from a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diptych.cli.console import reporting, stdout
from diptych.cli.options import Crop, DataDir, PrecisionName, RunPath, Seed, Size, SkipBad
from diptych.cli.train import find_data
from diptych.errors import DataError, InterruptedRun

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["interpolate", "reconstruct", "sample"]

PictureOut = Annotated[Path, typer.Option("--out", "-o", help="The PNG to write.")]
Scale = Annotated[
    int | None, typer.Option(min=1, help="Enlarge pixels by this; chosen if not given.")
]


MOST_IN_A_PICTURE = 10_000


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
        Path,
        typer.Option(
            "--out", "-o", help="A .png for a grid; a .npy or (smaller, slower) .npz for arrays."
        ),
    ] = Path("samples.png"),
    precision: Annotated[
        PrecisionName,
        typer.Option(
            "--precision",
            help="auto is fp32. bf16 is faster and moves pixels by some thousandths: "
            "not for samples that will be measured.",
        ),
    ] = PrecisionName.auto,
    seed: Seed = 0,
    scale: Scale = None,
) -> None:
    """Draw new pictures from a run: a grid, or bytes (N, H, W, C) of as many as the disk holds.

    The first of many are those of few with the same seed.
    """
    _checked(out, ".png", ".npz", ".npy")
    from diptych.data import write_png
    from diptych.models.drawing import picture_of, write_blocks
    from diptych.models.sampling import Sampler
    from diptych.training.plan import ExecutionPlan
    from diptych.training.run import load

    ExecutionPlan.choose()
    model = load(run).model
    as_picture = out.suffix.lower() == ".png"
    if as_picture and model.is_image and count > MOST_IN_A_PICTURE:
        raise DataError(
            f"{count:,} images do not go into one picture, {MOST_IN_A_PICTURE:,} do; write them "
            f"to {out.with_suffix('.npy')}"
        )
    sampler = Sampler(model, precision="bf16" if precision is PrecisionName.bf16 else "fp32")
    with _telling(sampler.draw(count, seed=seed), count, out) as blocks:
        if as_picture:
            columns = max(1, round(count**0.5))
            picture = picture_of(_joined(blocks), columns=columns, scale=scale)
            write_png(picture, out)
        else:
            write_blocks(blocks, count, model.event_shape, out)
    stdout.print(f"{count:,} samples: {out}")


@contextmanager
def _telling(blocks: "Iterator[Tensor]", count: int, out: Path) -> Iterator["Iterator[Tensor]"]:
    """The same blocks, with progress on a terminal; a signal ends them between two.

    Raises:
        InterruptedRun: after a signal; whatever was being written is taken away on the way out.
    """
    from diptych.training.signals import graceful_stop

    with reporting() as reporter, graceful_stop() as stop:

        def told() -> "Iterator[Tensor]":
            done = 0
            for block in blocks:
                done += len(block)
                reporter.measuring("samples", done, count)
                if stop.signal is not None:
                    fate = "is as it was" if out.exists() else "was not written"
                    raise InterruptedRun(f"stopped by {stop.signal.name}; {out} {fate}")
                yield block

        yield told()


def _joined(blocks: "Iterator[Tensor]") -> "Tensor":
    import torch

    return torch.cat(list(blocks))


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
    from diptych.training.plan import ExecutionPlan
    from diptych.training.run import data_of, load

    ExecutionPlan.choose()
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
