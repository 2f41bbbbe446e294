"""A decoder as data: a list of layers and one block of half-precision weights.

The page runs it in JavaScript, `decode` in numpy. Values are laid out channels last throughout, so
that the innermost sums run over neighbours in memory.

Operations, with their weights in the order of the block:

- `linear` {inputs, outputs}: (outputs, inputs), then the bias.
- `convolution` {channels: [in, out], size: [h, w]}: 3 x 3, zeros around: (out, 3, 3, in), bias.
- `transposed` {channels, size, crop}: 4 x 4, stride 2, padding 1, to the upper left `crop` of
  2h x 2w. Each output pixel is reached by 2 x 2 inputs, so it is written as four 2 x 2
  convolutions, for even and odd rows and columns: (out, 2, 2, 2, 2, in) with the two phases
  before the two taps, then the bias.
- `leaky` {slope}, `tanh`, `sigmoid`, `affine` {scale, shift}, and `continuous-bernoulli`, the
  mean of that distribution from its logit: of each value on its own, no weights.
"""

import base64
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Portable", "decode"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Portable:
    """A decoder as layers and weights: codes (N, L) to values (N, C, H, W)."""

    latent_dim: int
    event_shape: tuple[int, ...]
    layers: tuple[dict[str, Any], ...]
    weights: NDArray[np.float16]
    multiplications: int
    """Per picture."""

    def to_json(self) -> dict[str, Any]:
        """The content of decoder.json."""
        block = self.weights.astype("<f2").tobytes()
        return {
            "schema": 1,
            "latent_dim": self.latent_dim,
            "event_shape": list(self.event_shape),
            "multiplications": self.multiplications,
            "layers": list(self.layers),
            "weights": base64.b64encode(block).decode("ascii"),
        }


def decode(portable: Portable, codes: NDArray[np.floating[Any]]) -> Array:
    """Run the layers in numpy: the page's decoder in another language.

    Args:
        portable: the layers.
        codes: (N, L).

    Returns:
        float32 (N, C, H, W).
    """
    values = np.asarray(codes, np.float32)
    place = 0

    def take(*shape: int) -> Array:
        nonlocal place
        part = portable.weights[place : place + math.prod(shape)]
        place += math.prod(shape)
        return part.astype(np.float32).reshape(shape)

    for layer in portable.layers:
        op = layer["op"]
        if op == "linear":
            weight = take(layer["outputs"], layer["inputs"])
            values = values @ weight.T + take(layer["outputs"])
        elif op in ("convolution", "transposed"):
            before, after = layer["channels"]
            grid = values.reshape(-1, *layer["size"], before)
            if op == "convolution":
                values = _correlate(grid, take(after, 3, 3, before))
            else:
                values = _upsample(grid, take(after, 2, 2, 2, 2, before), layer["crop"])
            values = values + take(after)
        else:
            values = _value(layer, values)
    channels, height, width = portable.event_shape
    return np.moveaxis(values.reshape(-1, height, width, channels), 3, 1)


def _correlate(grid: Array, weight: Array) -> Array:
    """Slide (O, k, k, I) over (N, H, W, I); a ring of zeros is put around the grid."""
    padded = np.pad(grid, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[1:3], (1, 2))
    found: Array = np.einsum("nhwikl,okli->nhwo", windows, weight, optimize=True)
    return found


def _upsample(grid: Array, weight: Array, crop: list[int]) -> Array:
    count, height, width, _ = grid.shape
    out = np.empty((count, 2 * height, 2 * width, len(weight)), np.float32)
    for row in (0, 1):
        for column in (0, 1):
            found = _correlate(grid, weight[:, row, column])
            out[:, row::2, column::2] = found[:, row : row + height, column : column + width]
    return out[:, : crop[0], : crop[1]]


def _value(layer: dict[str, Any], values: Array) -> Array:
    op = layer["op"]
    if op == "leaky":
        return np.where(values > 0, values, np.float32(layer["slope"]) * values)
    if op == "tanh":
        return np.tanh(values)
    if op == "affine":
        scaled: Array = np.float32(layer["scale"]) * values + np.float32(layer["shift"])
        return scaled
    if op == "sigmoid":
        half: Array = np.float32(0.5) * np.tanh(np.float32(0.5) * values) + np.float32(0.5)
        return half
    # E[x] = 1 / (1 - e^-l) - 1 / l; near 0 by its series, where the difference cancels.
    wide = values.astype(np.float64)
    small = np.abs(wide) < 0.01
    size = np.where(small, 1.0, np.abs(wide))
    upper = -1.0 / np.expm1(-size) - 1.0 / size
    mean = np.where(small, 0.5 + wide / 12, np.where(wide < 0, 1.0 - upper, upper))
    return mean.astype(np.float32)
