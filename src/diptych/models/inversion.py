"""GAN inversion: the search for a code whose picture resembles a given one."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Inversion", "search_codes"]


class Inversion(NamedTuple):
    """What the search found for each image."""

    codes: Tensor
    """(N, L), the best of all restarts."""
    errors: Tensor
    """(N,), mean squared error per value of the best code."""
    all_errors: Tensor
    """(restarts, N), to show how much the answer depends on where the search began."""


def search_codes(
    decode: Callable[[Tensor], Tensor],
    images: Tensor,
    latent_dim: int,
    *,
    restarts: int = 4,
    steps: int = 150,
    learning_rate: float = 0.1,
) -> Inversion:
    """Minimise ||G(z) - x||^2 over z by Adam, for all images and restarts at once.

    The error is an upper bound: a better code may exist. Starts are drawn from the prior through
    torch's ambient generator.

    Args:
        decode: codes (M, L) to images (M, *event), differentiable in the codes.
        images: (N, *event).
        latent_dim: L.
        restarts: independent starts per image; the best is kept.
        steps: Adam steps; the rate decays linearly to 0.
        learning_rate: the rate to start with, in units of the standard-normal code.

    Source: the projection of Zhu et al., "Generative visual manipulation on the natural image
    manifold", ECCV 2016, arXiv 1609.03552, without its encoder.
    """
    # A search needs gradients, also when the caller is in a mode that records none.
    with torch.inference_mode(False), torch.enable_grad():
        count = images.shape[0]
        targets = images.clone().repeat(restarts, *[1] * (images.dim() - 1))
        codes = torch.randn(restarts * count, latent_dim, dtype=images.dtype).to(images.device)
        codes.requires_grad_(True)
        optimizer = torch.optim.Adam([codes], lr=learning_rate, betas=(0.9, 0.99))
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * (1.0 - step / steps)
            # Summed, so that every image descends as if it were alone.
            loss = (decode(codes) - targets).square().flatten(1).mean(1).sum()
            (codes.grad,) = torch.autograd.grad(loss, [codes])
            optimizer.step()
        codes = codes.detach()
    with torch.no_grad():
        errors = (decode(codes) - targets).square().flatten(1).mean(1).view(restarts, count)
    best = errors.argmin(0)
    chosen = codes.view(restarts, count, latent_dim)[best, torch.arange(count)]
    return Inversion(chosen, errors.min(0).values, errors)
