"""Batches by index from resident bytes: no loader, no workers, no state.

Which images make batch number k is a pure function of (seed, k), so a resumed run sees exactly
the order it would have seen.
"""

import mmap
import os
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.errors import DataError
from diptych.workers import own_rows, worker_count

__all__ = ["RESIDENT_BYTES", "Batches", "images_from_bytes"]

RESIDENT_BYTES = 1 << 30
"""What all workers together keep in main memory of the data; larger data stays memory-mapped,
where the system's page cache holds what fits. A GPU keeps what a quarter of its free memory
holds. The batches are the same either way."""


def images_from_bytes(array: Tensor) -> Tensor:
    """uint8 (N, H, W, C) to float32 (N, C, H, W) in [0, 1], in the channels-last layout."""
    return (array.float() / 255.0).permute(0, 3, 1, 2)


class Batches:
    """Shuffled batches of a training split, epoch after epoch, without end.

    Of several workers each is given its share of the same batch.

    Args:
        array: uint8 images (M, H, W, C), may be memory-mapped, or float32 points (M, D).
        indices: rows of the split, (N,) int64.
        batch_size: images per batch, all shares together; cut to N if the split is smaller. The
            rest of an epoch that does not fill a batch is left out, drawn anew each epoch.
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
        self._read_row = _row_reader(array)
        self._resident: Tensor | None = None
        if row_bytes * len(indices) <= _resident_bytes(device):
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
        """This worker's share of the batch of a step, (B / workers, C, H, W) in [0, 1] as floats.

        Points (B / workers, D) stay as they are.
        """
        epoch, position = divmod(step, self.per_epoch)
        if self._order is None or epoch != self._epoch:
            self._order, self._epoch = self.order(epoch).to(self._device), epoch
        rows = self._order[position * self.batch_size : (position + 1) * self.batch_size]
        if self._resident is not None:
            batch = self._resident.index_select(0, own_rows(rows))
        else:
            chosen = self._indices[own_rows(rows).cpu().numpy()]
            # Read in the order of the file: random single reads are what a disk does worst.
            forward = np.argsort(chosen)
            share = np.empty((len(chosen), *self._mapped.shape[1:]), self._mapped.dtype)
            for place in forward:
                self._read_row(chosen[place], share[place])
            batch = torch.from_numpy(share).to(self._device)
        return images_from_bytes(batch) if self._is_image else batch


def _row_reader(array: NDArray[np.generic]) -> Callable[[int, NDArray[np.generic]], None]:
    """What copies one row of the array to where it is wanted.

    Rows of a mapped file are read from the file: pages that are reached through the mapping count
    as memory of this process, with their neighbours, until all of the file does.
    """
    mapped: Any = array if isinstance(array, np.memmap) else None
    # A part of a mapped array is one too, but does not know where in the file it begins.
    if mapped is None or not isinstance(mapped.base, mmap.mmap) or not hasattr(os, "preadv"):

        def copy(row: int, into: NDArray[np.generic]) -> None:
            into[...] = array[row]

        return copy
    descriptor = os.open(mapped.filename, os.O_RDONLY)
    row_bytes, start = mapped.strides[0], mapped.offset

    def read(row: int, into: NDArray[np.generic]) -> None:
        if os.preadv(descriptor, [into.data], start + int(row) * row_bytes) != row_bytes:
            raise DataError(
                f"{mapped.filename} has become shorter while it was read: row {row} is not all "
                "there; bring the file back"
            )

    weakref.finalize(read, os.close, descriptor)
    return read


def _resident_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free // 4
    return RESIDENT_BYTES // worker_count()
