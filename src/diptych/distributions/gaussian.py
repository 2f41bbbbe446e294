"""Diagonal Gaussians: the posterior of the VAE and its prior."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

__all__ = ["LOG_VARIANCE_BOUND", "bounded_log_variance", "diagonal_gaussian", "standard_normal"]

LOG_VARIANCE_BOUND = 12.0
"""Log-variances stay within +-12, that is standard deviations within e^-6 ... e^6."""


def bounded_log_variance(raw: Tensor) -> Tensor:
    """A smooth bound b tanh(raw / b): close to the identity near 0, never flat, never infinite.

    A hard clamp would stop the gradient of every posterior that touches it.
    """
    return LOG_VARIANCE_BOUND * torch.tanh(raw / LOG_VARIANCE_BOUND)


def diagonal_gaussian(mean: Tensor, log_variance: Tensor) -> Distribution:
    """N(mean, diag(exp(log_variance))) over the last dimension; both tensors are (..., L)."""
    std = torch.exp(0.5 * log_variance)
    return Independent(Normal(mean, std, validate_args=False), 1, validate_args=False)


def standard_normal(dim: int, like: Tensor) -> Distribution:
    """The prior N(0, I) over `dim` latents, with the dtype and device of `like`."""
    zeros = torch.zeros(dim, dtype=like.dtype, device=like.device)
    return Independent(Normal(zeros, torch.ones_like(zeros), validate_args=False), 1)
