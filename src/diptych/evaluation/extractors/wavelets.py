"""Statistics of Haar wavelet packets: texture at every scale and direction, with no weights.

A packet transform splits an image into its four halves (mean, horizontal, vertical and diagonal
differences) and each of these again, L times: 4^L bands per channel. Of each band two numbers
are kept, of c its coefficients and q²/12 the variance of rounding to bytes:

    energy    ½ log(mean c² + q²/12)
    sparsity  mean |c| / √(mean c² + q²/12)

and of the coarsest band the mean, which is the brightness. The transform is orthonormal, so the
noise of rounding is the same q²/12 in every band.

Source: packets as a ruler for generators, Veeramacheneni et al. 2023, arXiv:2312.15289 (they
compare the coefficients themselves, at level 4 and 256 pixels; we their statistics, at a level
that fits the size); energy and sparsity of wavelet bands, Portilla and Simoncelli 2000,
doi:10.1023/A:1026553619983.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diptych.evaluation.extractors.batches import in_batches
from diptych.evaluation.quantise import Images, to_bytes
from diptych.evaluation.sets import Progress, silent

__all__ = ["WaveletFeatures", "haar_packets", "level_for"]

MOST_LEVELS = 3
SMALLEST_BAND = 4  # pixels of a side: fewer coefficients say little about a picture
ROUNDING = (1 / 255) ** 2 / 12
BATCH = 256


class WaveletFeatures:
    """The statistics at the level that fits the images; nothing is fitted, nothing is loaded.

    Attributes:
        name: ``"wavelets"``.
        protocol: the wavelet and the rule by which the level follows from the size.
    """

    name = "wavelets"
    fid_name = ""
    caveat = (
        "FD (wavelets) compares statistics of wavelet bands: it sees texture, noise and blur, "
        "not where things are nor what they mean. It is not FID."
    )

    @property
    def protocol(self) -> dict[str, Any]:
        """The wavelet, its levels and the floor of a band's energy."""
        return {
            "extractor": self.name,
            "wavelet": "haar",
            "levels": f"until bands are below {SMALLEST_BAND}, at most {MOST_LEVELS}",
            "statistics": "log energy, sparsity, mean",
        }

    def features(self, images: Images, /, *, progress: Progress = silent) -> Tensor:
        """Return float32 (N, D) on the CPU, D = channels · (2 · 4^L + 1).

        Args:
            images: uint8 (N, H, W, C), or floating (N, C, H, W) in 0..1, which are quantised; any
                size and number of channels, which are described one by one.
            progress: told after each batch.

        Raises:
            DataError: no images, or not images.
        """
        return in_batches(
            _statistics, to_bytes(images), size=BATCH, what="wavelet features", progress=progress
        )


def level_for(height: int, width: int) -> int:
    """Return how often images of this size are split: 0..3."""
    level = 0
    while level < MOST_LEVELS and min(height, width) >> (level + 1) >= SMALLEST_BAND:
        level += 1
    return level


def haar_packets(images: Tensor, level: int) -> Tensor:
    """Return all bands of the packet transform.

    Args:
        images: floating (N, C, H, W). Sides that are no multiple of 2^level are continued by
            their last row or column.
        level: how often to split.

    Returns:
        (N, C, 4^level, H / 2^level, W / 2^level); band 0 is the coarsest, 2^level times the mean
        of its pixels. Orthonormal: where nothing was continued, the sum of squares is that of
        the images.
    """
    step = 2**level
    height, width = images.shape[2:]
    pad = (0, -width % step, 0, -height % step)
    bands = F.pad(images, pad, mode="replicate") if any(pad) else images
    bands = bands.unsqueeze(2)
    for _ in range(level):
        top, bottom = bands[..., ::2, :], bands[..., 1::2, :]
        halves = []
        for rows in (top + bottom, top - bottom):
            left, right = rows[..., ::2], rows[..., 1::2]
            halves += [(left + right) / 2, (left - right) / 2]
        bands = torch.cat(halves, 2)
    return bands


def _statistics(images: Tensor) -> Tensor:
    level = level_for(*images.shape[2:])
    bands = haar_packets(images.float().div(255), level).flatten(3)
    power = bands.square().mean(3) + ROUNDING
    sparsity = bands.abs().mean(3) / power.sqrt()
    brightness = bands[:, :, :1].mean(3) / 2**level
    return torch.cat([power.log() / 2, sparsity, brightness], 2).flatten(1)
