"""Ctrl-C and SIGTERM ask the loop to save and stop, instead of tearing it apart."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopRequest", "graceful_stop"]


class StopRequest:
    """Becomes true when a signal arrives; a second signal is left to Python."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Inside, the first SIGINT or SIGTERM only sets the request; handlers are restored after.

    Outside the main thread signals cannot be caught, and nothing is changed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    caught = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.getsignal(number) for number in caught}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def remember(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        restore()

    for number in caught:
        signal.signal(number, remember)
    try:
        yield request
    finally:
        restore()
