"""What a feature extractor is, and the one for points, which are their own features."""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.errors import DataError

__all__ = ["Features", "PointFeatures"]


class Features(Protocol):
    """Anything that turns items into vectors in a way that can be named and repeated."""

    @property
    def name(self) -> str:
        """One word for people, printed in a figure's name: FD (name)."""

    @property
    def protocol(self) -> dict[str, Any]:
        """JSON values that change whenever the features could."""

    def features(self, items: Tensor | NDArray[Any], /) -> Tensor:
        """Return float32 (N, D) on the CPU."""


class PointFeatures:
    """The identity: a point's coordinates are its features."""

    name = "coordinates"

    @property
    def protocol(self) -> dict[str, Any]:
        """Nothing but the name: there is nothing to vary."""
        return {"extractor": "coordinates"}

    def features(self, points: Tensor | NDArray[Any], /) -> Tensor:
        """Return the points as float32 (N, D) on the CPU.

        Args:
            points: (N, D), floating.

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
