"""How fast each recipe trains here: a few seconds of each, in a place that is thrown away."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from diptych.data import Data
from diptych.errors import DiptychError, TrainingDiverged
from diptych.recipes import Recipe
from diptych.study.watching import Watcher
from diptych.training.plan import Precision
from diptych.training.run import train

__all__ = ["probe_speeds"]

SECONDS = 6.0
"""Training time of each recipe's probe."""


def probe_speeds(
    recipes: Sequence[Recipe],
    data: Data,
    *,
    seed: int,
    device: str,
    precision: Precision,
    threads: int | None,
    watcher: Watcher,
) -> dict[str, float]:
    """Images per second of each recipe by name.

    Args:
        recipes: what to try, one after the other.
        data: what they will be trained on.
        seed: of the trial.
        device: where they will be trained.
        precision: as `train` takes it.
        threads: at the most, where members will share the machine; None for all.
        watcher: told each rate.

    Raises:
        DiptychError: every recipe diverged.
    """
    rates = {}
    for recipe in recipes:
        try:
            with TemporaryDirectory(prefix="diptych-probe-") as scratch, _at_most(threads):
                run = train(
                    recipe,
                    data,
                    minutes=SECONDS / 60.0,
                    seed=seed,
                    out=Path(scratch) / recipe.name,
                    device=device,
                    precision=precision,
                )
                rates[recipe.name] = _rate(run.history, run.info["spent"])
        except TrainingDiverged:
            watcher.say(f"speed: {recipe.title} diverged while its speed was measured")
            continue
        watcher.say(f"speed: {recipe.title} sees {rates[recipe.name]:,.0f} images per second")
    if not rates:
        raise DiptychError(
            "every recipe diverged while its speed was measured; "
            "try a smaller learning rate with --set"
        )
    return rates


def _rate(rows: Sequence[Mapping[str, float]], spent: Mapping[str, float]) -> float:
    """Images per second after the first row, which also pays for warming up."""
    if len(rows) > 2:
        first, last = rows[0], rows[-1]
        return (last["images"] - first["images"]) / (last["seconds"] - first["seconds"])
    return spent["images"] / max(spent["seconds"], 1e-9)


@contextmanager
def _at_most(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
