"""Kernel distances: KID and the Gaussian-kernel MMD, unbiased, over all pairs of items.

MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y), each mean over all pairs of different items. Nothing
is subsampled, so there is no noise of subsets; the standard error is the delete-one jackknife,
which needs nothing but the row sums of the same kernel matrices.

Sources: Gretton et al. 2012, JMLR 13 (MMD); Bińkowski et al. 2018, arXiv:1801.01401 (KID).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.fidelity.intervals import NORMAL_95
from diptych.evaluation.fidelity.pairs import Points, Tile, prepare, sweep
from diptych.evaluation.figure import Estimate

__all__ = ["KernelSums", "cubic", "gaussian", "kid", "median_bandwidth", "mmd", "rbf_mmd"]

Kernel = Callable[[Tile], Tensor]
BANDWIDTH_ITEMS = 1000  # real items, evenly spaced, whose pairs set the bandwidth


def cubic(tile: Tile) -> Tensor:
    """k(x, y) = (x·y/D + 1)³, the kernel of KID."""
    base = tile.inner / tile.x.items.shape[1] + 1
    return base * base * base


def gaussian(bandwidth: float) -> Kernel:
    """k(x, y) = exp(−|x − y|² / 2σ²).

    Args:
        bandwidth: σ > 0, in feature units.
    """

    def kernel(tile: Tile) -> Tensor:
        return (tile.squared.clamp(min=0) * (-0.5 / bandwidth**2)).exp_()

    return kernel


@dataclass(eq=False)
class KernelSums:
    """Listens to a sweep for the sums of a kernel over each row and each column.

    Within a set, an item's pair with itself is left out, and rows and columns are one.

    Args:
        kernel: from a tile to its values.
        x: the first set of the sweep.
        y: the second, or None within x.
    """

    kernel: Kernel
    x: Points
    y: Points | None = None

    def __post_init__(self) -> None:
        self.rows = torch.zeros_like(self.x.squares)
        self.columns = self.rows if self.y is None else torch.zeros_like(self.y.squares)

    def __call__(self, tile: Tile) -> None:
        """Take in a tile."""
        values = self.kernel(tile)
        if tile.diagonal:
            values = values.clone().fill_diagonal_(0)
        self.rows[tile.rows] += values.sum(1, dtype=torch.float64)
        if tile.mirrored or not tile.within:
            self.columns[tile.columns] += values.sum(0, dtype=torch.float64)


def mmd(xx: KernelSums, yy: KernelSums, xy: KernelSums) -> Estimate:
    """Return the unbiased MMD² with a jackknife interval.

    Args:
        xx: sums within the real set, N ≥ 3.
        yy: sums within the generated set, M ≥ 3.
        xy: sums between them.

    Returns:
        MMD², which may come out below 0 for equal distributions.
    """
    n, m = len(xy.rows), len(xy.columns)
    total_x, total_y, between = xx.rows.sum(), yy.rows.sum(), xy.rows.sum()
    value = total_x / (n * (n - 1)) + total_y / (m * (m - 1)) - 2 * between / (n * m)

    def variance(total: Tensor, own: Tensor, cross: Tensor, size: int, other: int) -> Tensor:
        # What leaving out item i makes of the two terms in which it takes part.
        without = (total - 2 * own) / ((size - 1) * (size - 2))
        without = without - 2 * (between - cross) / ((size - 1) * other)
        return (without - without.mean()).square().sum() * (size - 1) / size

    spread = variance(total_x, xx.rows, xy.rows, n, m)
    spread = spread + variance(total_y, yy.rows, xy.columns, m, n)
    margin = NORMAL_95 * float(spread.sqrt())
    return Estimate(
        float(value),
        float(value) - margin,
        float(value) + margin,
        "delete-one jackknife over both sets",
    )


def kid(real: Tensor, fake: Tensor) -> Estimate:
    """Return the kernel inception distance: MMD² with k(x, y) = (x·y/D + 1)³.

    Args:
        real: (N, D), N ≥ 3, any floating dtype.
        fake: (M, D), M ≥ 3.

    Returns:
        The full unbiased estimate, in kernel units; not the mean over subsets that other packages
        print, though both estimate one number.

    Raises:
        DataError: fewer than three items, different D, or values that are not finite.

    Source: Bińkowski et al. 2018, arXiv:1801.01401.
    """
    return _of_sets(real, fake, cubic)


def rbf_mmd(real: Tensor, fake: Tensor, *, bandwidth: float | None = None) -> Estimate:
    """Return the MMD² with k(x, y) = exp(−|x − y|² / 2σ²).

    Args:
        real: (N, D), N ≥ 3, any floating dtype.
        fake: (M, D), M ≥ 3.
        bandwidth: σ; None takes :func:`median_bandwidth` of the real set.

    Raises:
        DataError: as :func:`kid`, or the bandwidth is not positive.

    Source: Gretton et al. 2012, JMLR 13.
    """
    bandwidth = median_bandwidth(real) if bandwidth is None else bandwidth
    if not bandwidth > 0:
        raise DataError(
            f"The bandwidth of a Gaussian kernel must be positive, not {bandwidth}; "
            "real items that are all equal leave nothing to take it from."
        )
    return _of_sets(real, fake, gaussian(bandwidth))


def median_bandwidth(real: Tensor) -> float:
    """Return the median distance between real items, over up to 1000 evenly spaced ones.

    It is taken from the real set alone, so that all models are measured with one kernel. Where
    half of the pairs are equal it is the root mean square distance; 0 where all are.

    Args:
        real: (N, D), N ≥ 2.
    """
    chosen = torch.linspace(0, len(real) - 1, min(len(real), BANDWIDTH_ITEMS)).round().long()
    items = real[chosen.to(real.device)].double()
    distances = torch.nn.functional.pdist(items)
    middle = float(distances.median())
    return middle if middle > 0 else float(distances.square().mean().sqrt())


def _of_sets(real: Tensor, fake: Tensor, kernel: Kernel) -> Estimate:
    if min(len(real), len(fake)) < 3:
        raise DataError(
            f"A kernel distance needs at least 3 items of each set and got {len(real)} real and "
            f"{len(fake)} generated."
        )
    x, y = prepare(real, fake)
    xx, yy, xy = KernelSums(kernel, x), KernelSums(kernel, y), KernelSums(kernel, x, y)
    sweep(x, None, [xx])
    sweep(y, None, [yy])
    sweep(x, y, [xy])
    return mmd(xx, yy, xy)
