"""The workers of one job: processes that train the same game, each on its share of every batch.

Every worker runs the same program. A batch is shared out by strides, worker r of n has the rows
r, r + n, r + 2n, ..., so that the first half of a batch is the first half of every share (of an
even number of rows). Ambient random numbers are the same on all workers: what is drawn for a batch
is drawn for the whole of it and each takes its rows. One worker needs no process group, and
everything here is the identity.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as group
from torch import Tensor

__all__ = [
    "alone",
    "first_worker_first",
    "from_first_worker",
    "is_first_worker",
    "largest_number",
    "mean_over_workers",
    "number_from_first",
    "own_rows",
    "standard_noise",
    "text_from_first",
    "wait_for_workers",
    "worker_count",
    "worker_rank",
]


Result = TypeVar("Result")

_alone = False


def worker_count() -> int:
    """How many workers share the work; 1 where no process group was made, and in `alone`."""
    return group.get_world_size() if not _alone and _is_grouped() else 1


def worker_rank() -> int:
    """Which share of the work is this worker's, from 0."""
    return group.get_rank() if worker_count() > 1 else 0


def is_first_worker() -> bool:
    """True on the worker that writes files and speaks, in `alone` too."""
    return not _is_grouped() or group.get_rank() == 0


def _is_grouped() -> bool:
    return group.is_available() and group.is_initialized()


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this worker does the whole work itself and waits for no other.

    For what one worker does while the others do not, or what all do alike.
    """
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def own_rows(tensor: Tensor) -> Tensor:
    """This worker's share of what all have in whole, (N, ...) to (about N / count, ...)."""
    count = worker_count()
    return tensor if count == 1 else tensor[worker_rank() :: count]


def standard_noise(n: int, dim: int, like: Tensor) -> Tensor:
    """Standard normal noise for n rows of this worker's share.

    It is drawn for the whole batch from the ambient stream, so the numbers that belong to an
    image do not depend on how many workers there are.

    Args:
        n: rows of the share; the same on all workers.
        dim: values of each row.
        like: the noise gets its device and precision.

    Returns:
        (n, dim).
    """
    whole = torch.randn(n * worker_count(), dim, device=like.device, dtype=like.dtype)
    return own_rows(whole)


def mean_over_workers(tensor: Tensor) -> Tensor:
    """The mean of a tensor that every worker has a value of; differentiable, also twice.

    Its gradient is the mean over the workers of the gradients that arrive: that of the sum of all
    workers' losses, and data parallelism, which averages gradients, makes it that of their mean.
    """
    return tensor if worker_count() == 1 else cast(Tensor, _Mean.apply(tensor))  # type: ignore[no-untyped-call]


class _Mean(torch.autograd.Function):
    """All-reduce is its own adjoint, so backward is the function itself."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        group.all_reduce(total)
        return total / worker_count()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return mean_over_workers(gradients[0])


def from_first_worker(tensor: Tensor) -> Tensor:
    """The first worker's value, on every worker; of the same shape and type on all."""
    if worker_count() == 1:
        return tensor
    value = tensor.detach().clone(memory_format=torch.contiguous_format)
    group.broadcast(value, src=0)
    return value


def number_from_first(value: float) -> float:
    """The first worker's number, on every worker: what its clock says holds for all."""
    return float(from_first_worker(torch.tensor(value, dtype=torch.float64)))


def text_from_first(text: str | None) -> str:
    """The first worker's text, on every worker; what the others pass is not looked at."""
    content = torch.tensor(list((text or "").encode()), dtype=torch.uint8)
    length = int(number_from_first(len(content)))
    if not is_first_worker():
        content = torch.zeros(length, dtype=torch.uint8)
    return bytes(from_first_worker(content).tolist()).decode()


def largest_number(value: int) -> int:
    """The largest of the workers' numbers, on every worker."""
    if worker_count() == 1:
        return value
    largest = torch.tensor(value)
    group.all_reduce(largest, op=group.ReduceOp.MAX)
    return int(largest)


def wait_for_workers() -> None:
    """Returns once every worker has come here."""
    largest_number(0)


def first_worker_first(work: Callable[[], Result]) -> Result:
    """Do what fills a cache: the others begin when the first worker is done, and find it."""
    if not is_first_worker():
        wait_for_workers()
    result = work()
    if is_first_worker():
        wait_for_workers()
    return result
