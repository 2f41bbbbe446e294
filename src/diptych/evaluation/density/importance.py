"""The importance-weighted bound on log p(x), from samples of a Gaussian per image."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.density.gaussians import Gaussians, draw
from diptych.evaluation.density.joint import Joint
from diptych.evaluation.sets import Progress, silent

__all__ = ["Importance", "importance_bound"]


@dataclass(frozen=True, eq=False)
class Importance:
    """What K weighted samples say of each image.

    Attributes:
        bounds: log (1/K) Σ_k w_k, (N,), nats, float64.
        effective: the effective sample size (Σ w)² / Σ w², (N,), in 1..K. Near 1, one sample
            carries the sum, and the bound is far below log p(x).
    """

    bounds: Tensor
    effective: Tensor


def importance_bound(
    joint: Joint,
    proposal: Gaussians,
    *,
    k: int,
    generator: torch.Generator,
    progress: Progress = silent,
) -> Importance:
    """log (1/K) Σ_k p(x, z_k) / q(z_k), z_k ~ q: at most log p(x) in expectation, rising with K.

    K = 1 is one sample of the ELBO. The sum runs in float64 over blocks of samples; the noise of
    one sample of all images is drawn at a time, so the block has no part in the result.

    Args:
        joint: of N images.
        proposal: q, one Gaussian per image; best a little wider than the posterior.
        k: samples per image; 5,000 is customary.
        generator: of the samples, on the CPU.
        progress: told how many samples are done.

    Raises:
        DataError: k is below 1.

    Source: Burda, Grosse & Salakhutdinov, "Importance weighted autoencoders", ICLR 2016,
    arXiv 1509.00519, eq. 8.
    """
    if k < 1:
        raise DataError(f"An importance-weighted bound needs at least one sample, not {k}.")
    shape = (1, *proposal.mean.shape)
    total = torch.full(shape[1:2], -math.inf, dtype=torch.float64, device=proposal.mean.device)
    squares = total.clone()
    at_once = max(1, joint.block // len(proposal.mean))
    for first in range(0, k, at_once):
        count = min(at_once, k - first)
        rows = [draw(shape, generator, proposal.mean) for _ in range(count)]
        codes = proposal.codes(torch.cat(rows))
        log_weights = joint(codes) - proposal.log_prob(codes)
        total = torch.logaddexp(total, log_weights.logsumexp(0))
        squares = torch.logaddexp(squares, (2 * log_weights).logsumexp(0))
        progress("importance sampling", first + count, k)
    return Importance(total - math.log(k), (2 * total - squares).exp())
