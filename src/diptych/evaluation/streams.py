"""Random streams: one for each purpose, so that asking for one figure does not move another."""

import hashlib

import torch

__all__ = ["stream", "stream_seed"]


def stream_seed(seed: int, purpose: str) -> int:
    """Return a seed for one purpose that has nothing to do with those of other purposes.

    Args:
        seed: of the evaluation.
        purpose: what is drawn, e.g. ``"collapse/bins"``.
    """
    return int.from_bytes(hashlib.sha256(f"{purpose}/{seed}".encode()).digest()[:6])


def stream(seed: int, purpose: str) -> torch.Generator:
    """Return a generator on the CPU, seeded by :func:`stream_seed`."""
    return torch.Generator().manual_seed(stream_seed(seed, purpose))
