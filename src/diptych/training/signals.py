"""Ctrl-C, SIGTERM and SIGHUP ask the loop to save and stop, instead of tearing it apart."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopRequest", "graceful_stop"]

PATIENCE_SECONDS = 2.0
"""Repeats of a signal within this time are part of the first."""


class StopRequest:
    """Becomes true when a signal arrives."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Inside, a signal that ends a program only sets the request; handlers are restored after.

    Repeats within two seconds count as one: people press twice and wrappers forward what the
    terminal has sent already. A later one breaks off at once, without saving.

    Outside the main thread signals cannot be caught, and nothing is changed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    caught = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):  # a closed terminal; Windows has none
        caught.append(signal.SIGHUP)
    previous = {number: signal.getsignal(number) for number in caught}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    first = 0.0

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if request.signal is None:
            request.signal, first = signal.Signals(number), time.monotonic()
        elif time.monotonic() - first > PATIENCE_SECONDS:
            restore()
            raise KeyboardInterrupt

    for number in caught:
        signal.signal(number, remember)
    try:
        yield request
    finally:
        restore()
