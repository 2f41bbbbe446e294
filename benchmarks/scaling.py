"""How cost grows: with the batch, the image, the width, the number of images and of workers.

    python -m benchmarks scaling [--quick] [--rounds 5] [--threads N]
                                 [--only batch,image,width,count,workers,evaluation]

The recipes `vae` and `gan` as they come, on synthetic images, in the precision the plan takes.
`count` writes up to 1e6 images of 3 x 32 x 32 (3 GB) to a temporary directory and removes them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.apart import apart
from benchmarks.interleave import Sample, Variant, interleave, processor_seconds
from benchmarks.memory import Memory, above
from benchmarks.table import Cell, Note, Row, rows_of

__all__ = ["run"]

RECIPES = ("vae", "gan")
PARTS = ("batch", "image", "width", "count", "workers", "evaluation")


def run(
    quick: bool, rounds: int, *, threads: int | None = None, only: str = ""
) -> list[Row | Note]:
    """One table per part."""
    from diptych.training.plan import ExecutionPlan, Wishes

    plan = ExecutionPlan.choose(Wishes(threads=threads))
    parts = only.split(",") if only else PARTS
    rows: list[Row | Note] = []
    if "batch" in parts:
        sizes = (8, 128) if quick else (8, 16, 32, 64, 128, 256, 512)
        rows += grown("batch size", "training.batch_size", sizes, quick, rounds, plan.threads)
    if "image" in parts:
        sides = (28, 64) if quick else (28, 32, 48, 64, 96, 128)
        rows += grown("image side", "side", sides, quick, rounds, plan.threads)
    if "width" in parts:
        widths = (8, 32) if quick else (8, 16, 32, 64)
        rows += grown("width", "model.network.width", widths, quick, rounds, plan.threads)
    if "count" in parts:
        rows += counted(quick, plan.threads)
    if "workers" in parts:
        rows += workers(quick, rounds)
    if "evaluation" in parts:
        rows += evaluation(quick, rounds, plan.threads)
    return rows


def grown(
    what: str, key: str, values: Sequence[int], quick: bool, rounds: int, threads: int
) -> list[Row | Note]:
    """Images per second against one setting, for each recipe; ratios to the first value."""
    rows: list[Row | Note] = []
    for recipe in RECIPES:
        title = f"Training speed against {what}, {recipe}"
        settings = {"recipe": recipe, "key": key, "values": values, "quick": quick}
        with apart(_loops, threads=threads, **settings) as variants:
            timings = interleave(variants, rounds=rounds, announce=_tell)
        first = str(values[0])
        for row in rows_of(title, timings, ratio_to={f"x {what} {first}": first}):
            cells = dict(row.cells)
            rows.append(Row(title, {what: int(str(cells.pop("variant"))), **cells}))
    return rows


def _loops(
    recipe: str, key: str, values: Sequence[int], quick: bool, threads: int
) -> dict[str, Callable[[], float]]:
    import torch

    from benchmarks.ours import loop_of
    from benchmarks.workloads import data_of
    from diptych.models.build import build
    from diptych.recipes import load_recipe
    from diptych.training.plan import ExecutionPlan, Wishes
    from diptych.training.session import assemble

    plan = ExecutionPlan.choose(Wishes(threads=threads))
    loops: dict[str, Callable[[], float]] = {}
    random = np.random.default_rng(0)
    for value in values:
        side = value if key == "side" else 32
        settings = [] if key == "side" else [f"{key}={value}"]
        resolved = load_recipe(recipe, settings)
        batch = resolved.training.batch_size
        pixels = 32 * 32 * (20 if quick else 100) * 32
        steps = max(2, pixels // (side * side * batch))
        images = random.integers(0, 256, (max(1024, batch), side, side, 3), dtype=np.uint8)
        torch.manual_seed(0)
        game = build(resolved, (3, side, side), seed=0)
        state = assemble(game, resolved, data_of(images), plan, seed=0)
        loops[str(value)] = loop_of(state, steps * batch)
    return loops


def counted(quick: bool, threads: int) -> list[Row | Note]:
    """Speed and memory against the number of memory-mapped images; each in a fresh process."""
    title = "Training against the number of memory-mapped images, 3 x 32 x 32, vae"
    rows: list[Row | Note] = []
    with tempfile.TemporaryDirectory(prefix="diptych-scaling-") as folder:
        for count in (1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000):
            path = Path(folder) / f"{count}.npy"
            write_images(path, count)
            report = Path(folder) / f"{count}.json"
            settings = {"path": str(path), "report": str(report), "threads": threads}
            with apart(_mapped, steps=20 if quick else 400, **settings) as (variant,):
                variant.work()
                sample = variant.work()
            path.unlink()
            if not isinstance(sample, Sample):
                raise TypeError("the variant was not timed in its own process")
            memory = json.loads(report.read_text())
            cells: dict[str, Cell] = {
                "images": count,
                "file, GB": count * 32 * 32 * 3 / 1e9,
                "images / CPU-s": sample.rate("cpu"),
                "images / s": sample.rate("wall"),
                **{name: float(value) for name, value in memory.items()},
            }
            rows.append(Row(title, cells))
            _tell(f"{count} images: {cells}")
    rows.append(
        Note(
            title,
            "Memory above that of the same process after `import torch`. Anonymous memory is the "
            "program's own; mapped pages belong to files and are given back when memory is short.",
        )
    )
    return rows


def write_images(path: Path, count: int, block: int = 10_000) -> None:
    """Write uint8 noise (count, 32, 32, 3) as .npy, a block at a time."""
    random = np.random.default_rng(0)
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 32, 32, 3))
    for start in range(0, count, block):
        part = array[start : start + block]
        part[:] = random.integers(0, 256, part.shape, dtype=np.uint8)
    array.flush()


def _mapped(path: str, report: str, threads: int, steps: int) -> dict[str, Callable[[], float]]:
    import torch

    before = Memory.now()
    from benchmarks.ours import loop_of
    from benchmarks.workloads import data_of
    from diptych.models.build import build
    from diptych.recipes import load_recipe
    from diptych.training.plan import ExecutionPlan, Wishes
    from diptych.training.session import assemble

    plan = ExecutionPlan.choose(Wishes(threads=threads))
    recipe = load_recipe("vae", ["training.batch_size=64"])
    array = np.load(path, mmap_mode="r")
    torch.manual_seed(0)
    state = assemble(build(recipe, (3, 32, 32), seed=0), recipe, data_of(array), plan, seed=0)
    loop = loop_of(state, steps * 64)

    def work() -> float:
        done = loop()
        Path(report).write_text(json.dumps(above(before, Memory.now())))
        return done

    return {"mapped": work}


def workers(quick: bool, rounds: int) -> list[Row | Note]:
    """`diptych train --devices N` on this machine: training seconds as the runs record them."""
    title = "Training speed against the number of workers on this machine, vae, batch 256"
    images = 5_120 if quick else 102_400
    counts = (1, 2)
    with tempfile.TemporaryDirectory(prefix="diptych-workers-") as folder:
        numbers = iter(range(10_000))

        def variant(count: int) -> Variant:
            return Variant(
                str(count), lambda: _trained(Path(folder) / str(next(numbers)), images, count)
            )

        try:
            timings = interleave(
                [variant(count) for count in counts], rounds=rounds, warmups=0, announce=_tell
            )
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip().splitlines() or ["no message"])[-1]
            return [Note(title, f"left out: {reason}")]
    rows: list[Row | Note] = []
    for count in counts:
        name = str(count)
        cells: dict[str, Cell] = {
            "workers": count,
            "images / s": timings.rate(name, "wall").median,
            "x 1 worker": timings.ratio(name, "1", "wall") if count > 1 else 1,
        }
        rows.append(Row(title, cells))
    return [*rows, Note(title, "One thread for each worker. Start-up is not counted.")]


def _trained(out: Path, images: int, count: int) -> Sample:
    command = [
        *(sys.executable, "-m", "diptych", "train", "vae", "--data", "fashion-mini"),
        *("--images", str(images), "--devices", str(count), "--threads", "1"),
        *("--set", "training.batch_size=256", "--out", str(out)),
    ]
    cpu = processor_seconds()
    subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = json.loads((out / "run.json").read_text())["spent"]["seconds"]
    return Sample(images, seconds, processor_seconds() - cpu)


def evaluation(quick: bool, rounds: int, threads: int) -> list[Row | Note]:
    """Seconds of the metrics of fidelity against N, from features of 2048 values."""
    dims = 64 if quick else 2048
    title = f"Evaluation against N, features of {dims} values"
    sizes = (500, 1_000) if quick else (1_000, 2_000, 5_000, 10_000)
    rows: list[Row | Note] = []
    with apart(_measurements, sizes=sizes, dims=dims, threads=threads) as variants:
        timings = interleave(variants, rounds=rounds, announce=_tell)
    for n in sizes:
        cells: dict[str, Cell] = {"N": n}
        for metric in ("fd", "prdc"):
            name = f"{metric}, {n}"
            cells[f"{metric}, CPU-s"] = timings.seconds(name, "cpu").median
            cells[f"{metric}, s"] = timings.seconds(name, "wall").median
        rows.append(Row(title, cells))
    return [*rows, Note(title, "Of samples; floors are not measured.")]


def _measurements(sizes: Sequence[int], dims: int, threads: int) -> dict[str, Callable[[], float]]:
    import torch

    from benchmarks.panel import synthetic
    from diptych.evaluation.extractors.features import PointFeatures
    from diptych.evaluation.fidelity.panel import fidelity_panel
    from diptych.evaluation.sets import Sets

    torch.set_num_threads(threads)
    real, fake = synthetic(max(sizes), dims, 1), synthetic(max(sizes), dims, 2, 0.1)

    def measure(n: int, metric: str) -> Callable[[], float]:
        sets = Sets(fake[:n], real[:n])

        def work() -> float:
            fidelity_panel(sets, extractor=PointFeatures(), base={}, metrics=[metric])
            return 1.0

        return work

    return {f"{metric}, {n}": measure(n, metric) for n in sizes for metric in ("fd", "prdc")}


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
