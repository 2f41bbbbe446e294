"""The studio: the one thread that touches the models, so that no two requests meet in one.

Short work (a decoding) is answered in the order it came. Long work (a search, the means of
classes) gives way to it: between two passes of a network it lets the waiting short work through,
so a slider moves while a GAN searches. All of it happens on one thread, one piece at a time, hence
the random streams that `random_stream` opens and restores are properly nested.
"""

import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from torch import nn

from diptych.errors import DiptychError

__all__ = ["Busy", "Job", "Pulse", "Stopped", "Studio", "beating"]

MOST_WAITING = 64
"""Short work that may wait; more is refused."""
MOST_JOBS = 24
"""Long work that may wait or be remembered."""

Result = TypeVar("Result")
Pulse = Callable[[], None]
"""Called between two steps of long work; raises `Stopped` when it shall end."""


class Busy(DiptychError):
    """More is asked than can wait."""


class Stopped(DiptychError):
    """Long work was cancelled, or its time is up."""


@dataclass(eq=False)
class Job:
    """A piece of long work, as the page follows it."""

    work: Callable[[Pulse], dict[str, Any]]
    limit: float
    """Seconds it may take."""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    state: Literal["waiting", "working", "done", "failed", "stopped"] = "waiting"
    passes: int = 0
    """Steps taken so far."""
    begun: float | None = None
    ended: float | None = None
    result: dict[str, Any] | None = None
    error: str = ""
    cancelled: bool = False

    @property
    def seconds(self) -> float:
        """How long it has worked, or worked until it ended."""
        if self.begun is None:
            return 0.0
        return (self.ended or time.monotonic()) - self.begun

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("done", "failed", "stopped")


class Studio:
    """One thread, a queue of short work and a queue of jobs."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._short: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._long: deque[Job] = deque()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._closed = False
        self._thread = threading.Thread(target=self._live, name="studio", daemon=True)
        self._thread.start()

    def ask(self, work: Callable[[], Result]) -> "Future[Result]":
        """Have short work done; its result or its exception comes through the future.

        Raises:
            Busy: if too much is waiting already.
        """
        future: Future[Result] = Future()
        with self._changed:
            if len(self._short) >= MOST_WAITING or self._closed:
                raise Busy("The models have more to do than can wait; try again in a moment.")
            self._short.append((future, work))
            self._changed.notify()
        return future

    def start(self, work: Callable[[Pulse], dict[str, Any]], *, limit: float) -> Job:
        """Have long work done, after the long work that was asked for before.

        Args:
            work: is given a pulse to call between its steps.
            limit: seconds after which it is stopped.

        Raises:
            Busy: if too many jobs wait.
        """
        job = Job(work, limit)
        with self._changed:
            for old in [known for known in self._jobs.values() if known.over]:
                if len(self._jobs) >= MOST_JOBS:
                    del self._jobs[old.id]
            if len(self._jobs) >= MOST_JOBS or self._closed:
                raise Busy("Too many searches are waiting; cancel one, or wait for the first.")
            self._jobs[job.id] = job
            self._long.append(job)
            self._changed.notify()
        return job

    def job(self, name: str) -> Job | None:
        """A job by its id; None if it is not known, or forgotten."""
        with self._changed:
            return self._jobs.get(name)

    def close(self) -> None:
        """Stop what is being done, refuse what waits, end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=10)

    def _live(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._short or self._long or self._closed)
                if self._closed:
                    break
                job = None if self._short else self._long.popleft()
            self._answer_waiting()
            if job is not None:
                self._carry_out(job)
        for future, _ in self._short:
            future.cancel()

    def _answer_waiting(self) -> None:
        while True:
            with self._changed:
                if not self._short or self._closed:
                    return
                future, work = self._short.popleft()
            if not future.set_running_or_notify_cancel():
                continue  # who asked has left
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

    def _carry_out(self, job: Job) -> None:
        def pulse() -> None:
            job.passes += 1
            if job.cancelled or self._closed:
                raise Stopped("The search was cancelled.")
            if job.seconds > job.limit:
                raise Stopped(f"It was stopped: it took longer than {job.limit:.0f} seconds.")
            self._answer_waiting()

        job.begun, job.state = time.monotonic(), "working"
        try:
            if job.cancelled:
                raise Stopped("The search was cancelled.")
            job.result = job.work(pulse)
            state: Literal["done", "failed", "stopped"] = "done"
        except Stopped as stop:
            job.error, state = str(stop), "stopped"
        except DiptychError as error:
            job.error, state = str(error), "failed"
        except Exception as error:
            # The thread has to live on, and the page has to hear of it.
            job.error, state = f"A bug in Diptych: {type(error).__name__}: {error}", "failed"
        job.ended = time.monotonic()
        job.state = state


@contextmanager
def beating(model: nn.Module, pulse: Pulse) -> Iterator[None]:
    """Call the pulse before every pass through a network of the model.

    So whatever a model does to find codes can be stopped and interrupted, though it knows nothing
    of pulses. What a pulse itself asks of the model does not count.
    """
    within = False

    def before(*_: Any) -> None:
        nonlocal within
        if within:
            return
        within = True
        try:
            pulse()
        finally:
            within = False

    hooks = [player.register_forward_pre_hook(before) for player in model.children()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
