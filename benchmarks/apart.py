"""Variants in a process of their own, taken in turns with those of other processes.

The allocator, the number of threads and what a package patches into torch belong to a whole
process. A peer timed in ours would run on our allocator, and we beside its imports; each in its
own process runs as its user runs it. Only one process works at a time, and each reads its own
clocks.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.interleave import Clock, Sample, Variant

__all__ = ["Builder", "Missing", "apart"]

Builder = Callable[..., Mapping[str, Callable[[], float | Sample]]]
"""A function of a module: settings to work by the name of its variant, see `Variant`."""


class Missing(Exception):
    """Something the variants need is not installed; the message says what."""


class Failed(Exception):
    """What a variant raised in its process, as text."""


@contextlib.contextmanager
def apart(build: Builder, **settings: Any) -> Iterator[list[Variant]]:
    """Build variants in a new process that ends with the context.

    Args:
        build: called there, with `settings`; found there by its module and name.
        settings: what can be pickled.

    Raises:
        Missing: if `build` could not import something.
        Failed: with the traceback, for anything else.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, build, settings), daemon=False)
    process.start()
    there.close()
    try:
        names: list[str] = _answer(here)
        yield [Variant(name, _asking(here, name)) for name in names]
    finally:
        with contextlib.suppress(OSError):
            here.send(None)
        process.join(10)
        if process.is_alive():
            process.terminate()
            process.join()


def _asking(pipe: Connection, name: str) -> Callable[[], Sample]:
    def work() -> Sample:
        pipe.send(name)
        sample: Sample = _answer(pipe)
        return sample

    return work


def _answer(pipe: Connection) -> Any:
    try:
        outcome, content = pipe.recv()
    except EOFError:
        raise Failed("the process of the variant ended without an answer") from None
    if outcome == "missing":
        raise Missing(content)
    if outcome == "failed":
        raise Failed(content)
    return content


def _serve(pipe: Connection, build: Builder, settings: Mapping[str, Any]) -> None:
    """The other process: build, then work when asked, until nothing more is asked."""
    # What peers print (progress bars, banners) is theirs to make and not ours to read.
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,  # noqa: PTH123
        tempfile.TemporaryDirectory(prefix="diptych-apart-") as folder,
    ):
        sys.stdout = sys.stderr = nowhere
        tempfile.tempdir = folder  # what peers leave behind goes with the process
        clock = Clock()
        try:
            variants = build(**settings)
            pipe.send(("ok", list(variants)))
            while (name := pipe.recv()) is not None:
                gc.collect()
                wall, cpu = clock.wall(), clock.cpu()
                done = variants[name]()
                if not isinstance(done, Sample):
                    done = Sample(done, clock.wall() - wall, clock.cpu() - cpu)
                pipe.send(("ok", done))
        except ImportError as error:
            pipe.send(("missing", str(error)))
        except EOFError:
            return  # the asking side is gone
        except Exception:
            pipe.send(("failed", traceback.format_exc()))
