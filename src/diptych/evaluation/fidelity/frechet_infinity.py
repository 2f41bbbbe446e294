"""The Fréchet distance that infinitely many items would give.

The estimate at N items is biased upward by about c/N, and c depends on the model, so a fixed N
does not make it fair. Half of the items shows the slope, and the line in 1/N is followed to
1/N = 0. Real and generated items bias alike, so both are subsampled, and by the same share.

Source: Chong and Forsyth 2020, arXiv:1911.07023 (who subsample the generated set).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.fidelity.frechet import frechet_between, frechet_distance
from diptych.evaluation.fidelity.intervals import NORMAL_95
from diptych.evaluation.fidelity.kept_moments import moments_kept
from diptych.evaluation.figure import Estimate

__all__ = ["BLOCKS", "Blocks", "frechet_infinity"]

BLOCKS = 2
SUBSETS = ((0,), (1,), (0, 1))
"""Both halves and the whole. Each item counts equally often at both sizes, so what is peculiar to
these items moves both alike and does not tilt the line; more sizes would cost d³ each and, short
of N/2, say the same."""
TRUSTED_ITEMS_PER_FEATURE = 4


class Blocks:
    """A set of features dealt at random into two halves, with the moments of each.

    Args:
        features: (N, D), N ≥ 4, any floating dtype.
        generator: deals the items.
        cache_dir: where moments are kept, of a real set; None keeps none.

    Raises:
        DataError: too few items, no matrix, or values that are not finite.
    """

    def __init__(
        self, features: Tensor, *, generator: torch.Generator, cache_dir: Path | None = None
    ) -> None:
        if features.ndim != 2 or len(features) < 2 * BLOCKS:
            raise DataError(
                f"FD-infinity needs a matrix of at least {2 * BLOCKS} items, "
                f"not {tuple(features.shape)}."
            )
        order = torch.randperm(len(features), generator=generator, device=generator.device)
        self.features = features
        self._parts = order.to(features.device).tensor_split(BLOCKS)
        self._summed = [_Summed.of(features[part], cache_dir) for part in self._parts]

    def rows(self, which: Sequence[int]) -> Tensor:
        """The items of these blocks."""
        return self.features[torch.cat([self._parts[block] for block in which])]

    def moments(self, which: Sequence[int] = range(BLOCKS)) -> tuple[Tensor, Tensor]:
        """Mean (D,) and unbiased covariance (D, D) of these blocks together, float64."""
        chosen = [self._summed[block] for block in which]
        count = sum(part.count for part in chosen)
        mean = torch.stack([part.mean * (part.count / count) for part in chosen]).sum(0)
        scatter = torch.zeros_like(chosen[0].scatter)
        for part in chosen:
            gap = part.mean - mean
            scatter += part.scatter
            scatter.addr_(gap, gap, alpha=part.count)
        return mean, scatter / (count - 1)

    def size(self, which: Sequence[int]) -> int:
        """How many items these blocks hold."""
        return sum(len(self._parts[block]) for block in which)


@dataclass(frozen=True, eq=False)
class _Summed:
    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, items: Tensor, cache_dir: Path | None) -> "_Summed":
        mean, covariance = moments_kept(items, cache_dir)
        return cls(len(items), mean, covariance * (len(items) - 1))


def frechet_infinity(
    x: Blocks, y: Blocks, *, whole: float | None = None, sampling_error: float | None = None
) -> Estimate:
    """Return the Fréchet distance extrapolated to infinitely many items of both sets.

    With d²(N) = a + b·(1/N + 1/M)/2 taken at both halves of the sets and at the whole, the figure
    is a = 2 d²(whole) − mean d²(halves).

    Args:
        x: the real features, dealt into blocks.
        y: the generated ones.
        whole: the distance between all items, if it is known already.
        sampling_error: the standard error of `whole` by
            :func:`~diptych.evaluation.fidelity.frechet_interval.standard_error`. It is that of
            the figure too, since the halves weigh all items alike. None leaves the interval out.

    Returns:
        The intercept, which may fall a little below 0. Not trusted below four items per feature,
        where the line in 1/N does not hold yet.

    Raises:
        DataError: features of different sizes.

    Source: Chong and Forsyth 2020, arXiv:1911.07023.
    """
    *halves, everything = SUBSETS
    whole = _distance(x, y, everything) if whole is None else whole
    half = sum(_distance(x, y, which) for which in halves) / len(halves)
    value = 2 * whole - half
    width, items = x.features.shape[1], min(len(x.features), len(y.features))
    trusted = items >= TRUSTED_ITEMS_PER_FEATURE * width
    needed = f"N={items} < {TRUSTED_ITEMS_PER_FEATURE}x{width} features"
    note = "" if trusted else f"{needed}: the bias is not a line in 1/N yet."
    if sampling_error is None:
        return Estimate(value, note=note, trusted=trusted)
    margin = NORMAL_95 * sampling_error
    if value < -2 * margin:
        below = (
            "Below zero by more than sampling explains: the sets share items or are degenerate."
        )
        note, trusted = f"{note} {below}".strip(), False
    interval = "delta method; the line in 1/N taken as true"
    return Estimate(value, value - margin, value + margin, interval, note, trusted)


def _distance(x: Blocks, y: Blocks, which: Sequence[int]) -> float:
    if max(x.size(which), y.size(which)) <= x.features.shape[1]:
        # Singular covariances: the items themselves are a fraction of the work.
        return frechet_between(x.rows(which), y.rows(which))
    return frechet_distance(*x.moments(which), *y.moments(which))
