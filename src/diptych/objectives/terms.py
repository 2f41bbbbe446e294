"""What an objective returns: the loss to lower, and its named parts to look at."""

from typing import NamedTuple

from torch import Tensor

__all__ = ["Terms"]


class Terms(NamedTuple):
    """One turn's loss and the parts it is made of.

    The parts stay tensors on the device; the loop reads them once per log interval.
    """

    loss: Tensor
    """The scalar the turn lowers."""
    named: dict[str, Tensor]
    """Detached scalars by name, e.g. {"reconstruction": ..., "kl": ...}."""
