"""Whether fp32 matrix products run faster through oneDNN than through torch's own choice."""

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from diptych.networks.onednn import onednn_linear

__all__ = ["onednn_speedup"]

ROUNDS = 7
ROWS, INPUTS, OUTPUTS = 128, 784, 400
"""The first layer of a plain VAE on a batch of 28 x 28 images."""


def onednn_speedup() -> float:
    """Time of torch's fp32 linear over oneDNN's for one layer, at torch's number of threads.

    About 2 on AMD, where the MKL inside torch takes a slow path, and about 1 on Intel. Takes
    some ten milliseconds; the best of several turns is compared, so that a busy machine does
    not decide. Measured once in a process: two runs of the same seed compute alike.
    """
    return _speedup(torch.get_num_threads())


@cache
def _speedup(threads: int) -> float:
    x = torch.full((ROWS, INPUTS), 0.5)
    weight = torch.full((OUTPUTS, INPUTS), 0.5)
    bias = torch.zeros(OUTPUTS)
    with torch.inference_mode():
        return _ratio(
            lambda: torch.nn.functional.linear(x, weight, bias),
            lambda: onednn_linear(x, weight, bias),
        )


def _ratio(one: Callable[[], Tensor], other: Callable[[], Tensor]) -> float:
    """The least time of one over the least time of the other."""
    least = [float("inf"), float("inf")]
    for _ in range(1 + ROUNDS):
        for which, call in enumerate((one, other)):
            start = time.perf_counter()
            call()
            least[which] = min(least[which], time.perf_counter() - start)
    return least[0] / least[1]
