"""Mode counting for points drawn from a known mixture: which modes were found, and how evenly.

Source: the protocol of Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761, and Lin et al. 2018
(PacGAN), arXiv:1712.04086: a sample within three standard deviations of a mode is of high
quality, and a mode with one such sample is found.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = ["REACH", "ModeCount", "count_modes", "high_quality_ceiling", "kl_floor"]

REACH = 3.0
"""How far from its mode a sample of high quality may lie, in standard deviations."""


@dataclass(frozen=True)
class ModeCount:
    """What was found of a mixture.

    Attributes:
        found: modes with at least one sample of high quality.
        total: modes there are.
        high_quality: share of samples, 0..1; the mixture itself reaches
            :func:`high_quality_ceiling`, and more than that means modes drawn too narrow.
        reverse_kl: KL(q ‖ uniform) in nats, q the share of samples nearest to each mode;
            0 at best, ln K at worst.
    """

    found: int
    total: int
    high_quality: float
    reverse_kl: float


def count_modes(samples: Tensor, centers: Tensor, sigma: float) -> ModeCount:
    """Assign every sample to its nearest mode and count.

    Args:
        samples: (N, D), floating, N ≥ 1.
        centers: (K, D), the means of equally likely isotropic Gaussians.
        sigma: their common standard deviation, in the unit of the samples, > 0.

    Returns:
        The count; KL(q ‖ p) = Σ_k q_k ln(K q_k), with 0 ln 0 = 0.

    Raises:
        DataError: shapes that do not fit, no samples, sigma ≤ 0, or values that are not finite.
    """
    if samples.ndim != 2 or centers.ndim != 2 or samples.shape[1] != centers.shape[1]:
        raise DataError(
            "Modes need samples (N, D) and centers (K, D) of one D, not "
            f"{tuple(samples.shape)} and {tuple(centers.shape)}."
        )
    if not len(samples) or not len(centers):
        raise DataError("Modes cannot be counted without samples and centers.")
    if not (sigma > 0 and math.isfinite(sigma)):
        raise DataError(f"The width of the modes must be positive and finite, not {sigma}.")
    samples, centers = samples.double(), centers.double().to(samples.device)
    if not bool(samples.isfinite().all()):
        raise DataError("The samples hold NaN or infinite values; the model failed.")
    distances = torch.cdist(samples, centers, compute_mode="donot_use_mm_for_euclid_dist")
    distance, nearest = distances.min(1)
    good = distance <= REACH * sigma
    total = len(centers)
    share = nearest.bincount(minlength=total).double() / len(samples)
    return ModeCount(
        found=int((nearest[good].bincount(minlength=total) > 0).sum()),
        total=total,
        high_quality=float(good.double().mean()),
        reverse_kl=max(0.0, float(torch.xlogy(share, total * share).sum())),
    )


def high_quality_ceiling(dimensions: int) -> float:
    """Return the share of an isotropic Gaussian within three standard deviations.

    P(χ²_D ≤ 9); in two dimensions 1 − exp(−4.5) = 98.9 %.
    """
    half = torch.tensor([dimensions / 2, REACH**2 / 2], dtype=torch.float64)
    return float(torch.special.gammainc(half[0], half[1]))


def kl_floor(modes: int, samples: int) -> float:
    """Return E[KL] of a perfect sampler, (K − 1) / 2n in nats to first order in 1/n.

    A figure of this size is counting noise, not a missing mode.
    """
    return (modes - 1) / (2 * samples)
