"""The training loop: one, for every game. It knows turns, a budget and a clock, and no model."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from diptych.errors import TrainingDiverged
from diptych.models import Game
from diptych.objectives import Terms, linear_decay
from diptych.training.batches import Batches
from diptych.training.budget import Budget, TrainingClock
from diptych.training.ema import MovingAverage
from diptych.training.engine import Engine
from diptych.workers import mean_over_workers, number_from_first

__all__ = ["Counters", "LogRow", "TermMeans", "TrainingState", "train_until"]

LOG_EVERY = 50
"""Steps between two rows of metrics; the only times the loop reads numbers off the device."""

LogRow = dict[str, float]
"""step, images, seconds, progress, images_per_second, and every term as "turn/term"."""


class TermMeans:
    """Means of the terms over a log interval, summed on the device and read once."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, turn: str, terms: Terms) -> None:
        """Take in the terms of one turn."""
        for name, value in terms.named.items():
            key = f"{turn}/{name}"
            self._sums[key] = self._sums[key] + value if key in self._sums else value.clone()
            self._counts[key] = self._counts.get(key, 0) + 1

    def read(self) -> dict[str, float]:
        """The means by "turn/term", over all workers."""
        if not self._sums:
            return {}
        values = torch.stack([total.float() for total in self._sums.values()])
        means = mean_over_workers(values).tolist()
        return {
            key: value / self._counts[key] for key, value in zip(self._sums, means, strict=True)
        }

    def clear(self) -> None:
        """Begin a new interval."""
        self._sums.clear()
        self._counts.clear()

    def tensors(self) -> dict[str, Tensor]:
        """The interval as far as it has come, for a checkpoint."""
        return {
            **{f"sum/{key}": mean_over_workers(total) for key, total in self._sums.items()},
            **{f"count/{key}": torch.tensor(count) for key, count in self._counts.items()},
        }

    def restore(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Go on with an interval that `tensors` wrote down."""
        self.clear()
        for name, value in tensors.items():
            what, _, key = name.partition("/")
            if what == "sum":
                self._sums[key] = value.to(device)
            else:
                self._counts[key] = int(value)


@dataclass
class Counters:
    """How far training is."""

    step: int = 0
    images: int = 0


@dataclass
class TrainingState:
    """Everything that changes while training."""

    game: Game
    average: MovingAverage
    engine: Engine
    batches: Batches
    means: TermMeans = field(default_factory=TermMeans)
    clock: TrainingClock = field(default_factory=TrainingClock)
    counters: Counters = field(default_factory=Counters)

    @property
    def seconds(self) -> float:
        """Training time so far by the first worker's clock, which holds for all of them."""
        return number_from_first(self.clock.seconds)

    def progress(self, budget: Budget) -> float:
        """Part of the budget that is spent, in [0, 1]; the same on all workers."""
        seconds = 0.0 if budget.minutes is None else self.seconds
        return budget.progress(seconds=seconds, images=self.counters.images)


def train_until(
    state: TrainingState,
    budget: Budget,
    *,
    decay_from: float,
    should_stop: Callable[[], bool],
) -> Iterator[LogRow]:
    """Take steps until the budget is spent or a stop is asked for; yield a row per log interval.

    The last interval of a budget may be shorter; one that a stop cuts is kept for later.

    While the caller holds a row (to write, to draw, to save) the clock stands still, so nothing
    it does is charged to training.

    Args:
        state: changed in place.
        budget: minutes or images.
        decay_from: part of the budget after which learning rates fall linearly to 0.
        should_stop: asked before every step.

    Raises:
        TrainingDiverged: when a term is no longer finite.
    """
    game, engine, counters, clock = state.game, state.engine, state.counters, state.clock
    turns = game.turns()
    means = state.means
    batch_size = state.batches.batch_size
    game.train()
    clock.start()
    last_images, last_seconds = counters.images, state.seconds

    def row() -> LogRow:
        nonlocal last_images, last_seconds
        values = means.read()
        means.clear()
        seconds = state.seconds
        _check_finite(values, counters.step)
        rate = (counters.images - last_images) / max(seconds - last_seconds, 1e-9)
        last_images, last_seconds = counters.images, seconds
        return {
            "step": counters.step,
            "images": counters.images,
            "seconds": round(seconds, 3),
            "progress": round(state.progress(budget), 6),
            "images_per_second": round(rate, 2),
            **values,
        }

    while (progress := state.progress(budget)) < 1.0 and not should_stop():
        batch = state.batches[counters.step]
        for turn in turns:
            terms = engine.take(
                turn,
                batch,
                progress=progress,
                step=counters.step,
                rate_scale=linear_decay(progress, decay_from),
            )
            means.add(turn.name, terms)
        counters.step += 1
        counters.images += batch_size
        state.average.update(step=counters.step, batch=batch_size, images_seen=counters.images)
        if counters.step % LOG_EVERY == 0:
            finished = row()
            with clock.paused():
                yield finished
    clock.stop()
    if state.progress(budget) < 1.0:
        # Stopped early: the interval goes on when the run does, as if nothing had happened.
        _check_finite(means.read(), counters.step)
    elif counters.step % LOG_EVERY:
        yield row()


def _check_finite(means: dict[str, float], step: int) -> None:
    for name, value in means.items():
        if not math.isfinite(value):
            raise TrainingDiverged(f"{name} became {value} before step {step}")
