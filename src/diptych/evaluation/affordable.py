"""How many images can be described in a given time."""

import time
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from diptych.errors import DataError
from diptych.evaluation.extractors.features import Features

__all__ = ["STEPS", "affordable"]

STEPS = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
"""Round numbers, so that two machines of like speed choose the same N."""
SETS = 3
"""Samples, reference and floor."""


def affordable(
    extractors: Sequence[Features], images: NDArray[Any], minutes: float, most: int
) -> int:
    """Return the largest round N whose three sets are described within the time.

    Args:
        extractors: what describes them, one after the other.
        images: a few images, to see how fast that is; uint8 (N, H, W, C), or points.
        minutes: the time there is; > 0.
        most: N at the most.

    Raises:
        DataError: the time is not positive.
    """
    if not minutes > 0:
        raise DataError(f"--budget is {minutes:g} minutes; it must be more than 0")
    seconds = 0.0
    for extractor in extractors:
        extractor.features(images[:8])  # the first pass also allocates and compiles
        started = time.perf_counter()
        extractor.features(images)
        seconds += (time.perf_counter() - started) / len(images)
    within = [step for step in STEPS if step * SETS * seconds <= minutes * 60]
    chosen = within[-1] if within else STEPS[0]
    return min(chosen, most)
