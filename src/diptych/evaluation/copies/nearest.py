"""Exact nearest neighbours between two sets of features, block by block.

A matrix product gives all squared distances |a|² + |b|² − 2ab at once but only to the rounding of
the norms: for features 100 away from the origin an item may come out 3.46 away from itself. So the
features are centred, the product only *proposes* candidates, the winners' distances are taken
from differences in float64, and a row is searched again in float64 wherever the rounding of
float32 could have hidden its winner.

To choose the least of 50,000 numbers costs half as much as to compute them, so items stand in
groups of eight: the least of each group is taken first, which a processor does at full width, and
only the members of the best groups are looked at one by one.
"""

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = ["checked", "nearest"]

BLOCK = 256  # rows of a distance matrix held at once
SPARE = 8  # candidates beyond the k wanted, which rounding may have pushed back
GROUP = 8  # items of which the least distance is taken first
SPARE_GROUPS = 4  # groups beyond the k that are opened


def nearest(
    queries: Tensor, base: Tensor, k: int = 1, *, exclude: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the k nearest base items of every query.

    Args:
        queries: (N, D), any floating dtype.
        base: (M, D).
        k: how many, 1 ≤ k ≤ M; one less if `exclude` is given.
        exclude: int64 (N,), for each query the base item that does not count. With
            ``queries = base[i]`` and ``exclude = i`` an item is not its own neighbour, while its
            duplicates are.

    Returns:
        Euclidean distances, float64 (N, k), ascending, and the base items' indices, int64 (N, k).
        An identical pair has a distance of exactly 0.

    Raises:
        DataError: shapes that do not fit, too few base items, or values that are not finite.
    """
    queries, base = checked(queries, base)
    if not 1 <= k <= len(base) - (exclude is not None):
        raise DataError(
            f"{k} nearest neighbours cannot be found among {len(base)} items"
            f"{' without the item itself' if exclude is not None else ''}; bring more."
        )
    centre = base.mean(0, dtype=torch.float64)
    distances = torch.empty(len(queries), k, dtype=torch.float64, device=queries.device)
    indices = torch.empty(len(queries), k, dtype=torch.int64, device=queries.device)
    rows = torch.arange(len(queries), device=queries.device)
    for dtype in (torch.float32, torch.float64):
        moved = _moved(base, centre, dtype)
        norms = moved.square().sum(1)
        # Written over by every block: a fresh matrix of this size costs as much as the product.
        room = torch.empty(min(BLOCK, len(rows)), len(base), dtype=dtype, device=base.device)
        unsure = []
        for block in torch.split(rows, BLOCK):
            left_out = None if exclude is None else exclude[block]
            moved_queries = _moved(queries[block], centre, dtype)
            candidates, sure = _candidates(moved_queries, moved, norms, k, left_out, room)
            exact = (queries[block].double()[:, None] - base[candidates].double()).square().sum(-1)
            if left_out is not None:  # only among the candidates if there are hardly any others
                exact.masked_fill_(candidates == left_out[:, None], torch.inf)
            least = exact.topk(k, largest=False)
            distances[block] = least.values.sqrt()
            indices[block] = candidates.gather(1, least.indices)
            unsure.append(block[~sure])
        rows = torch.cat(unsure)
        if not len(rows):
            break
    return distances, indices


def checked(*sets: Tensor) -> list[Tensor]:
    """Return the sets as they are, once they are finite matrices (N ≥ 1, D) of one D.

    Raises:
        DataError: they are not.
    """
    shapes = [tuple(features.shape) for features in sets]
    if any(len(shape) != 2 or shape[1] != shapes[0][-1] for shape in shapes):
        raise DataError(
            "The search for copies needs matrices of features (N, D) of one D, not "
            f"{' and '.join(str(shape) for shape in shapes)}."
        )
    if not all(features.numel() for features in sets):
        raise DataError("The search for copies was given a set without items.")
    if not all(features.is_floating_point() for features in sets):
        raise DataError("The search for copies needs features as floating numbers.")
    if not all(bool(features.isfinite().all()) for features in sets):
        raise DataError("The features hold NaN or infinite values; look at the samples first.")
    return list(sets)


def _moved(features: Tensor, centre: Tensor, dtype: torch.dtype) -> Tensor:
    """Centred in float64, then rounded; in parts, so that no second large float64 set appears."""
    return torch.cat([(part.double() - centre).to(dtype) for part in torch.split(features, 4096)])


def _candidates(
    queries: Tensor, base: Tensor, norms: Tensor, k: int, left_out: Tensor | None, room: Tensor
) -> tuple[Tensor, Tensor]:
    """Propose items (N, k + SPARE), and say whether the k nearest are certainly among them."""
    own = queries.square().sum(1)
    # Squared distances less the query's own norm, which does not change which is least.
    shifted = torch.addmm(norms, queries, base.T, alpha=-2, out=room[: len(queries)])
    if left_out is not None:
        shifted[torch.arange(len(queries), device=base.device), left_out] = torch.inf
    values, indices, next_group = _least(shifted, k)
    if values.shape[1] == len(base):
        return indices, torch.ones_like(own, dtype=torch.bool)
    rounding = torch.finfo(base.dtype).eps * (8 + base.shape[1] ** 0.5) * (own + norms.max())
    # Every item left behind is at least this much farther than the k-th proposed.
    behind = torch.minimum(values[:, -1], next_group)
    return indices, behind - values[:, k - 1] > 2 * rounding


def _least(values: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The least k + SPARE of each row, their columns, and a bound on those not looked at.

    Returns:
        Ascending values and columns (N, k + SPARE), and (N,): no column of a group that was left
        closed holds less.
    """
    columns = values.shape[1]
    opened, groups = k + SPARE_GROUPS, columns // GROUP
    kept = min(k + SPARE, columns)
    if groups < 2 * opened:
        taken = values.topk(kept, largest=False)
        return taken.values, taken.indices, torch.full_like(values[:, 0], torch.inf)
    # Group g holds the columns g, g + groups, ...; the few that are left over are always opened.
    grouped = values[:, : groups * GROUP].view(len(values), GROUP, groups)
    best = grouped.amin(1).topk(opened, largest=False)
    members = torch.arange(GROUP, device=values.device) * groups
    chosen = (best.indices[:, :, None] + members).flatten(1)
    rest = torch.arange(groups * GROUP, columns, device=values.device)
    chosen = torch.cat([chosen, rest.expand(len(values), -1)], 1)
    taken = values.gather(1, chosen).topk(kept, largest=False)
    return taken.values, chosen.gather(1, taken.indices), best.values[:, -1]
