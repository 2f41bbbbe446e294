"""Mode counting for points drawn from a known mixture: which modes were found, and how evenly.

Source: the protocol of Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761, and Lin et al. 2018
(PacGAN), arXiv:1712.04086: a sample within three standard deviations of a mode is of high
quality, and a mode with one such sample is found.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.collapse.shares import kl_estimate, reverse_kl, share
from diptych.evaluation.figure import Estimate

__all__ = [
    "FEW",
    "REACH",
    "ModeCount",
    "count_modes",
    "expected_found",
    "high_quality_ceiling",
    "mode_estimates",
]

REACH = 3.0
"""How far from its mode a sample of high quality may lie, in standard deviations."""
FEW = 0.1
"""With a lower share of high quality, which mode is nearest says nothing."""
PER_MODE = 5
"""Samples per mode below which the KL is mostly counting noise."""


@dataclass(frozen=True)
class ModeCount:
    """What was found of a mixture.

    Attributes:
        found: modes with at least one sample of high quality.
        total: modes there are.
        high_quality: share of samples, 0..1; the mixture itself reaches
            :func:`high_quality_ceiling`, and more than that means modes drawn too narrow.
        reverse_kl: KL(q ‖ uniform) in nats, q the share of samples nearest to each mode;
            0 at best, ln K at worst. Samples far from all modes count too: read it beside
            `high_quality`.
        counts: samples nearest to each mode, (K,).
        good: samples of high quality.
    """

    found: int
    total: int
    high_quality: float
    reverse_kl: float
    counts: tuple[int, ...]
    good: int


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
    counts = nearest.bincount(minlength=total)
    return ModeCount(
        found=int((nearest[good].bincount(minlength=total) > 0).sum()),
        total=total,
        high_quality=float(good.double().mean()),
        reverse_kl=float(reverse_kl(counts)),
        counts=tuple(counts.tolist()),
        good=int(good.sum()),
    )


def mode_estimates(count: ModeCount) -> dict[str, Estimate]:
    """Return the three figures with their intervals and with what speaks against them.

    Args:
        count: of :func:`count_modes`.

    Returns:
        ``"modes-found"``, ``"high-quality-share"`` and ``"mode-kl"``. The KL is not trusted where
        less than a tenth of the samples lie near any mode: it would compare which modes the
        noise is nearest to, and can be 0 for a model that found none.
    """
    n = sum(count.counts)
    expected = expected_found(count.total, n)
    enough = expected > count.total - 0.5
    found = Estimate(
        float(count.found),
        note="" if enough else f"A perfect sampler would find {expected:.1f} with {n} samples.",
        trusted=enough,
    )
    kl = kl_estimate(torch.tensor(count.counts))
    if count.high_quality < FEW:
        doubt = (
            f"Only {count.high_quality:.1%} of the samples lie near a mode, so this says little "
            "about the modes."
        )
        kl = replace(kl, note=doubt, trusted=False)
    elif n < PER_MODE * count.total:
        doubt = f"{n} samples are few for {count.total} modes: mostly counting noise."
        kl = replace(kl, note=doubt, trusted=False)
    return {
        "modes-found": found,
        "high-quality-share": share(count.good, n),
        "mode-kl": kl,
    }


def expected_found(modes: int, samples: int) -> float:
    """Return how many of K equally likely modes n samples reach on average, K(1 − (1 − 1/K)^n)."""
    return modes * (1 - (1 - 1 / modes) ** samples)


def high_quality_ceiling(dimensions: int) -> float:
    """Return the share of an isotropic Gaussian within three standard deviations.

    P(χ²_D ≤ 9); in two dimensions 1 − exp(−4.5) = 98.9 %.
    """
    half = torch.tensor([dimensions / 2, REACH**2 / 2], dtype=torch.float64)
    return float(torch.special.gammainc(half[0], half[1]))
