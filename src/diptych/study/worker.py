"""`python -m diptych.study.worker`: one member in a process of its own.

The first line on stdin is the task; the end of stdin asks to stop, and comes by itself when the
study's own process dies. Events go to stdout as JSON lines; whatever else prints goes to stderr.
"""

import _thread
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from diptych.data import Data, Mixture, load_data
from diptych.errors import InterruptedRun, RunError
from diptych.recipes import Recipe
from diptych.study.members import Conditions, run_member
from diptych.study.plan import Task
from diptych.study.stopping import signals_as_interrupts
from diptych.study.watching import Watcher

__all__ = ["describe_data", "main"]


def describe_data(data: Data, scratch: Path) -> dict[str, Any]:
    """What a worker needs to have the same data, as JSON values.

    Data that `load_data` can find again are named by its arguments; arrays in memory are written
    to `scratch`.
    """
    if data.request:
        return {"request": dict(data.request), "fingerprint": data.fingerprint}
    arrays: dict[str, NDArray[Any]] = {f"split-{name}": rows for name, rows in data.splits.items()}
    for name, array in (("labels", data.labels), ("factors", data.factors)):
        if array is not None:
            arrays[name] = array
    if data.truth is not None:
        arrays["centers"] = data.truth.centers
    if not (scratch / "array.npy").exists():
        np.save(scratch / "array.npy", data.array)
        np.savez(scratch / "rest.npz", **arrays)  # type: ignore[arg-type]
    return {
        "scratch": str(scratch),
        "fingerprint": data.fingerprint,
        "name": data.name,
        "kind": data.kind,
        "class_names": list(data.class_names),
        "factor_names": list(data.factor_names),
        "notes": list(data.notes),
        "sigma": None if data.truth is None else data.truth.sigma,
    }


def _data_of(described: Mapping[str, Any]) -> Data:
    if "request" in described:
        data = load_data(**described["request"])
        if data.fingerprint != described["fingerprint"]:
            raise RunError(f"the data {data.name} have changed since the study was started")
        return data
    scratch = Path(described["scratch"])
    with np.load(scratch / "rest.npz") as file:
        rest = dict(file)
    return Data(
        name=described["name"],
        kind=described["kind"],
        array=np.load(scratch / "array.npy", mmap_mode="r"),
        labels=rest.get("labels"),
        class_names=tuple(described["class_names"]),
        splits={
            "train": rest["split-train"],
            "validation": rest["split-validation"],
            "test": rest["split-test"],
        },
        fingerprint=described["fingerprint"],
        truth=Mixture(rest["centers"], described["sigma"]) if "centers" in rest else None,
        notes=tuple(described["notes"]),
        factors=rest.get("factors"),
        factor_names=tuple(described["factor_names"]),
    )


class _Telling(Watcher):
    """Sends what happens to the study's own process."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def send(self, **event: Any) -> None:
        # Where nobody listens any more, stdin has ended too and the worker saves and stops.
        with suppress(BrokenPipeError):
            print(json.dumps(event), file=self._stream, flush=True)

    def say(self, sentence: str) -> None:
        self.send(event="say", sentence=sentence)

    def row(self, member: str, row: Mapping[str, float]) -> None:
        self.send(event="row", row=dict(row))

    def measuring(self, member: str, what: str, done: int, total: int) -> None:
        self.send(event="measuring", what=what, done=done, total=total)


def main() -> int:
    """Do the task on stdin; 0 when it has an outcome, 130 when it was stopped."""
    # A copy of stdout for the events; what libraries print is no event.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with signals_as_interrupts():
        try:
            return _work(json.loads(sys.stdin.readline()), _Telling(events))
        except KeyboardInterrupt:
            return 130


def _work(order: Mapping[str, Any], telling: _Telling) -> int:
    threading.Thread(target=_watch_stdin, daemon=True).start()
    task = Task(Recipe.model_validate(order["recipe"]), order["seed"], Path(order["study"]))
    given = order["conditions"]
    conditions = Conditions(**{**given, "metrics": tuple(given["metrics"])})
    try:
        outcome = run_member(task, _data_of(order["data"]), conditions, telling)
    except InterruptedRun:
        return 130
    telling.send(event="outcome", entry=dict(outcome.entry), shared=dict(outcome.shared))
    return 0


def _watch_stdin() -> None:
    """Have the main thread stop, as by SIGTERM, when the study's own process is gone."""
    os.read(0, 1)
    _thread.interrupt_main(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
