"""The pixels themselves, whitened: features that need no network and no weights.

Distances between raw pixels are ruled by the few directions of large variance, such as the mean
brightness. A principal component analysis of the reference turns them, and each direction is
divided by its spread:

    f(x) = (λᵢ + ε)^−½ · vᵢᵀ(x − μ),    ε = 0.05 · mean of all eigenvalues λ

The shrinkage ε keeps directions in which the reference hardly varies, the corners of a digit,
from being blown up until they rule instead.

Source: Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4 (shrinking eigenvalues towards
their mean); ZCA and PCA whitening, Krizhevsky 2009.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.quantise import Images, to_bytes
from diptych.evaluation.sets import Progress, content_hash, silent

__all__ = ["PixelFeatures"]

LONGEST_SIDE = 32  # pixels; larger images are averaged down to it
IMAGES_PER_COMPONENT = 10
MOST_COMPONENTS = 256
SHRINKAGE = 0.05  # of the mean eigenvalue
BATCH = 512
MOST_FITTED = 2048
"""Images at the most that the transform is fitted on, evenly spread over the reference: the time
grows with the cube of it, and 256 directions are known well enough."""


class PixelFeatures:
    """A whitening fitted once on a reference set and used for every other.

    Args:
        reference: images, uint8 (N, H, W, C) or floating (N, C, H, W) in 0..1, N ≥ 2.

    Attributes:
        name: ``"pixels"``.

    Raises:
        DataError: fewer than two images, or all of them equal.
    """

    name = "pixels"
    fid_name = ""
    caveat = (
        "FD (pixels) compares whitened pixels: it sees layout and colour, not meaning, and a "
        "shift by one pixel is large to it. It is not FID."
    )

    def __init__(self, reference: Images) -> None:
        pixels = to_bytes(reference)
        if len(pixels) < 2:
            raise DataError(f"Whitening needs at least 2 reference images and got {len(pixels)}.")
        self._shape = tuple(pixels.shape[1:])
        if len(pixels) > MOST_FITTED:
            pixels = pixels[torch.arange(MOST_FITTED) * len(pixels) // MOST_FITTED]
        self._fitted_on = content_hash(pixels)
        vectors = torch.cat([_small(part) for part in torch.split(pixels, BATCH)]).double()
        mean = vectors.mean(0)
        values, directions = _principal(vectors - mean)
        average = float(values.sum()) / vectors.shape[1]
        if average <= 0:
            raise DataError("All reference images are equal; whitening needs some that differ.")
        # What rounding leaves of nothing is no direction, and a direction needs some images to be
        # known by: along one fitted to few, these spread out and all others bunch.
        known = max(2, len(vectors) // IMAGES_PER_COMPONENT)
        kept = min(MOST_COMPONENTS, known, int((values > 1e-10 * values[0]).sum()))
        scale = (values[:kept] + SHRINKAGE * average).rsqrt()
        self._mean = mean.float()
        self._transform = (directions[:, :kept] * scale).float()

    @property
    def protocol(self) -> dict[str, Any]:
        """Size, components, shrinkage and a hash of the images the whitening was fitted on.

        Not of the transform: eigenvectors differ in their last bits with the number of threads.
        """
        return {
            "extractor": self.name,
            "longest_side": LONGEST_SIDE,
            "components": self._transform.shape[1],
            "shrinkage": SHRINKAGE,
            "fitted_on": self._fitted_on,
        }

    def features(self, images: Images, /, *, progress: Progress = silent) -> Tensor:
        """Return float32 (N, D) on the CPU, D ≤ 256; over the reference each has mean 0
        (near 0 where the reference has more images than the transform is fitted on).

        Args:
            images: as the reference, of the same size and channels.
            progress: not needed: this takes a second.

        Raises:
            DataError: images of another size, none, or not images.
        """
        pixels = to_bytes(images)
        if tuple(pixels.shape[1:]) != self._shape:
            raise DataError(
                f"The whitening was fitted on images (C, H, W) = {list(self._shape)} and was "
                f"given {list(pixels.shape[1:])}; bring all images to one size first."
            )
        return torch.cat(
            [
                (_small(part.cpu()) - self._mean) @ self._transform
                for part in torch.split(pixels, BATCH)
            ]
        )


def _small(images: Tensor) -> Tensor:
    """Uint8 (N, C, H, W) averaged down and laid flat, float32 (N, D) in 0..1."""
    pixels = images.float().div(255)
    shrink = -(-max(pixels.shape[2:]) // LONGEST_SIDE)
    if shrink > 1:
        pixels = F.avg_pool2d(pixels, shrink, ceil_mode=True)
    return pixels.flatten(1)


def _principal(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of the covariance, largest first, and its eigenvectors in columns.

    With fewer rows than columns they come from the matrix of inner products, which is smaller
    and shares its eigenvalues other than 0.
    """
    rows, columns = centred.shape
    if rows > columns:
        values, vectors = torch.linalg.eigh(centred.T @ centred / (rows - 1))
    else:
        values, vectors = torch.linalg.eigh(centred @ centred.T / (rows - 1))
        vectors = centred.T @ vectors
        vectors = vectors / vectors.norm(dim=0).clamp(min=1e-30)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    # An eigenvector is known up to its sign; the largest entry is made positive.
    signs = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    return values, vectors * signs
