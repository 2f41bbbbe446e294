"""Latent usage: how many of the latents move the picture, and how many do nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.figure import Estimate
from diptych.evaluation.latent.path_length import Decode, check_codes, decoded
from diptych.evaluation.sets import Progress, silent

__all__ = ["LatentUsage", "jacobian_products", "latent_usage", "participation"]

STEP = 1e-2
DEAD = 0.01
FEWEST = 8  # codes below which the mean over them says little


@dataclass(frozen=True, eq=False)
class LatentUsage:
    """How the picture's movement is shared among the latents.

    Attributes:
        movement: (L,), float64, root mean square of |∂G/∂z_j|, in picture units per code unit.
        latents: effective number of latents, in 1..L.
        directions: effective number of orthogonal directions, in 1..L; never above `latents`.
        dead: share of latents that move the picture less than 1 % as far as the strongest.
    """

    movement: Tensor
    latents: Estimate
    directions: Estimate
    dead: Estimate


def latent_usage(
    decode: Decode,
    codes: Tensor,
    *,
    step: float = STEP,
    dead: float = DEAD,
    batch_size: int = 500,
    progress: Progress = silent,
) -> LatentUsage | None:
    """Return the usage of latents by the mean of JᵀJ over codes, J = ∂G/∂z.

    e_j = E|∂G/∂z_j|² is the energy of latent j, λ the eigenvalues of E[JᵀJ], and the effective
    number of either is the participation ratio (Σe)² / Σe². Latents are counted along the axes
    of the code; directions are not, so that turning the code changes nothing: the number to read
    for a GAN, whose axes mean nothing. For G(z) = Az, e are the squared lengths of A's columns
    and λ its squared singular values. The movement is Euclidean, in the values of the picture.

    Args:
        decode: see :data:`Decode`.
        codes: where to measure, (N, L), drawn from the prior.
        step: half the width of the central difference, in code units; the prior's is 1.
        dead: the part of the strongest movement below which a latent counts as dead.
        batch_size: codes decoded at once.
        progress: told how far the work is.

    Returns:
        The usage, with jackknife intervals over codes; None if nothing moves the picture.

    Raises:
        DataError: no codes, or values that are not finite.

    Source: the participation ratio as a number of dimensions: Gao et al. 2017, bioRxiv 214262.
    """
    products = jacobian_products(
        decode, codes, step=step, batch_size=batch_size, progress=progress
    )
    mean = products.mean(0)
    energy = mean.diagonal()
    if float(energy.amax()) == 0:
        return None
    few = len(codes) < FEWEST
    note = f"Measured at {len(codes)} codes only." if few else ""

    def estimate(statistic: Callable[[Tensor], Tensor]) -> Estimate:
        value = float(statistic(mean[None]))
        if len(products) < 2:
            return Estimate(value, note=note, trusted=False)
        without = (products.sum(0) - products) / (len(products) - 1)
        left_out = statistic(without)
        spread = (left_out - left_out.mean()).square().mean() * (len(products) - 1)
        half = 1.96 * float(spread.sqrt())
        return Estimate(
            value,
            max(1.0, value - half),
            min(float(len(mean)), value + half),
            interval=f"jackknife over {len(products)} codes",
            note=note,
            trusted=not few,
        )

    movement = energy.sqrt()
    return LatentUsage(
        movement=movement,
        latents=estimate(lambda m: participation(m.diagonal(dim1=-2, dim2=-1))),
        directions=estimate(lambda m: participation(torch.linalg.eigvalsh(m).clamp(min=0))),
        dead=Estimate(
            float((movement < dead * movement.amax()).double().mean()), note=note, trusted=not few
        ),
    )


def jacobian_products(
    decode: Decode,
    codes: Tensor,
    *,
    step: float = STEP,
    batch_size: int = 500,
    progress: Progress = silent,
) -> Tensor:
    """Return JᵀJ at each code, (N, L, L), float64, by central differences: 2 N L decodings.

    Arguments and errors are those of :func:`latent_usage`.
    """
    check_codes(codes, codes)
    if step <= 0:
        raise DataError(f"The step of a difference must be above 0, not {step}.")
    moves = torch.eye(codes.shape[1], dtype=codes.dtype, device=codes.device) * step
    products = []
    for done, code in enumerate(codes, 1):
        columns = []
        for part in torch.split(moves, max(1, batch_size // 2)):
            ahead, behind = decoded(decode, torch.cat([code + part, code - part])).chunk(2)
            columns.append((ahead - behind).double().flatten(1).cpu() / (2 * step))
        jacobian = torch.cat(columns)  # (L, D), transposed
        products.append(jacobian @ jacobian.T)
        progress("latent usage", done, len(codes))
    return torch.stack(products)


def participation(energies: Tensor) -> Tensor:
    """Return (Σe)² / Σe² over the last axis: K for K equal energies, 1 for a single one.

    Args:
        energies: (..., L), not negative, not all 0.
    """
    return energies.sum(-1).square() / energies.square().sum(-1)
