"""Every estimate of panel 1 for one set against the real one, sharing what can be shared."""

from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from diptych.evaluation.fidelity.classes import class_coverage
from diptych.evaluation.fidelity.frechet import frechet_between, frechet_distance, moments
from diptych.evaluation.fidelity.frechet_infinity import BLOCKS, Blocks, frechet_infinity
from diptych.evaluation.fidelity.frechet_interval import standard_error, with_interval
from diptych.evaluation.fidelity.intervals import mean_estimate, share_estimate
from diptych.evaluation.fidelity.kept_moments import moments_kept
from diptych.evaluation.fidelity.kernels import (
    Kernel,
    KernelSums,
    cubic,
    gaussian,
    median_bandwidth,
    mmd,
)
from diptych.evaluation.fidelity.neighbours import Balls, Containment, Nearest
from diptych.evaluation.fidelity.pairs import Points, prepare, product_type, sweep
from diptych.evaluation.fidelity.sliced import sliced_w2
from diptych.evaluation.fidelity.two_sample import two_sample_accuracy
from diptych.evaluation.fidelity.vendi import vendi_score
from diptych.evaluation.figure import Estimate
from diptych.evaluation.streams import stream

__all__ = ["GROUPS", "K_OPEN", "K_RIM", "Reference"]

DEPENDENT = "given both sets; neighbours taken as independent, which they are not: too narrow"
K_RIM, K_OPEN = 3, 5
"""Neighbours of precision and recall (closed balls) and of density and coverage (open balls)."""

KERNELS = frozenset({"kid", "rbf-mmd"})
NEIGHBOURS = frozenset({"precision", "recall", "density", "coverage", "class-coverage", "one-nn"})
GROUPS: dict[str, frozenset[str]] = {
    "covariances": frozenset({"fd", "fd-infinity"}),
    "kernels and neighbours": KERNELS | NEIGHBOURS,
    "sliced distance": frozenset({"sliced-w2"}),
    "Vendi score": frozenset({"vendi"}),
    "two-sample test": frozenset({"c2st"}),
}
"""Keys of metrics that share their work, by what a progress bar calls it."""


