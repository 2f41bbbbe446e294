"""The sets that a panel compares: generated items, the reference, unseen real ones, training."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Progress", "Sets", "content_hash", "silent"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and the total."""


def silent(what: str, done: int, total: int) -> None:
    """A progress callback that shows nothing."""


@dataclass(frozen=True, eq=False)
class Sets:
    """Items of one kind: images uint8 (N, H, W, C), points (N, D), or features (N, D).

    Attributes:
        fake: what is judged.
        real: the reference; as many as `fake`, unless the source had fewer.
        floor: real items that are in neither `real` nor `train`, as many as `real`: measured in
            place of `fake` they give every figure its floor. None where there are not enough.
        train: what the model was trained on (a part of it), for the search for copies; None for
            sets that came from outside.
        real_labels: int64 (N,), the classes of `real`, or None.
    """

    fake: Tensor
    real: Tensor
    floor: Tensor | None = None
    train: Tensor | None = None
    real_labels: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Sets":
        """The same sets with the function applied to each, e.g. a feature extractor."""
        return replace(
            self,
            fake=function(self.fake),
            real=function(self.real),
            floor=None if self.floor is None else function(self.floor),
            train=None if self.train is None else function(self.train),
        )

    def as_floor(self) -> "Sets | None":
        """The sets with the floor in the place of the generated items, or None without one."""
        return None if self.floor is None else replace(self, fake=self.floor, floor=None)


def content_hash(items: Tensor) -> str:
    """SHA-256 of shape, type and content, in hexadecimal."""
    digest = hashlib.sha256(f"{tuple(items.shape)} {items.dtype};".encode())
    for part in torch.split(items, 4096):
        digest.update(part.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
