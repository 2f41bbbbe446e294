"""k-means: points into k groups of near ones.

Source: Lloyd 1982 (the iteration); Arthur and Vassilvitskii 2007, "k-means++: the advantages of
careful seeding" (the start).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = ["Clusters", "assign", "k_means"]

BLOCK = 4096  # rows of a distance matrix held at once


@dataclass(frozen=True, eq=False)
class Clusters:
    """What k-means found.

    Attributes:
        centers: (k, D), float64, in the unit of the points.
        labels: (N,), int64, which center each point is nearest to.
        inertia: the sum of squared distances of the points to their centers.
    """

    centers: Tensor
    labels: Tensor
    inertia: float


def k_means(
    points: Tensor,
    k: int,
    *,
    generator: torch.Generator,
    restarts: int = 1,
    steps: int = 100,
) -> Clusters:
    """Divide points into k clusters, each point to the nearest of k means.

    Each restart begins with k-means++ (a center is a point drawn in proportion to its squared
    distance from the centers so far) and repeats Lloyd's step until no label changes. A center
    that loses all its points moves to the point farthest from its own. With fewer than k
    different points some centers coincide and some clusters are empty.

    Args:
        points: (N, D), any floating dtype.
        k: 1 ≤ k ≤ N.
        generator: of the starts; on the CPU.
        restarts: how often to start; the lowest inertia is kept.
        steps: Lloyd's steps at most, per start.

    Returns:
        The clusters of the best restart.

    Raises:
        DataError: not a matrix, k outside 1..N, no restarts or steps, or values that are not
            finite.
    """
    if points.ndim != 2:
        raise DataError(f"Clusters need points (N, D), not {tuple(points.shape)}.")
    if not 1 <= k <= len(points):
        raise DataError(
            f"{len(points)} points cannot be divided into {k} clusters; ask for fewer."
        )
    if restarts < 1 or steps < 1:
        raise DataError(f"k-means needs restarts and steps ≥ 1, not {restarts} and {steps}.")
    if not bool(points.isfinite().all()):
        raise DataError("The points to cluster hold NaN or infinite values.")
    points = points.double()
    offset = points.mean(0)  # small norms keep the distances exact
    centred = points - offset
    best: Clusters | None = None
    for _ in range(restarts):
        found = _lloyd(centred, _start(centred, k, generator), steps)
        if best is None or found.inertia < best.inertia:
            best = found
    assert best is not None
    return Clusters(best.centers + offset, best.labels, best.inertia)


def assign(points: Tensor, centers: Tensor) -> Tensor:
    """Return which center is nearest to each point, int64 (N,); the first of equals.

    Args:
        points: (N, D), any floating dtype.
        centers: (k, D).

    Raises:
        DataError: shapes that do not fit, or no centers.
    """
    if points.ndim != 2 or centers.ndim != 2 or points.shape[1] != centers.shape[1]:
        raise DataError(
            "Points (N, D) go to centers (k, D) of one D, not "
            f"{tuple(points.shape)} and {tuple(centers.shape)}."
        )
    if not len(centers):
        raise DataError("Points cannot be assigned without centers.")
    centers = centers.double().to(points.device)
    offset = centers.mean(0)
    return _nearest(points.double() - offset, centers - offset)[1]


def _lloyd(points: Tensor, centers: Tensor, steps: int) -> Clusters:
    distances, labels = _nearest(points, centers)
    for _ in range(steps):
        centers = _means(points, labels, distances, len(centers))
        before = labels
        distances, labels = _nearest(points, centers)
        if torch.equal(labels, before):
            break
    return Clusters(centers, labels, float(distances.sum()))


def _means(points: Tensor, labels: Tensor, distances: Tensor, k: int) -> Tensor:
    """Return the mean of each cluster (k, D); an empty one gets a point far from its center."""
    counts = labels.bincount(minlength=k)
    sums = points.new_zeros(k, points.shape[1]).index_add_(0, labels, points)
    centers = sums / counts.clamp(min=1)[:, None]
    empty = (counts == 0).nonzero()[:, 0]
    if len(empty):
        centers[empty] = points[distances.topk(len(empty)).indices]
    return centers


def _start(points: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Return k points (k, D) drawn by k-means++."""
    norms = points.square().sum(1)

    def distances_from(chosen: int) -> Tensor:
        # As a product: one pass over the points, where a difference would take three.
        return (norms + norms[chosen] - 2 * (points @ points[chosen])).clamp(min=0)

    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    distances = distances_from(chosen[0])
    for _ in range(k - 1):
        # Inverting the cumulated sum takes any N; torch.multinomial stops at 2²⁴.
        cumulated = distances.cumsum(0)
        draw = torch.rand(1, generator=generator, dtype=torch.float64).to(points.device)
        place = torch.searchsorted(cumulated, draw * cumulated[-1], right=True)
        chosen.append(min(int(place), len(points) - 1))
        distances = torch.minimum(distances, distances_from(chosen[-1]))
    return points[chosen]


def _nearest(points: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the squared distance of each point to its nearest center, and which that is."""
    norms = centers.square().sum(1)
    found = [
        torch.addmm(block.square().sum(1, keepdim=True) + norms, block, centers.T, alpha=-2).min(1)
        for block in torch.split(points, BLOCK)
    ]
    distances = torch.cat([pair.values for pair in found]).clamp(min=0)
    return distances, torch.cat([pair.indices for pair in found])
