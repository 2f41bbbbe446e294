"""GAN inversion: the search for a code whose picture resembles a given one."""

from collections.abc import Callable, Sequence
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
    watched: Tensor | None = None
    """(len(watch), N, L): where the best restart stood on the way, if it was watched."""


def search_codes(
    decode: Callable[[Tensor], Tensor],
    images: Tensor,
    latent_dim: int,
    *,
    restarts: int = 4,
    steps: int = 150,
    learning_rate: float = 0.1,
    batch: int = 256,
    watch: Sequence[int] = (),
) -> Inversion:
    """Minimise ||G(z) - x||^2 over z by Adam, for many images and restarts at once.

    The error is an upper bound: a better code may exist. Starts are drawn from the prior through
    torch's ambient generator, all of them first, so that `batch` changes nothing but memory: each
    code descends as if it were alone, provided that the decoder has no batch statistics.

    Args:
        decode: codes (M, L) to images (M, *event), differentiable in the codes.
        images: (N, *event).
        latent_dim: L.
        restarts: independent starts per image; the best is kept.
        steps: Adam steps; the rate decays linearly to 0.
        learning_rate: the rate to start with, in units of the standard-normal code.
        batch: codes that descend together; the memory is that of decoding so many with gradients.
        watch: numbers of Adam steps after which to keep the codes: 0 is the start, `steps` the
            end. Watching changes nothing.

    Source: the projection of Zhu et al., "Generative visual manipulation on the natural image
    manifold", ECCV 2016, arXiv 1609.03552, without its encoder.
    """
    count = images.shape[0]
    # A search needs gradients, also when the caller is in a mode that records none.
    with torch.inference_mode(False), torch.enable_grad():
        targets = images.clone()
        starts = torch.randn(restarts * count, latent_dim, dtype=images.dtype).to(images.device)
        image_of = torch.arange(count, device=images.device).repeat(restarts)
        found = [
            _descend(decode, start, targets[which], steps, learning_rate, watch)
            for start, which in zip(
                torch.split(starts, batch), torch.split(image_of, batch), strict=True
            )
        ]
    codes = torch.cat([code for code, _, _ in found]).view(restarts, count, latent_dim)
    errors = torch.cat([error for _, error, _ in found]).view(restarts, count)
    best = errors.argmin(0)
    each = torch.arange(count, device=images.device)
    watched = None
    if watch:
        seen = torch.cat([seen for _, _, seen in found], dim=1)
        watched = seen.view(len(watch), restarts, count, latent_dim)[:, best, each]
    return Inversion(codes[best, each], errors.min(0).values, errors, watched)


def _descend(
    decode: Callable[[Tensor], Tensor],
    start: Tensor,
    targets: Tensor,
    steps: int,
    learning_rate: float,
    watch: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the codes (M, L) that Adam reaches from the starts, their errors (M,), and the codes
    after the steps to watch, (len(watch), M, L)."""
    codes = start.clone().requires_grad_(True)
    seen = {0: start}
    optimizer = torch.optim.Adam([codes], lr=learning_rate, betas=(0.9, 0.99))
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1.0 - step / steps)
        # Summed, so that every image descends as if it were alone.
        loss = (decode(codes) - targets).square().flatten(1).mean(1).sum()
        (codes.grad,) = torch.autograd.grad(loss, [codes])
        optimizer.step()
        if step + 1 in watch:
            seen[step + 1] = codes.detach().clone()
    codes = codes.detach()
    kept = torch.stack([seen[step] for step in watch]) if watch else codes[None, :0]
    with torch.no_grad():
        return codes, (decode(codes) - targets).square().flatten(1).mean(1), kept
