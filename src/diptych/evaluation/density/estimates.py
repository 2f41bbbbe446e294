"""Means of values per item, with their intervals."""

import math
from dataclasses import replace

from torch import Tensor

from diptych.evaluation.figure import Estimate
from diptych.objectives import bits_per_dimension

__all__ = ["as_bits", "mean_over_items", "students_quantile"]


def mean_over_items(values: Tensor) -> Estimate:
    """The mean over items with Student's interval."""
    count = len(values)
    mean = float(values.mean())
    if count < 2:
        return Estimate(mean, note="One item: no interval.")
    half = students_quantile(count - 1) * float(values.std()) / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, f"Student's t over {count} items")


def students_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t.

    Source: expansion of Cornish and Fisher, Abramowitz & Stegun 1964, 26.7.5; here the first five
    are exact, beyond them the error is below 0.002.
    """
    exact = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571}
    z = 1.959964
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    series = z + sum(term / freedom ** (power + 1) for power, term in enumerate(terms))
    return float(exact.get(freedom, series))


def as_bits(nats: Estimate, dimensions: int, *, dequantized: bool) -> Estimate:
    """Nats per image, negative log-likelihood, as bits per dimension."""

    def bits(value: float | None) -> float | None:
        if value is None:
            return None
        return bits_per_dimension(value, dimensions, dequantized=dequantized)

    value = bits_per_dimension(nats.value, dimensions, dequantized=dequantized)
    return replace(nats, value=value, low=bits(nats.low), high=bits(nats.high))
