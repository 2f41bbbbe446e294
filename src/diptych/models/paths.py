"""Paths between two codes."""

import torch
from torch import Tensor

__all__ = ["linear_path", "spherical_path"]


def linear_path(start: Tensor, end: Tensor, steps: int) -> list[Tensor]:
    """start + t (end - start) for `steps` values of t from 0 to 1; each (N, L)."""
    return [torch.lerp(start, end, t) for t in torch.linspace(0.0, 1.0, steps).tolist()]


def spherical_path(start: Tensor, end: Tensor, steps: int) -> list[Tensor]:
    """Along the great circle, with the length going linearly from |start| to |end|.

    Gaussian noise in L dimensions lies close to a sphere of radius sqrt(L); a straight line cuts
    through its inside, where the generator was never trained. Opposite or equal directions have
    no unique great circle and fall back to the straight line.

    Source: White, "Sampling generative networks", 2016, arXiv 1609.04468.
    """
    start_norm = start.norm(dim=-1, keepdim=True)
    end_norm = end.norm(dim=-1, keepdim=True)
    tiny = torch.finfo(start.dtype).tiny
    start_unit = start / start_norm.clamp(min=tiny)
    end_unit = end / end_norm.clamp(min=tiny)
    cosine = (start_unit * end_unit).sum(-1, keepdim=True).clamp(-1.0, 1.0)
    angle = torch.arccos(cosine)
    sine = torch.sin(angle)
    degenerate = sine < 1e-4
    safe_sine = torch.where(degenerate, 1.0, sine)
    path = []
    for t in torch.linspace(0.0, 1.0, steps).tolist():
        direction = (
            torch.sin((1.0 - t) * angle) * start_unit + torch.sin(t * angle) * end_unit
        ) / safe_sine
        arc = direction * torch.lerp(start_norm, end_norm, t)
        path.append(torch.where(degenerate, torch.lerp(start, end, t), arc))
    return path
