"""Codes whose disentanglement is known, shared by the tests of the factors panel."""

import torch


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def independent_factors(count=2000, values=(10, 10, 10, 10, 10), seed=0):
    """Factors (N, F), each uniform over its values."""
    generator = seeded(seed)
    return torch.stack([torch.randint(k, (count,), generator=generator) for k in values], 1)


def rotation(size, seed=0):
    drawn = torch.randn(size, size, generator=seeded(seed), dtype=torch.float64)
    return torch.linalg.qr(drawn).Q


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)
