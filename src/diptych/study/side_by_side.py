"""Members side by side, each in a process of its own; only this process writes study.json."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import torch

from diptych.data import Data
from diptych.study.measured import Outcome
from diptych.study.members import Conditions, crashed, interrupted
from diptych.study.plan import Task
from diptych.study.watching import Watcher
from diptych.study.worker import describe_data

__all__ = ["run_side_by_side"]

WORKER = ("-m", "diptych.study.worker")
PATIENCE_SECONDS = 120.0
"""How long workers may take to save when they are asked to stop."""
TAIL = 20_000
"""Characters of a dead worker's last words that are kept."""


@dataclass(eq=False)
class _Worker:
    task: Task
    slot: int
    process: subprocess.Popen[str]
    words: Path
    outcome: Outcome | None = None
    reader: threading.Thread = field(init=False)

    def ask_to_stop(self) -> None:
        """Close its stdin, which it watches."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def end(self) -> None:
        """Have it gone, at once if need be."""
        self.ask_to_stop()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()


def run_side_by_side(
    tasks: Sequence[Task],
    data: Data,
    conditions: Conditions,
    *,
    jobs: int,
    threads: int,
    lock: int,
    on_outcome: Callable[[Outcome], None],
    watcher: Watcher,
) -> None:
    """Train and measure members in `jobs` processes.

    A worker that dies takes only its own member with it. When this process is interrupted, all
    workers are asked to save and end; when it dies, they notice and do so by themselves.

    Args:
        tasks: in the order in which they begin.
        data: handed to every worker, by name or by file.
        conditions: of every member.
        jobs: workers at a time.
        threads: of each.
        lock: the study's lock, which workers hold as well.
        on_outcome: called here, as each member ends.
        watcher: told what all are doing.

    Raises:
        KeyboardInterrupt: after all workers have saved and ended.
    """
    waiting = list(tasks)
    events: queue.Queue[tuple[_Worker, Mapping[str, Any] | None]] = queue.Queue()
    running: list[_Worker] = []
    with TemporaryDirectory(prefix="diptych-study-") as name:
        scratch = Path(name)
        order = {
            "data": describe_data(data, scratch),
            "conditions": asdict(conditions),
        }
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    slot = min(set(range(jobs)) - {worker.slot for worker in running})
                    worker = _start(waiting.pop(0), slot, order, scratch, threads, lock, events)
                    running.append(worker)
                    watcher.begin(worker.task.title)
                try:
                    worker, event = events.get(timeout=0.5)
                except queue.Empty:
                    continue
                if event is not None:
                    _tell(worker, event, watcher)
                    continue
                worker.end()
                running.remove(worker)
                watcher.end(worker.task.title)
                on_outcome(_ended(worker))
        except KeyboardInterrupt:
            _stop(running)
            for worker in running:
                watcher.end(worker.task.title)
                on_outcome(_ended(worker))
            raise
        finally:
            for worker in running:
                worker.end()


def _start(
    task: Task,
    slot: int,
    order: Mapping[str, Any],
    scratch: Path,
    threads: int,
    lock: int,
    events: "queue.Queue[tuple[_Worker, Mapping[str, Any] | None]]",
) -> _Worker:
    words = scratch / f"{task.recipe.name}-{task.seed}.txt"
    on_windows = sys.platform == "win32"
    with words.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, *WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            env=_environment(slot, threads),
            pass_fds=() if on_windows else (lock,),
            # Ctrl-C in the terminal is for the study, which asks its workers to stop.
            start_new_session=not on_windows,
        )
    worker = _Worker(task, slot, process, words)
    assert process.stdin is not None
    assert process.stdout is not None
    whole = {
        **order,
        "recipe": task.recipe.to_dict(),
        "seed": task.seed,
        "study": str(task.study.resolve()),
    }
    with suppress(BrokenPipeError):  # it is dead already; its end is an event like any other
        process.stdin.write(json.dumps(whole) + "\n")
        process.stdin.flush()
    worker.reader = threading.Thread(
        target=_read, args=(worker, process.stdout, events), daemon=True
    )
    worker.reader.start()
    return worker


def _environment(slot: int, threads: int) -> dict[str, str]:
    """The environment of the worker in a slot: its share of the cores, its own device."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    # The package may be on this process's path only.
    source = str(Path(__file__).parents[2])
    others = os.environ.get("PYTHONPATH")
    environment["PYTHONPATH"] = source + (os.pathsep + others if others else "")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count:
        named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        visible = named or [str(index) for index in range(count)]
        environment["CUDA_VISIBLE_DEVICES"] = visible[slot % len(visible)]
    return environment


def _read(
    worker: _Worker,
    stream: IO[str],
    events: "queue.Queue[tuple[_Worker, Mapping[str, Any] | None]]",
) -> None:
    """Pass a worker's events on until it ends; None is its end."""
    with stream:
        for line in stream:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # cut short by its death
            if event["event"] == "outcome":
                worker.outcome = Outcome(event["entry"], event["shared"])
            else:
                events.put((worker, event))
    worker.process.wait()
    events.put((worker, None))


def _tell(worker: _Worker, event: Mapping[str, Any], watcher: Watcher) -> None:
    title = worker.task.title
    if event["event"] == "say":
        watcher.say(event["sentence"])
    elif event["event"] == "row":
        watcher.row(title, event["row"])
    else:
        watcher.measuring(title, event["what"], event["done"], event["total"])


def _ended(worker: _Worker) -> Outcome:
    """What a worker sent, or what its death means."""
    if worker.outcome is not None:
        return worker.outcome
    code = worker.process.poll()
    words = worker.words.read_text(encoding="utf-8", errors="replace")[-TAIL:]
    if code is None or code == 130:
        return interrupted(worker.task, "stopped; the same command goes on")
    if code < 0:
        told = f"its process was ended by {signal.Signals(-code).name}"
        told += "; memory may have run out" if -code == 9 else ""
    else:
        told = f"its process ended with code {code}"
    return crashed(worker.task, told, f"{told}\n\n{words}")


def _stop(running: Sequence[_Worker]) -> None:
    """Ask all workers to save and end, and wait for them."""
    for worker in running:
        worker.ask_to_stop()
    deadline = time.monotonic() + PATIENCE_SECONDS
    for worker in running:
        worker.reader.join(max(0.0, deadline - time.monotonic()))
