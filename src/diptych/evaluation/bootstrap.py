"""Percentile bootstrap: how much a number would move with other images of the same kind.

Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 13.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = ["DRAWS", "bootstrap_interval", "resampled_mean"]

DRAWS = 1000
COVERED = 0.95
INDICES = 2**22  # drawn at once, over all sets: 32 MB


def bootstrap_interval(
    statistic: Callable[[list[Tensor]], Tensor],
    sizes: Sequence[int],
    *,
    generator: torch.Generator,
    draws: int = DRAWS,
) -> tuple[float, float]:
    """Return the ends of a 95 % interval, by drawing the items of each set with replacement.

    The interval tells how other images would move the number, not how other seeds of training
    would; it is too narrow for fewer than about 20 items.

    Args:
        statistic: takes indices (B, N_i) into each set and returns the B values they give.
        sizes: how many items each set has, ≥ 1; the sets are drawn independently.
        generator: where the draws come from; on the CPU.
        draws: how many times everything is drawn.

    Returns:
        The 2.5 % and 97.5 % quantiles of the values.

    Raises:
        DataError: a set is empty, or a value is not finite.
    """
    if min(sizes) < 1:
        raise DataError("An interval by bootstrap needs at least one item in each set.")
    at_once = max(1, INDICES // sum(sizes))
    values = []
    for start in range(0, draws, at_once):
        count = min(at_once, draws - start)
        values.append(
            statistic([torch.randint(n, (count, n), generator=generator) for n in sizes])
        )
    drawn = torch.cat(values).double()
    if not bool(drawn.isfinite().all()):
        raise DataError("A bootstrap draw gave no number: some of the items cannot be measured.")
    tail = (1 - COVERED) / 2
    low, high = torch.quantile(drawn, torch.tensor([tail, 1 - tail], dtype=drawn.dtype)).tolist()
    return low, high


def resampled_mean(values: Tensor, rows: Tensor) -> Tensor:
    """Return the mean of the drawn values: values (N, D) and rows (B, N) give (B, D).

    It is one product with how often each item was drawn, so a (B, N, D) tensor never exists.
    """
    counts = torch.zeros(rows.shape, dtype=values.dtype)
    counts.scatter_add_(1, rows, torch.ones((), dtype=values.dtype).expand(rows.shape))
    return counts @ values / rows.shape[1]
