"""What measuring costs: ours against scipy's and prdc's forms, and how it grows with N.

    python -m benchmarks metrics [--quick] [--threads N] [--only frechet,prdc,growth,memory]

All take the same synthetic features, ReLU-like with a decaying spectrum, and their figures stand
beside their times. scipy and prdc are left out where they are not installed. prdc gets float64:
from float32 it keeps distances in float32, which can move a count by a pair or two.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import resource
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.interleave import Variant, interleave
from benchmarks.panel import synthetic
from benchmarks.table import Cell, Note, Row
from diptych.evaluation.extractors.features import PointFeatures
from diptych.evaluation.fidelity.frechet import frechet_between, frechet_distance, moments
from diptych.evaluation.fidelity.neighbours import Balls, Containment, Nearest
from diptych.evaluation.fidelity.pairs import prepare, sweep
from diptych.evaluation.fidelity.panel import fidelity_panel
from diptych.evaluation.sets import Sets
from diptych.training.allocator import tune_allocator

__all__ = ["run"]

K = 5
SQRTM, PRDC, OURS = "scipy.linalg.sqrtm form", "prdc", "ours"
PARTS = ("frechet", "prdc", "growth", "memory")
Figures = dict[str, float]


def run(quick: bool, rounds: int, only: str = "") -> list[Row | Note]:
    """All tables, or those named in `only`, separated by commas.

    Args:
        quick: 600 x 64 in place of 10,000 x 2048: shows that everything runs.
        rounds: turns of each variant.
        only: of "frechet", "prdc", "growth" and "memory"; the last needs 50,000 x 2048 and says
            nothing of the others, so it runs only if it is named.
    """
    tune_allocator()  # as the command line does, for everybody
    n, d = (600, 64) if quick else (10_000, 2048)
    wanted = [name.strip() for name in only.split(",")] if only else list(PARTS[:-1])
    if unknown := set(wanted) - set(PARTS):
        raise SystemExit(f"--only knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    rows: list[Row | Note] = []
    if "frechet" in wanted:
        rows += _frechet(n, d, rounds)
    if "prdc" in wanted:
        rows += _prdc(n, d, rounds)
    if "growth" in wanted:
        rows += _growth((100, 200, 400) if quick else (1_000, 2_000, 5_000, 10_000), d)
    if "memory" in wanted:
        rows += _memory(*((2_000, 64) if quick else (50_000, 2048)))
    return rows


# Fréchet -----------------------------------------------------------------------------------


def by_sqrtm(x: np.ndarray, y: np.ndarray) -> float:
    """d² of two sets of features with the matrix square root, as most packages take it."""
    import scipy.linalg

    of_x, of_y = (_numpy_moments(items) for items in (x, y))
    return _by_sqrtm(of_x, of_y, scipy.linalg.sqrtm)


def _numpy_moments(items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return items.mean(0, dtype=np.float64), np.cov(items, rowvar=False)


def _by_sqrtm(
    of_x: tuple[np.ndarray, np.ndarray],
    of_y: tuple[np.ndarray, np.ndarray],
    sqrtm: Callable[[np.ndarray], np.ndarray],
) -> float:
    (mu1, sigma1), (mu2, sigma2) = of_x, of_y
    root, gap = np.real(sqrtm(sigma1 @ sigma2)), mu1 - mu2
    return float(gap @ gap + np.trace(sigma1) + np.trace(sigma2) - 2 * np.trace(root))


def _frechet(n: int, d: int, rounds: int) -> list[Row | Note]:
    real, fake = synthetic(n, d, 1), synthetic(n, d, 2, 0.1)
    known = moments(real), moments(fake)
    whole, alone = f"Fréchet distance, {n:,} x {d}", f"Fréchet distance from moments, D = {d}"
    pairs: dict[str, dict[str, Callable[[], float]]] = {
        whole: {OURS: lambda: frechet_between(real, fake)},
        alone: {OURS: lambda: frechet_distance(*known[0], *known[1])},
    }
    if importlib.util.find_spec("scipy") is None:
        return [*_compared(pairs, rounds), Note(whole, "scipy is not installed: skipped")]
    import scipy.linalg

    arrays = [(known_set[0].numpy(), known_set[1].numpy()) for known_set in known]
    pairs[whole][SQRTM] = lambda: by_sqrtm(real.numpy(), fake.numpy())
    pairs[alone][SQRTM] = lambda: _by_sqrtm(arrays[0], arrays[1], scipy.linalg.sqrtm)
    version = f"scipy {scipy.__version__}; both from features in float32, statistics in float64"
    return [*_compared(pairs, rounds), Note(whole, version)]


def _compared(pairs: dict[str, dict[str, Callable[[], float]]], rounds: int) -> list[Row | Note]:
    rows: list[Row | Note] = []
    for table, forms in pairs.items():
        found: dict[str, dict[str, Cell]] = {}

        def once(
            name: str, form: Callable[[], float], found: dict[str, dict[str, Cell]] = found
        ) -> int:
            found[name] = {"distance": f"{form():.9g}"}
            return 1

        rows += _timed(
            table,
            {name: _bind(once, name, form) for name, form in forms.items()},
            rounds,
            found,
            SQRTM,
        )
    return rows


def _bind(
    work: Callable[[str, Callable[[], float]], int], name: str, form: Callable[[], float]
) -> Callable[[], int]:
    return lambda: work(name, form)


def _timed(
    table: str,
    variants: dict[str, Callable[[], int]],
    rounds: int,
    found: dict[str, dict[str, Cell]],
    peer: str,
) -> list[Row | Note]:
    """A row for each variant: seconds, the ratio to the peer, and what it found."""
    timings = interleave([Variant(*each) for each in variants.items()], rounds=rounds)
    rows: list[Row | Note] = []
    for name in variants:
        cells: dict[str, Cell] = {
            "variant": name,
            "CPU-s": timings.seconds(name, "cpu"),
            "s": timings.seconds(name, "wall"),
        }
        if peer in variants:
            cells[f"x {peer}"] = timings.ratio(name, peer) if name != peer else 1
        rows.append(Row(table, {**cells, **found[name]}))
    return rows


# Precision, recall, density, coverage --------------------------------------------------------


def prdc_ours(real: Tensor, fake: Tensor) -> Figures:
    """The four figures from three sweeps, balls open as in the prdc package."""
    x, y = prepare(real, fake)
    balls = []
    for points in (x, y):
        nearest = Nearest(points, K)
        sweep(points, None, [nearest])
        balls.append(Balls(nearest.squared()[:, K - 1], closed=False))
    counts = Containment(x, y, {"real": balls[0]}, {"fake": balls[1]})
    sweep(x, y, [counts])
    return {
        "precision": float((counts.around_y["real"] > 0).double().mean()),
        "recall": float((counts.around_x["fake"] > 0).double().mean()),
        "density": float(counts.around_y["real"].double().mean()) / K,
        "coverage": float((counts.in_x["real"] > 0).double().mean()),
    }


def _prdc(n: int, d: int, rounds: int) -> list[Row | Note]:
    table = f"Precision, recall, density, coverage, k = {K}, {n:,} x {d}"
    real, fake = synthetic(n, d, 1), synthetic(n, d, 2, 0.01)
    found: dict[str, dict[str, Cell]] = {}

    def ours() -> int:
        found[OURS] = dict(prdc_ours(real, fake))
        return 1

    variants: dict[str, Callable[[], int]] = {OURS: ours}
    notes = []
    if importlib.util.find_spec("prdc") is None:
        notes.append(Note(table, "prdc is not installed: skipped"))
    else:
        import prdc

        double = real.double().numpy(), fake.double().numpy()

        def theirs() -> int:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints how many there are
                figures = prdc.compute_prdc(*double, nearest_k=K)
            found[PRDC] = {name: float(value) for name, value in figures.items()}
            return 1

        variants[PRDC] = theirs
    rows = _timed(table, variants, rounds, found, PRDC)
    if PRDC in found:
        apart = max(
            abs(float(found[PRDC][name]) - float(value)) for name, value in found[OURS].items()
        )  # type: ignore[arg-type]
        notes.append(Note(table, f"greatest difference of a figure: {apart:.1g}"))
    return [*rows, *notes]


# How it grows --------------------------------------------------------------------------------


def _growth(sizes: tuple[int, ...], d: int) -> list[Row | Note]:
    """All of panel 1 without floors, one turn each: seconds and how they grow from row to row."""
    table = f"All fidelity figures of N samples against N real items, D = {d}"
    rows: list[Row | Note] = []
    before: tuple[int, float] | None = None
    few = Sets(synthetic(50, d, 1, 0.1), synthetic(50, d, 2))
    fidelity_panel(few, extractor=PointFeatures(), base={})  # imports, first allocations
    for n in sizes:
        described = Sets(synthetic(n, d, 1, 0.1), synthetic(n, d, 2))

        def measure(described: Sets = described) -> int:
            fidelity_panel(described, extractor=PointFeatures(), base={})
            return 1

        timings = interleave([Variant(str(n), measure)], rounds=1, warmups=0)
        seconds = timings.seconds(str(n)).median
        growth = None
        if before is not None:
            growth = f"N^{math.log(seconds / before[1]) / math.log(n / before[0]):.2f}"
        rows.append(
            Row(
                table,
                {
                    "N": n,
                    "CPU-s": seconds,
                    "s": timings.seconds(str(n), "wall").median,
                    "grows as": growth,
                    "CPU-ms per item": 1000 * seconds / n,
                },
            )
        )
        before = n, seconds
    return rows


def _memory(n: int, d: int) -> list[Row | Note]:
    """Neighbours of a large set: seconds, and the most memory beyond both sets."""
    table = f"Neighbours at {n:,} x {d}"
    # Without `synthetic`, whose temporaries are larger than both sets.
    sets = [
        torch.empty(n, d).normal_(generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)
    ]
    before = _peak_gb()

    def work() -> int:
        prdc_ours(*sets)
        return 1

    timings = interleave([Variant(OURS, work)], rounds=1, warmups=0)
    cells: dict[str, Cell] = {
        "CPU-s": timings.seconds(OURS).median,
        "peak GB": _peak_gb(),
        "of which torch and both sets": before,
    }
    return [Row(table, cells)]


def _peak_gb() -> float:
    """The most memory that this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
