"""Mutual information between codes and factors, by counting in a histogram."""

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = ["BINS", "discretise", "entropies", "mutual_information"]

BINS = 20


def discretise(codes: Tensor, bins: int = BINS) -> Tensor:
    """Return the bin of every code, along each latent between its own extremes.

    Args:
        codes: floating (N, L).
        bins: of equal width; a constant latent falls into the first.

    Returns:
        int64 (N, L) in 0..bins-1.

    Raises:
        DataError: fewer than 2 bins.

    Source: the choice of 20 bins is that of Locatello et al. 2019, arXiv:1811.12359.
    """
    if bins < 2:
        raise DataError(f"A histogram needs at least 2 bins, not {bins}.")
    low, high = codes.amin(0), codes.amax(0)
    width = torch.where(high > low, high - low, 1.0)
    return ((codes - low) / width * bins).long().clamp(0, bins - 1)


def entropies(values: Tensor) -> Tensor:
    """Return the entropy of each column's empirical distribution, (F,), in nats.

    Args:
        values: int64 (N, F), not negative.
    """
    return torch.stack([_entropy(column.bincount()) for column in values.unbind(1)])


def mutual_information(binned: Tensor, factors: Tensor) -> Tensor:
    """Return I(z_i; v_j) = H(z_i) + H(v_j) − H(z_i, v_j) of the counts, in nats.

    Counting N items overestimates by about (bins − 1)(values − 1) / 2N nats.

    Args:
        binned: int64 (N, L), not negative.
        factors: int64 (N, F), not negative.

    Returns:
        float64 (L, F), ≥ 0.
    """
    own, other = entropies(binned), entropies(factors)
    joint = torch.empty(binned.shape[1], factors.shape[1], dtype=torch.float64)
    for j, values in enumerate(factors.unbind(1)):
        size = int(values.max()) + 1
        for i, bins in enumerate(binned.unbind(1)):
            joint[i, j] = _entropy((bins * size + values).bincount())
    return (own[:, None] + other - joint).clamp(min=0)


def _entropy(counts: Tensor) -> Tensor:
    shares = counts[counts > 0].double() / counts.sum()
    return -(shares * shares.log()).sum()
