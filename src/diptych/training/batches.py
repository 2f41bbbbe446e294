"""Batches by index from resident bytes: no loader, no workers, no state.

Which images make batch number k is a pure function of (seed, k), so a resumed run sees exactly
the order it would have seen.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["RESIDENT_BYTES", "Batches", "images_from_bytes"]

RESIDENT_BYTES = 4 << 30
"""Data up to this size is kept in memory (on the device); larger data stays memory-mapped."""


def images_from_bytes(array: Tensor) -> Tensor:
    """uint8 (N, H, W, C) to float32 (N, C, H, W) in [0, 1], in the channels-last layout."""
    return (array.float() / 255.0).permute(0, 3, 1, 2)


class Batches:
    """Shuffled batches of a training split, epoch after epoch, without end.

    Args:
        array: uint8 images (M, H, W, C), may be memory-mapped, or float32 points (M, D).
        indices: rows of the split, (N,) int64.
        batch_size: images per batch; cut to N if the split is smaller. The rest of an epoch that
            does not fill a batch is left out, drawn anew each epoch.
        seed: of the order.
        device: where batches are delivered.
    """

    def __init__(
        self,
        array: NDArray[np.generic],
        indices: NDArray[np.int64],
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.batch_size = min(batch_size, len(indices))
        self.per_epoch = len(indices) // self.batch_size
        self._indices = indices
        self._seed = seed
        self._device = device
        self._is_image = array.ndim == 4
        row_bytes = int(np.prod(array.shape[1:])) * array.itemsize
        self._mapped = array
        self._resident: Tensor | None = None
        if row_bytes * len(indices) <= RESIDENT_BYTES:
            self._resident = torch.from_numpy(np.ascontiguousarray(array[indices])).to(device)
        self._order: Tensor | None = None
        self._epoch = -1

    def order(self, epoch: int) -> Tensor:
        """The permutation of the split's rows in an epoch, (N,) int64."""
        # A sequence seeds without collisions, which seed + epoch would have between runs.
        mixed = int(np.random.SeedSequence([self._seed, epoch]).generate_state(1, np.uint64)[0])
        generator = torch.Generator().manual_seed(mixed & (2**63 - 1))
        return torch.randperm(len(self._indices), generator=generator)

    def __getitem__(self, step: int) -> Tensor:
        """The batch of a step: float (B, C, H, W) in [0, 1], or points (B, D) as they are."""
        epoch, position = divmod(step, self.per_epoch)
        if self._order is None or epoch != self._epoch:
            self._order, self._epoch = self.order(epoch).to(self._device), epoch
        rows = self._order[position * self.batch_size : (position + 1) * self.batch_size]
        if self._resident is not None:
            batch = self._resident.index_select(0, rows)
        else:
            # Read in the order of the file: random single reads are what a disk does worst.
            chosen = np.sort(self._indices[rows.cpu().numpy()])
            batch = torch.from_numpy(np.ascontiguousarray(self._mapped[chosen])).to(self._device)
        return images_from_bytes(batch) if self._is_image else batch
