"""Path length: how far the picture moves per unit of a path between two codes."""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.bootstrap import DRAWS, bootstrap_interval
from diptych.evaluation.figure import Estimate
from diptych.evaluation.latent.distances import Distance
from diptych.evaluation.sets import Progress, silent

__all__ = ["Decode", "Path", "along", "path_length", "path_length_draws", "trimmed_mean"]

Decode = Callable[[Tensor], Tensor]
"""Codes (N, L) to floating images (N, C, H, W) in 0..1, or points (N, D); deterministic."""

Path = Literal["spherical", "linear"]
"""Spherical: the great circle, its length going linearly from |start| to |end|; it suits codes
of a Gaussian prior. Linear: the straight line; it suits spaces without a preferred length."""

EPSILON = 1e-4
TRIM = 0.01
FEWEST = 100  # paths below which the mean hangs on a few of them


def path_length(
    decode: Decode,
    distance: Distance,
    start: Tensor,
    end: Tensor,
    *,
    generator: torch.Generator,
    path: Path = "spherical",
    epsilon: float = EPSILON,
    trim: float = TRIM,
    batch_size: int = 100,
    progress: Progress = silent,
) -> Estimate:
    """Return E[d²(G(z(t)), G(z(t + ε))) / ε²] over pairs of codes and t ~ U(0, 1).

    With the squared LPIPS-VGG distance, ε = 1e-4 and 1 % trimmed at either end this is the
    perceptual path length (PPL) of StyleGAN, in z. Under the squared Euclidean distance it is
    E|dG/dt|², which for G(z) = Az along straight lines is |A(end − start)|² whatever t and ε.

    Args:
        decode: the generator. Its pictures must stay floating: in 8 bits a step of 1e-4 is either
            nothing or a leap of one grey level.
        distance: squared distances of pairs.
        start: codes (N, L) drawn from the prior.
        end: codes (N, L), independent of `start`.
        generator: draws t, then the bootstrap; on the CPU.
        path: along which the codes are joined.
        epsilon: the step in t.
        trim: the share of draws left out at either end, in [0, 0.5).
        batch_size: paths decoded at once, two items each.
        progress: told how far the work is.

    Returns:
        The mean, with a bootstrap interval over paths; in squared distance per unit of t.

    Raises:
        DataError: codes of unlike shape, pictures that are not floating, or values not finite.

    Source: Karras, Laine & Aila 2019, arXiv:1812.04948, section 4.1; Karras et al. 2020,
    arXiv:1912.04958, on trimming and the centre crop, which is left out here.
    """
    draws = path_length_draws(
        decode,
        distance,
        start,
        end,
        generator=generator,
        path=path,
        epsilon=epsilon,
        batch_size=batch_size,
        progress=progress,
    )
    low, high = bootstrap_interval(
        lambda rows: trimmed_mean(draws[rows[0]], trim), [len(draws)], generator=generator
    )
    few = len(draws) < FEWEST
    return Estimate(
        float(trimmed_mean(draws, trim)),
        low,
        high,
        interval=f"bootstrap of {DRAWS} over {len(draws)} paths",
        note=f"Only {len(draws)} paths: a few of them decide." if few else "",
        trusted=not few,
    )


def path_length_draws(
    decode: Decode,
    distance: Distance,
    start: Tensor,
    end: Tensor,
    *,
    generator: torch.Generator,
    path: Path = "spherical",
    epsilon: float = EPSILON,
    batch_size: int = 100,
    progress: Progress = silent,
) -> Tensor:
    """Return d²(G(z(t)), G(z(t + ε))) / ε² of every path, (N,), float64, untrimmed.

    Arguments and errors are those of :func:`path_length`.
    """
    check_codes(start, end)
    if not 0 < epsilon < 1:
        raise DataError(f"The step along a path must lie between 0 and 1, not at {epsilon}.")
    t = torch.rand(len(start), generator=generator, dtype=torch.float64).to(start.device)
    here = along(start, end, t, path=path)
    there = along(start, end, t + epsilon, path=path)
    draws = []
    for first in range(0, len(start), batch_size):
        part = slice(first, first + batch_size)
        # Both ends in one batch, so that they are rounded alike.
        items = decoded(decode, torch.cat([here[part], there[part]]))
        draws.append(distance(*items.chunk(2)).double().cpu() / epsilon**2)
        progress("path length", min(first + batch_size, len(start)), len(start))
    lengths = torch.cat(draws)
    if not bool(lengths.isfinite().all()):
        raise DataError("The distance gave NaN or infinite values along the paths.")
    return lengths


