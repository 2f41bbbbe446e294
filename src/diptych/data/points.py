"""Point sets: the two toy mixtures whose truth is known, and tables of the person's own."""

from math import pi
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diptych.data.dataset import Mixture
from diptych.data.labels import normalise_labels
from diptych.data.origin import Prepared
from diptych.errors import DataError

__all__ = ["MIXTURES", "draw", "grid", "is_table", "prepare_points", "ring"]

MOST_DIMENSIONS = 64
SEED = 0  # the toy sets are the same points for everyone


def ring() -> Mixture:
    """Eight Gaussians evenly on the unit circle, sigma 0.01."""
    angles = 2 * pi * np.arange(8) / 8
    return Mixture(np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.01)


def grid() -> Mixture:
    """Twenty-five Gaussians at the points of {-4, -2, 0, 2, 4}², sigma 0.05."""
    side = np.arange(-4.0, 5.0, 2.0)
    return Mixture(np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2), 0.05)


MIXTURES = {"ring": ring, "grid": grid}


def draw(mixture: Mixture, num_points: int) -> Prepared:
    """Independent points of a mixture, labelled by the component each was drawn from.

    Args:
        mixture: the truth.
        num_points: how many.

    Raises:
        DataError: `num_points` is not positive.
    """
    if num_points < 1:
        raise DataError(f"num_points is {num_points}; it must be positive.")
    generator = np.random.default_rng(SEED)
    components, dimensions = mixture.centers.shape
    labels = generator.integers(components, size=num_points)
    noise = generator.standard_normal((num_points, dimensions))
    points = mixture.centers[labels] + mixture.sigma * noise
    names = tuple(str(component) for component in range(components))
    return Prepared(points.astype(np.float32), labels.astype(np.int64), names)


def is_table(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape is a table of points and not pictures."""
    return len(shape) <= 2


def prepare_points(points: NDArray[Any], labels: ArrayLike | None, where: str) -> Prepared:
    """Check a table of points and make it float32.

    Args:
        points: floats (N, D), D at most 64.
        labels: (N,) or None.
        where: what errors call the table.

    Raises:
        DataError: another shape or type, or a value that is not finite in float32.
    """
    if points.ndim != 2 or points.dtype.kind != "f" or not 1 <= points.shape[1] <= MOST_DIMENSIONS:
        raise DataError(
            f"{where} has shape {points.shape} and type {points.dtype}; points are floats of "
            f"shape (N, D) with D at most {MOST_DIMENSIONS}, and pictures have shape (N, H, W) or "
            "more: reshape flattened pictures first."
        )
    with np.errstate(over="ignore"):  # what overflows is infinite and named below
        rows = np.array(points, np.float32)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{where} holds NaN or infinite values in {np.sum(~finite):,} rows, the first of them "
            f"row {int(np.argmin(finite))}; remove or repair such rows."
        )
    if labels is None:
        return Prepared(rows)
    return Prepared(rows, *normalise_labels(labels, len(rows), where))
