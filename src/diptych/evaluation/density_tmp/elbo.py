"""How dense held-out images are under a model: the ELBO, and bits per dimension."""

import math
from typing import Any

import torch
from torch import Tensor

from diptych.evaluation.figure import Figure, protocol_of
from diptych.models import VAE
from diptych.models.game import random_stream
from diptych.objectives import bits_per_dimension

__all__ = ["density_figures", "mean_negative_elbo"]


def mean_negative_elbo(model: VAE, images: Tensor, *, seed: int, batch_size: int = 500) -> float:
    """-ELBO in nats per image: one sample of z per image, averaged in double precision.

    Args:
        model: in eval mode.
        images: (N, C, H, W) in [0, 1] or points (N, D).
        seed: of the samples of z.
        batch_size: images per pass.
    """
    total = 0.0
    with random_stream(seed):
        for batch in torch.split(images, batch_size):
            bound = model.log_evidence_bound(batch.to(model.device))
            total -= float(bound.double().sum())
    return total / len(images)


def dequantized(images: Tensor, *, seed: int) -> Tensor:
    """Bytes k / 255 as (k + u) / 256 with u uniform on [0, 1): a density needs a continuum."""
    with random_stream(seed):
        noise = torch.rand(images.shape)
    return ((images * 255.0).round() + noise.to(images.device)) / 256.0


def density_figures(
    model: VAE, images: Tensor, *, likelihood: dict[str, Any], seed: int
) -> list[Figure]:
    """The bound on held-out data, and bits per dimension where the likelihood has them.

    Args:
        model: in eval mode.
        images: held-out (N, C, H, W) in [0, 1], or points (N, D).
        likelihood: the recipe's likelihood, for the protocol.
        seed: of all noise.
    """
    count, dimensions = len(images), math.prod(images.shape[1:])

    def figure(name: str, value: float, unit: str, note: str, **protocol: Any) -> Figure:
        return Figure(
            name=name,
            value=value,
            unit=unit,
            better="lower",
            floor=None,
            n_real=count,
            n_fake=None,
            protocol=protocol_of(
                metric=name.replace(" ", "-"), n=count, likelihood=likelihood, **protocol
            ),
            note=note,
        )

    nats = mean_negative_elbo(model, images, seed=seed)
    figures = [
        figure(
            "negative ELBO",
            nats,
            "nats per image" if model.is_image else "nats per point",
            "An upper bound on -log p(x); compare only under the same likelihood.",
        )
    ]
    if not model.is_image:
        return figures
    if model.likelihood.density_on_unit_interval:
        nats = mean_negative_elbo(model, dequantized(images, seed=seed), seed=seed)
        bits = bits_per_dimension(nats, dimensions, dequantized=True)
        note = "A bound, on bytes after uniform dequantization; 8 is knowing nothing."
    else:
        bits = bits_per_dimension(nats, dimensions, dequantized=False)
        note = "A bound, on binary pixels; 1 is knowing nothing."
    figures.append(figure("bits per dimension", bits, "bits", note))
    return figures
