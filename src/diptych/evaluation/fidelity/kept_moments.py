"""Means and covariances of real features, kept on disk: they do not depend on what is judged."""

from pathlib import Path

from torch import Tensor

from diptych.evaluation.fidelity.frechet import moments
from diptych.evaluation.kept import read_tensors, write_tensors
from diptych.evaluation.sets import content_hash

__all__ = ["moments_kept"]

NARROWEST = 512
"""Features below which a covariance is made faster than it is read."""


def moments_kept(features: Tensor, cache_dir: Path | None) -> tuple[Tensor, Tensor]:
    """Return the mean and covariance of `moments`, from the disk if they are there.

    They are kept under the hash of the features themselves, which depend on the images and on
    everything about the extractor, and come back to the bit.

    Args:
        features: (N, D) of a real set.
        cache_dir: the folder, made if need be; None keeps nothing.

    Raises:
        DataError: what `moments` raises.
    """
    if cache_dir is None or features.ndim != 2 or features.shape[1] < NARROWEST:
        return moments(features)
    path = cache_dir / f"moments-{content_hash(features)[:32]}.safetensors"
    width = features.shape[1]
    kept = read_tensors(path) or {}
    mean, covariance = kept.get("mean"), kept.get("covariance")
    if mean is not None and covariance is not None and covariance.shape == (width, width):
        return mean.to(features.device), covariance.to(features.device)
    mean, covariance = moments(features)
    write_tensors(path, {"mean": mean, "covariance": covariance})
    return mean, covariance
