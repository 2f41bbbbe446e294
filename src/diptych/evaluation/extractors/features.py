"""What a feature extractor is, and the one for points, which are their own features."""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.sets import Progress, silent

__all__ = ["Features", "PointFeatures"]


class Features(Protocol):
    """Anything that turns items into vectors in a way that can be named and repeated."""

    @property
    def name(self) -> str:
        """One word for people, printed in a figure's name: FD (name)."""

    @property
    def protocol(self) -> dict[str, Any]:
        """JSON values that change whenever the features could: weights, layer, resize, dtype."""

    @property
    def fid_name(self) -> str:
        """What the literature calls a Fréchet distance of these features: "FID", or nothing."""

    @property
    def caveat(self) -> str:
        """One sentence to print beside distances of these features: what they are not."""

    def features(self, items: Tensor | NDArray[Any], /, *, progress: Progress = silent) -> Tensor:
        """Return float32 (N, D) on the CPU.

        Args:
            items: images uint8 (N, H, W, C) or floating (N, C, H, W) in 0..1; or points.
            progress: told how far the work is.
        """


class PointFeatures:
    """The identity: a point's coordinates are its features."""

    name = "coordinates"
    fid_name = ""
    caveat = "Distances are taken between the points themselves."

    @property
    def protocol(self) -> dict[str, Any]:
        """Nothing but the name: there is nothing to vary."""
        return {"extractor": "coordinates"}

    def features(self, points: Tensor | NDArray[Any], /, *, progress: Progress = silent) -> Tensor:
        """Return the points as float32 (N, D) on the CPU.

        Args:
            points: (N, D), floating.
            progress: not needed: this costs nothing.

        Raises:
            DataError: not a matrix, or values that are not finite.
        """
        if not isinstance(points, Tensor):
            points = torch.from_numpy(np.array(points))
        if points.ndim != 2:
            raise DataError(f"Points must be a matrix (N, D), not {tuple(points.shape)}.")
        if not bool(points.isfinite().all()):
            raise DataError("The points hold NaN or infinite values; the model failed.")
        return points.detach().float().cpu()
