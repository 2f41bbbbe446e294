"""The joint density p(x, z) of given images and any codes: all that a density instrument needs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from diptych.errors import DataError

__all__ = ["Decode", "Joint", "gaussian_observation"]

Decode = Callable[[Tensor], Distribution]
"""Codes (B, L) to p(x|z): batch (B,), event (C, H, W) or (D,), with a mean and a variance."""


@dataclass(frozen=True, eq=False)
class Joint:
    """log p(x_n, z) = log p(x_n|z) + log p(z) of N images, in blocks of bounded memory.

    Parameters of the decoder should not require gradients: only those of the codes are taken.

    Attributes:
        images: (N, *event), in the precision of the decoder.
        decode: the likelihood.
        prior: p(z), event (L,).
        block: pairs of an image and a code that are decoded at once.

    Raises:
        DataError: there are no images, or they hold values that are not finite.
    """

    images: Tensor
    decode: Decode
    prior: Distribution
    block: int = 256

    def __post_init__(self) -> None:
        if not len(self.images) or not bool(self.images.isfinite().all()):
            raise DataError(
                f"A density needs one or more finite items, but {tuple(self.images.shape)} "
                "of them came, or some hold NaN or infinite values."
            )

    @property
    def latent_dim(self) -> int:
        """L."""
        return self.prior.event_shape[0]

    def of(self, images: Tensor) -> "Joint":
        """The same model with other images."""
        return replace(self, images=images)

    @torch.no_grad()
    def __call__(self, z: Tensor) -> Tensor:
        """log p(x_n, z_cn) of codes (C, N, L), C for each image: (C, N), float64, nats."""
        return torch.cat([self._log(*pair) for pair in self._pairs(z)]).view(z.shape[:2])

    def with_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and its gradient by the codes, (C, N, L) in float64."""
        values, gradients = [], []
        with torch.inference_mode(False), torch.enable_grad():
            for images, codes in self._pairs(z):
                leaf = codes.clone().requires_grad_(True)
                value = self._log(images, leaf)
                gradients.append(torch.autograd.grad(value.sum(), leaf)[0].double())
                values.append(value.detach())
        return torch.cat(values).view(z.shape[:2]), torch.cat(gradients).view(z.shape)

    def _log(self, images: Tensor, codes: Tensor) -> Tensor:
        likelihood: Tensor = self.decode(codes).log_prob(images)
        return likelihood.double() + self.prior.log_prob(codes).double()

    def _pairs(self, z: Tensor) -> list[tuple[Tensor, Tensor]]:
        count = len(self.images)
        if z.ndim != 3 or z.shape[1:] != (count, self.latent_dim):
            raise DataError(
                f"Codes for {count} images must be (C, {count}, {self.latent_dim}), "
                f"not {tuple(z.shape)}."
            )
        codes = z.detach().to(self.images.dtype).flatten(0, 1)
        which = torch.arange(len(codes), device=z.device) % count
        return [
            (self.images[rows], part)
            for rows, part in zip(
                torch.split(which, self.block), torch.split(codes, self.block), strict=True
            )
        ]


def gaussian_observation(decode_mean: Callable[[Tensor], Tensor], sigma: float) -> Decode:
    """A likelihood for a decoder that has none: its picture and Gaussian noise around it.

    p(x|z) = N(x; G(z), sigma² I), as in Wu et al. 2017, arXiv 1611.04273.

    Args:
        decode_mean: G, codes (B, L) to (B, *event).
        sigma: > 0, in units of x.
    """

    def decode(z: Tensor) -> Distribution:
        mean = decode_mean(z)
        normal = Normal(mean, torch.full_like(mean, sigma), validate_args=False)
        return Independent(normal, mean.dim() - 1, validate_args=False)

    return decode
