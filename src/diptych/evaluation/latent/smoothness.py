"""Smoothness of interpolations: does the picture move evenly, or stand still and then leap?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.bootstrap import DRAWS, bootstrap_interval
from diptych.evaluation.figure import Estimate
from diptych.evaluation.latent.distances import Distance
from diptych.evaluation.latent.path_length import Decode, Path, along, check_codes, decoded
from diptych.evaluation.sets import Progress, silent

__all__ = ["Smoothness", "interpolation_smoothness", "step_lengths"]

STEPS = 8
FEWEST = 20  # paths below which their mean says little


@dataclass(frozen=True)
class Smoothness:
    """Means over paths; the values of an even, straight movement are 0, 1 and 1.

    Attributes:
        variation: standard deviation of a path's step lengths over their mean, ≥ 0.
        largest: the longest step over the mean one, in 1..steps.
        detour: the sum of the steps over the distance of the two ends, ≥ 1.
    """

    variation: Estimate
    largest: Estimate
    detour: Estimate


def interpolation_smoothness(
    decode: Decode,
    distance: Distance,
    start: Tensor,
    end: Tensor,
    *,
    generator: torch.Generator,
    path: Path = "spherical",
    steps: int = STEPS,
    batch_size: int = 100,
    progress: Progress = silent,
) -> Smoothness | None:
    """Return how evenly and how directly pictures move along interpolations.

    With s_i = d(G(z_{i−1}), G(z_i)) at equal steps of t, d the root of the squared distance:
    variation = std(s) / mean(s), largest = max(s) / mean(s), detour = Σ s_i / d(G(z_0), G(z_m)).
    A linear decoder along straight lines gives 0, 1 and 1.

    Args:
        decode: see :data:`Decode`.
        distance: squared distances of pairs; its root must be a metric, or detours fall below 1.
        start: codes (N, L).
        end: codes (N, L).
        generator: draws the bootstrap; on the CPU.
        path: along which the codes are joined.
        steps: into how many parts each path is cut, ≥ 2. Figures of unlike steps do not compare:
            more steps see more of the detour.
        batch_size: pictures decoded at once, about.
        progress: told how far the work is.

    Returns:
        Three means over the paths whose picture moves, with bootstrap intervals; None if no
        path's picture moves, for which evenness has no meaning.

    Raises:
        DataError: fewer than two steps, codes of unlike shape, or values that are not finite.

    Source: after the interpolation experiments of Berthelot et al. 2018, arXiv:1807.07543, which
    ask for smoothness and give no distance-based formula; the formula is ours.
    """
    lengths, direct = step_lengths(
        decode,
        distance,
        start,
        end,
        path=path,
        steps=steps,
        batch_size=batch_size,
        progress=progress,
    )
    moves = (lengths.sum(1) > 0) & (direct > 0)
    if not bool(moves.any()):
        return None
    lengths, direct = lengths[moves], direct[moves]
    mean = lengths.mean(1)
    still = len(moves) - len(mean)
    notes = []
    if still:
        notes.append(f"{still} of {len(moves)} paths, whose picture never moves, are left out.")
    if len(mean) < FEWEST:
        notes.append(f"Only {len(mean)} paths: a few of them decide.")

    def estimate(values: Tensor) -> Estimate:
        low, high = bootstrap_interval(
            lambda rows: values[rows[0]].mean(1), [len(values)], generator=generator
        )
        return Estimate(
            float(values.mean()),
            low,
            high,
            interval=f"bootstrap of {DRAWS} over {len(values)} paths",
            note=" ".join(notes),
            trusted=len(values) >= FEWEST,
        )

    return Smoothness(
        variation=estimate(lengths.std(1, correction=0) / mean),
        largest=estimate(lengths.amax(1) / mean),
        detour=estimate(lengths.sum(1) / direct),
    )


def step_lengths(
    decode: Decode,
    distance: Distance,
    start: Tensor,
    end: Tensor,
    *,
    path: Path = "spherical",
    steps: int = STEPS,
    batch_size: int = 100,
    progress: Progress = silent,
) -> tuple[Tensor, Tensor]:
    """Return every path's step lengths (N, steps) and end-to-end distance (N,), float64.

    Lengths are roots of the squared distance. Arguments and errors are those of
    :func:`interpolation_smoothness`.
    """
    check_codes(start, end)
    if steps < 2:
        raise DataError(f"An interpolation needs at least 2 steps, not {steps}.")
    points = steps + 1
    t = torch.linspace(0, 1, points, dtype=torch.float64, device=start.device)
    lengths, direct = [], []
    count = max(1, batch_size // points)
    for first in range(0, len(start), count):
        a, b = start[first : first + count], end[first : first + count]
        codes = along(
            a.repeat_interleave(points, 0),
            b.repeat_interleave(points, 0),
            t.repeat(len(a)),
            path=path,
        )
        items = decoded(decode, codes)
        items = items.view(len(a), points, *items.shape[1:])
        squared = distance(items[:, :-1].flatten(0, 1), items[:, 1:].flatten(0, 1))
        lengths.append(squared.double().cpu().clamp(min=0).sqrt().view(len(a), steps))
        direct.append(distance(items[:, 0], items[:, -1]).double().cpu().clamp(min=0).sqrt())
        progress("interpolations", min(first + count, len(start)), len(start))
    all_lengths, all_direct = torch.cat(lengths), torch.cat(direct)
    if not bool(all_lengths.isfinite().all() and all_direct.isfinite().all()):
        raise DataError("The distance gave NaN or infinite values along the paths.")
    return all_lengths, all_direct
