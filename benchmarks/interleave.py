"""Variants of one job timed in turns, so that a busy or throttled machine treats all alike.

A round takes every variant once, every second round in the opposite order. What is reported of a
ratio is the median over rounds of the ratio within a round, never a ratio of two medians.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["By", "Clock", "Sample", "Spread", "Timings", "Variant", "interleave"]

By = Literal["cpu", "wall"]


def processor_seconds() -> float:
    """Return the processor time of all threads and of the children that have ended, in seconds."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


class Clock(NamedTuple):
    """What is read before and after each turn, in seconds."""

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = processor_seconds


@dataclass(frozen=True)
class Sample:
    """One turn: how much was done, and what it took in seconds."""

    amount: float
    wall: float
    cpu: float

    def rate(self, by: By = "cpu") -> float:
        """Return the amount per second."""
        return self.amount / max(self.cpu if by == "cpu" else self.wall, 1e-9)


class Variant(NamedTuple):
    """One way to do the job.

    Attributes:
        name: unique among the variants.
        work: does a bounded part of the job and returns how much (images, calls, rows), or the
            sample, where it works in another process and reads the clocks there.
    """

    name: str
    work: Callable[[], float | Sample]


class Spread(NamedTuple):
    """The median over rounds, and the least and greatest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Spread:
        """Return the median and range of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def times(self, factor: float) -> Spread:
        """Return it in another unit."""
        return Spread(*(value * factor for value in self))


@dataclass(frozen=True)
class Timings:
    """The samples of each variant by its name, one per round, in the order of the rounds."""

    samples: Mapping[str, Sequence[Sample]]

    def rate(self, name: str, by: By = "cpu") -> Spread:
        """Return the amount per second."""
        return Spread.over([sample.rate(by) for sample in self.samples[name]])

    def seconds(self, name: str, by: By = "cpu") -> Spread:
        """Return the seconds per unit of amount."""
        return Spread.over([1.0 / sample.rate(by) for sample in self.samples[name]])

    def ratio(self, name: str, to: str, by: By = "cpu") -> Spread:
        """Return how many times as fast `name` is as `to`, taken within each round."""
        pairs = zip(self.samples[name], self.samples[to], strict=True)
        return Spread.over([ours.rate(by) / theirs.rate(by) for ours, theirs in pairs])


def interleave(
    variants: Sequence[Variant],
    *,
    rounds: int = 5,
    warmups: int = 1,
    clock: Clock = Clock(),  # noqa: B008  (immutable)
    announce: Callable[[str], None] | None = None,
) -> Timings:
    """Take every variant once per round, in alternating order.

    Args:
        variants: at least one; names are unique.
        rounds: how often each is timed.
        warmups: untimed turns of each before the first round: caches, lazy imports, compilation.
        clock: what is read; tests give their own.
        announce: told the name of a variant and its rate after every turn.

    Raises:
        ValueError: if names repeat, or nothing is to be timed.
    """
    names = [variant.name for variant in variants]
    if len(set(names)) != len(names):
        raise ValueError(f"the names of variants repeat: {names}")
    if not variants or rounds < 1:
        raise ValueError("at least one variant and one round are needed")
    for variant in variants:
        for _ in range(warmups):
            variant.work()
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(rounds):
        for variant in variants if number % 2 == 0 else reversed(variants):
            gc.collect()  # so that nobody pays for the rubbish of the one before
            wall, cpu = clock.wall(), clock.cpu()
            done = variant.work()
            wall, cpu = clock.wall() - wall, clock.cpu() - cpu
            sample = done if isinstance(done, Sample) else Sample(done, wall, cpu)
            samples[variant.name].append(sample)
            if announce is not None:
                announce(
                    f"round {number + 1}/{rounds}  {variant.name}: {sample.rate():,.4g} /CPU-s"
                )
    return Timings(samples)
