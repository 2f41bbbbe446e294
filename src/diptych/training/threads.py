"""How many threads: one or all, by trying."""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["fastest_thread_count"]

ROUNDS = 10
FEWEST_ROUNDS = 3
CLEAR_LOSS = 1.25
"""All threads slower by this factor in every round so far need no further rounds."""
LEAST_GAIN = 1.1
"""What all threads must gain: they lose tenfold when other work turns up, and win little."""


def fastest_thread_count(seconds: float = 0.25, most: int | None = None) -> int:
    """All threads, or one, whichever is through a small network sooner in a short probe.

    On a machine that is busy with something else, threads wait for each other at every barrier
    and all cores together can be many times slower than one. A training step is a chain of
    small operations with a barrier after each, and so is the probe: one large convolution hides
    the waiting. The two are tried in turns; the probe ends early once all threads have lost
    every turn, or when the time is over. torch's own number (OMP_NUM_THREADS) is restored.

    Args:
        seconds: how long each of the two is tried at most.
        most: what "all" means; None takes torch's own number.
    """
    before = torch.get_num_threads()
    everything = before if most is None else most
    if everything == 1:
        return 1
    work = _small_network()
    took: dict[int, list[float]] = {1: [], everything: []}
    try:
        with torch.inference_mode():
            torch.set_num_threads(everything)
            work()  # the first call starts the threads
            end = time.perf_counter() + 2 * seconds
            for done in range(1, ROUNDS + 1):
                for threads, times in took.items():
                    torch.set_num_threads(threads)
                    times.append(_time_of(work, seconds / ROUNDS))
                least = min(all_ / one for one, all_ in zip(*took.values(), strict=True))
                # A turn is a call at least, which can take longer than all the time there is.
                if (done >= FEWEST_ROUNDS and least > CLEAR_LOSS) or time.perf_counter() > end:
                    break
    finally:
        torch.set_num_threads(before)
    # Times are added, not rates: a turn in which the threads waited counts with its whole length.
    return everything if sum(took[1]) > LEAST_GAIN * sum(took[everything]) else 1


def _small_network() -> Callable[[], Tensor]:
    """Convolutions of a few channels, each followed by an operation on every element."""
    start = torch.zeros(64, 16, 14, 14).to(memory_format=torch.channels_last)
    weights = torch.zeros(16, 16, 3, 3).to(memory_format=torch.channels_last)

    def work() -> Tensor:
        images = start
        for _ in range(2):
            images = F.relu(F.conv2d(images, weights, padding=1))
        return images

    return work


def _time_of(work: Callable[[], Tensor], seconds: float) -> float:
    """Seconds of one call, on average over about so many seconds."""
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or count == 0:
        work()
        count += 1
    return elapsed / count