class Reference:
    """The real set and what all comparisons with it share.

    Args:
        real: features (N, D).
        labels: int64 (N,), or None.
        wanted: keys of the metrics that will be asked for.
        seed: of everything random; each instrument has a generator of its own.
        size: of the largest set that will be compared; decides the type of products.
        cache_dir: where its covariances are kept; None keeps none.
    """

    def __init__(
        self,
        real: Tensor,
        labels: Tensor | None,
        wanted: Set[str],
        *,
        seed: int,
        size: int,
        cache_dir: Path | None = None,
    ) -> None:
        self._cache_dir = cache_dir
        self._real, self._labels, self._wanted, self._seed = real, labels, wanted, seed
        largest = max(size, len(real))
        self.products = product_type(largest, largest, real.shape[1])

    def measure(
        self, group: str, other: Tensor, wanted: Set[str], *, interval: bool = True
    ) -> dict[str, Estimate]:
        """The estimates of one group for a set in the place of the generated one.

        Args:
            group: a key of `GROUPS`.
            other: features (M, D).
            wanted: keys; those of other groups are passed over.
            interval: whether to spend time on intervals.

        Returns:
            Estimates by key; what does not apply to these sets is left out.

        Raises:
            DataError: a set is too small or holds values that are not finite.
        """
        work: dict[str, Callable[[Tensor, Set[str], bool], dict[str, Estimate]]] = {
            "covariances": self._covariances,
            "kernels and neighbours": self._pairs,
            "sliced distance": self._sliced,
            "Vendi score": lambda items, _, bars: {"vendi": vendi_score(items, interval=bars)},
            "two-sample test": self._two_sample,
        }
        chosen = GROUPS[group] & wanted
        return work[group](other, chosen, interval) if chosen else {}

    def _generator(self, instrument: str) -> torch.Generator:
        return stream(self._seed, f"fidelity/{instrument}")

    # Covariances ---------------------------------------------------------------------------

    @cached_property
    def _blocks(self) -> Blocks | None:
        return self._dealt(self._real, "real", self._cache_dir)

    def _dealt(self, items: Tensor, side: str, cache_dir: Path | None = None) -> Blocks | None:
        if "fd-infinity" not in self._wanted or len(items) < 2 * BLOCKS:
            return None
        generator = self._generator(f"fd-infinity {side}")
        return Blocks(items, generator=generator, cache_dir=cache_dir)

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        if self._blocks is None:
            return moments_kept(self._real, self._cache_dir)
        return self._blocks.moments()

    def _covariances(self, other: Tensor, wanted: Set[str], interval: bool) -> dict[str, Estimate]:
        blocks = self._dealt(other, "other")
        error = None
        if max(len(self._real), len(other)) <= other.shape[1]:
            value = frechet_between(self._real, other)
        else:
            theirs = moments(other) if blocks is None else blocks.moments()
            value = frechet_distance(*self._moments, *theirs)
            if interval and min(len(self._real), len(other)) > other.shape[1]:
                error = standard_error(self._real, other, self._moments, theirs)
        found = {"fd": Estimate(value) if error is None else with_interval(value, error)}
        if "fd-infinity" in wanted and blocks is not None and self._blocks is not None:
            found["fd-infinity"] = frechet_infinity(
                self._blocks, blocks, whole=value, sampling_error=error
            )
        return {key: estimate for key, estimate in found.items() if key in wanted}

    # Pairs ---------------------------------------------------------------------------------

    @cached_property
    def _kernels(self) -> dict[str, Kernel]:
        kernels: dict[str, Kernel] = {"kid": cubic} if "kid" in self._wanted else {}
        bandwidth = median_bandwidth(self._real) if "rbf-mmd" in self._wanted else 0.0
        # Real items that are all equal set no scale; the distance is left out then.
        return kernels | ({"rbf-mmd": gaussian(bandwidth)} if bandwidth > 0 else {})

    @cached_property
    def _points(self) -> Points:
        return prepare(self._real, dtype=self.products)[0]

    @cached_property
    def _own(self) -> "_Within":
        return _Within.of(self._points, self._kernels, bool(self._wanted & NEIGHBOURS))

    def _pairs(self, other: Tensor, wanted: Set[str], interval: bool) -> dict[str, Estimate]:
        x, y = self._points, self._points.beside(other)
        kernels = {key: kernel for key, kernel in self._kernels.items() if key in wanted}
        theirs = _Within.of(y, kernels, bool(wanted & NEIGHBOURS))
        between = {key: KernelSums(kernel, x, y) for key, kernel in kernels.items()}
        near, near_theirs, counts = self._own.nearest, theirs.nearest, None
        if near is not None and near_theirs is not None:
            counts = Containment(x, y, _balls(near), _balls(near_theirs))
        sweep(x, y, [*between.values(), *([] if counts is None else [counts])])
        found = {
            key: mmd(self._own.kernels[key], theirs.kernels[key], sums)
            for key, sums in between.items()
        }
        if counts is not None and near is not None:
            found |= _neighbour_estimates(counts)
            if self._labels is not None:
                covered = counts.in_x["open"] > 0
                found["class-coverage"] = class_coverage(covered, self._labels).worst
            if not bool((near[:, K_OPEN - 1] > 0).any()):
                note = "All real balls have radius 0 (identical items): nothing lies in them."
                for key in ("density", "coverage", "one-nn"):
                    found[key] = replace(found[key], note=note, trusted=False)
        return {key: estimate for key, estimate in found.items() if key in wanted}

    # One set's features at a time ------------------------------------------------------------

    def _sliced(self, other: Tensor, wanted: Set[str], interval: bool) -> dict[str, Estimate]:
        generator = self._generator("sliced-w2")
        return {"sliced-w2": sliced_w2(self._real, other, generator=generator)}

    def _two_sample(self, other: Tensor, wanted: Set[str], interval: bool) -> dict[str, Estimate]:
        generator = self._generator("c2st")
        return {"c2st": two_sample_accuracy(self._real, other, generator=generator)}


@dataclass(frozen=True, eq=False)
class _Within:
    """What one sweep within a set gives: kernel sums, and the distances of five neighbours."""

    kernels: dict[str, KernelSums]
    nearest: Tensor | None

    @classmethod
    def of(cls, points: Points, kernels: dict[str, Kernel], neighbours: bool) -> "_Within":
        sums = {key: KernelSums(kernel, points) for key, kernel in kernels.items()}
        nearest = Nearest(points, K_OPEN) if neighbours else None
        sweep(points, None, [*sums.values(), *([] if nearest is None else [nearest])])
        return cls(sums, None if nearest is None else nearest.squared())


def _balls(nearest: Tensor) -> dict[str, Balls]:
    return {
        "closed": Balls(nearest[:, K_RIM - 1], closed=True),
        "open": Balls(nearest[:, K_OPEN - 1], closed=False),
        # Whose ball to the nearest of its own kind holds one of the other kind is misjudged by
        # the nearest-neighbour rule.
        "nearest": Balls(nearest[:, 0], closed=False),
    }


def _neighbour_estimates(counts: Containment) -> dict[str, Estimate]:
    density = mean_estimate(counts.around_y["open"].double() / K_OPEN, "given the balls")
    judged = torch.cat([counts.in_x["nearest"], counts.in_y["nearest"]]) == 0
    return {
        "precision": share_estimate(counts.around_y["closed"] > 0, "given the balls"),
        "recall": share_estimate(counts.around_x["closed"] > 0, "given the balls"),
        "density": replace(density, low=max(0.0, density.low or 0.0)),
        "coverage": share_estimate(counts.in_x["open"] > 0, DEPENDENT),
        "one-nn": share_estimate(judged, DEPENDENT),
    }
