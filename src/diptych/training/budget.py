"""How long to train: minutes of training time, or images seen; and the clock that measures it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from diptych.errors import DiptychError

__all__ = ["Budget", "TrainingClock"]


@dataclass(frozen=True)
class Budget:
    """Exactly one of the two is set.

    Minutes count training only: evaluation, pictures and saving are not charged. Images count
    every real image shown, repeats included; a run under it is reproducible to the last bit.
    """

    minutes: float | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.images is None):
            raise DiptychError("a budget is either minutes or images: give exactly one of them")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise DiptychError(f"minutes must be a positive number, not {self.minutes}")
        if self.images is not None and self.images < 1:
            raise DiptychError(f"images must be at least 1, not {self.images}")

    def progress(self, *, seconds: float, images: int) -> float:
        """The part that is spent, in [0, 1]."""
        spent = images / self.images if self.images else seconds / (60.0 * (self.minutes or 1.0))
        return min(1.0, spent)

    def extended(self, *, seconds: float, images: int, more: "Budget") -> "Budget":
        """The budget of a run that has spent so much and is to train `more` from there."""
        if more.images is not None:
            return Budget(images=images + more.images)
        return Budget(minutes=seconds / 60.0 + (more.minutes or 0.0))

    def __str__(self) -> str:
        if self.images is not None:
            return f"{self.images:,} images"
        minutes = self.minutes or 0.0
        if minutes < 1:
            return f"{minutes * 60:.3g} seconds"
        return f"{minutes:.3g} minute{'' if minutes == 1 else 's'}"


class TrainingClock:
    """Seconds of training, without the pauses for pictures, evaluation and saving."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._before = seconds
        self._since: float | None = None

    def start(self) -> None:
        """Run on from here."""
        self._since = time.perf_counter()

    def stop(self) -> None:
        """Stand still."""
        self._before, self._since = self.seconds, None

    @property
    def seconds(self) -> float:
        """Training time so far, in seconds."""
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self._before + running

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time inside is not charged."""
        self.stop()
        try:
            yield
        finally:
            self.start()