def along(start: Tensor, end: Tensor, t: Tensor, *, path: Path = "spherical") -> Tensor:
    """Return the code at t on the path of each pair, (N, L), in the type of `start`.

    Opposite directions have no unique great circle, and equal ones need none: both fall back to
    the straight line.

    Args:
        start: (N, L).
        end: (N, L).
        t: (N,); 0 is the start, 1 the end; values outside go on beyond.
        path: which path.

    Raises:
        DataError: an unknown path.

    Source: White 2016, arXiv:1609.04468, on the great circle.
    """
    if path not in get_args(Path):
        raise DataError(f"The path {path!r} is unknown; {' or '.join(get_args(Path))} was meant.")
    # Steps of 1e-4 leave three good digits of a difference in single precision.
    a, b, t = start.double(), end.double(), t.double()[:, None]
    line = a + t * (b - a)
    if path == "linear":
        return line.to(start)
    long_a, long_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    tiny = torch.finfo(torch.float64).tiny
    unit_a, unit_b = a / long_a.clamp(min=tiny), b / long_b.clamp(min=tiny)
    # By the half-chords, which keep their digits for directions that are nearly the same.
    angle = 2 * torch.atan2(
        (unit_a - unit_b).norm(dim=1, keepdim=True), (unit_a + unit_b).norm(dim=1, keepdim=True)
    )
    sine = angle.sin()
    lost = (sine.abs() < 1e-9) | (long_a == 0) | (long_b == 0)
    safe = torch.where(lost, 1.0, sine)
    direction = (((1 - t) * angle).sin() * unit_a + (t * angle).sin() * unit_b) / safe
    arc = direction * (long_a + t * (long_b - long_a))
    return torch.where(lost, line, arc).to(start)


def trimmed_mean(values: Tensor, trim: float = TRIM) -> Tensor:
    """Return the mean over the last axis of what lies between two order statistics.

    These are the ⌊trim (n − 1)⌋-th smallest and the ⌈(1 − trim)(n − 1)⌉-th, both kept, so that
    nothing is cut from 100 values or fewer at trim = 0.01.

    Args:
        values: (..., n).
        trim: the share left out at either end, in [0, 0.5).
    """
    last = values.shape[-1] - 1
    # Rounded first: 0.99 · 100 is 99.00000000000001 to a computer, and its ceiling 100.
    low, high = math.floor(round(trim * last, 9)), math.ceil(round((1 - trim) * last, 9))
    return values.sort(dim=-1).values[..., low : high + 1].mean(-1)


def check_codes(start: Tensor, end: Tensor) -> None:
    """Refuse codes that are not two alike, non-empty, finite matrices."""
    if start.ndim != 2 or start.shape != end.shape or not start.numel():
        raise DataError(
            "Paths need two equal, non-empty sets of codes (N, L), not "
            f"{tuple(start.shape)} and {tuple(end.shape)}."
        )
    if not bool((start.isfinite() & end.isfinite()).all()):
        raise DataError("The codes hold NaN or infinite values.")


def decoded(decode: Decode, codes: Tensor) -> Tensor:
    """Decode, and refuse what small steps cannot be seen in."""
    items = decode(codes)
    if not items.is_floating_point():
        raise DataError(
            f"The decoder gave {items.dtype}; paths need floating values, since rounded ones "
            "hide small steps."
        )
    if not bool(items.isfinite().all()):
        raise DataError("The decoder gave NaN or infinite values; look at the samples first.")
    return items
