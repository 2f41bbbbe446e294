"""The ELBO of held-out items under a VAE, and the noise that turns bytes into a continuum."""

import torch
from torch import Tensor

from diptych.models import VAE
from diptych.models.game import random_stream

__all__ = ["dequantized", "mean_negative_elbo", "negative_elbo_samples"]


def negative_elbo_samples(
    model: VAE, images: Tensor, *, seed: int, batch_size: int = 500
) -> Tensor:
    """-ELBO in nats of each image, at one sample of z: (N,), float64.

    Args:
        model: in eval mode.
        images: (N, C, H, W) in [0, 1] or points (N, D).
        seed: of the samples of z.
        batch_size: images per pass.

    Source: Kingma & Welling, ICLR 2014, arXiv 1312.6114.
    """
    with random_stream(seed):
        parts = [
            -model.log_evidence_bound(batch.to(model.device)).double().cpu()
            for batch in torch.split(images, batch_size)
        ]
    return torch.cat(parts)


def mean_negative_elbo(model: VAE, images: Tensor, *, seed: int, batch_size: int = 500) -> float:
    """The mean of `negative_elbo_samples`, in nats per image."""
    return float(negative_elbo_samples(model, images, seed=seed, batch_size=batch_size).mean())


def dequantized(images: Tensor, *, seed: int) -> Tensor:
    """Bytes k / 255 as (k + u) / 256 with u uniform on [0, 1): a density needs a continuum.

    Source: Theis, van den Oord & Bethge, ICLR 2016, arXiv 1511.01844, section 3.1.
    """
    with random_stream(seed):
        noise = torch.rand(images.shape)
    return ((images * 255.0).round() + noise.to(images)) / 256.0
