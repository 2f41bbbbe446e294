"""Starting the workers of a job: the same program, once for each device.

Under torchrun the processes are there already and only meet. Otherwise the first worker of each
node starts the others of its node, runs on as one of them, and takes them with it when it ends.
"""

import atexit
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import IO, Any

import torch
import torch.distributed as group

from diptych.errors import DiptychError
from diptych.training.plan import ExecutionPlan, Wishes
from diptych.workers import is_first_worker, text_from_first, worker_count

__all__ = ["choose_together", "lost_worker", "start_workers"]

TIMEOUT = timedelta(minutes=30)
"""How long a worker waits for the others, which may be reading data; a dead one shows at once."""
PATIENCE_SECONDS = 15.0
"""After so long a person is told that a worker waits for others at the start."""
GRACE_SECONDS = 5.0
"""How long this process may take to notice itself that a worker has died."""
_PARENT = "DIPTYCH_STARTED_BY"


def start_workers(devices: int, nodes: int, device: str) -> None:
    """Make this process one of devices x nodes workers; with one nothing is done.

    Every worker runs the whole program, so what must happen once belongs under
    `is_first_worker()`. Workers that are started here have no voice: what they write to the
    terminal is kept and shown only if one breaks down.

    Args:
        devices: workers on each node.
        nodes: machines; each runs the same command, under torchrun or with MASTER_ADDR and
            NODE_RANK set.
        device: "cpu" (they talk through gloo) or "cuda" (through NCCL).

    Raises:
        DiptychError: if as many cannot be had.
    """
    count = devices * nodes
    asked = f"--devices {devices} --nodes {nodes}"
    if worker_count() > 1:  # all met before, in an earlier call of the same program
        _same_count(count, worker_count(), asked)
        return
    met_outside = "RANK" in os.environ and "WORLD_SIZE" in os.environ
    if met_outside:
        _same_count(count, _from_environment("WORLD_SIZE"), asked)
        if "LOCAL_WORLD_SIZE" in os.environ:
            _same_count(devices, _from_environment("LOCAL_WORLD_SIZE"), asked)
    limit = max(2, os.cpu_count() or 1)
    if device == "cpu" and devices > limit:
        raise DiptychError(
            f"--devices {devices}: this machine has {os.cpu_count()} processors, "
            f"for at most {limit} workers"
        )
    if count == 1:
        return
    _check_channel(device)
    if met_outside:
        if _PARENT in os.environ:
            _end_with(int(os.environ[_PARENT]))
    else:
        _Started(devices, nodes)
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Numbers that steer the loop lie in main memory and do not wait for a GPU.
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    told = threading.Timer(
        PATIENCE_SECONDS,
        lambda: _say(
            f"diptych: worker {os.environ['RANK']} of {count} is waiting for the others at "
            f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        ),
    )
    told.daemon = True
    told.start()
    group.init_process_group(backend, timeout=TIMEOUT)
    told.cancel()
    atexit.register(_leave)


def choose_together(
    wishes: Wishes, *, begun: Mapping[str, Any] | None = None, points: bool = False
) -> ExecutionPlan:
    """The first worker's plan on all workers, which `start_workers` has brought together.

    Args:
        wishes, begun, points: as in `ExecutionPlan.choose`.
    """
    if worker_count() == 1:
        return ExecutionPlan.choose(wishes, begun=begun, points=points)
    chosen: str | None = None
    if is_first_worker():
        chosen = json.dumps(ExecutionPlan.choose(wishes, begun=begun, points=points).to_dict())
    plan = ExecutionPlan.from_dict(json.loads(text_from_first(chosen)))
    plan.apply()
    return plan


def lost_worker(error: RuntimeError) -> bool:
    """True if a step failed because another worker is no longer there.

    Args:
        error: what torch raised.
    """
    from_peers = isinstance(error, group.DistError) or "gloo" in str(error)
    return worker_count() > 1 and from_peers


def _same_count(asked: int, found: int, options: str) -> None:
    if asked != found:
        raise DiptychError(
            f"{options} asks for {asked} workers and there are {found}; give --devices the "
            "processes on each node and --nodes the machines, or unset RANK, WORLD_SIZE and "
            "LOCAL_WORLD_SIZE if no launcher set them"
        )


def _from_environment(name: str) -> int:
    value = os.environ[name]
    if not value.isdecimal():
        raise DiptychError(
            f"{name} in the environment is {value!r}, not a number; a launcher such as torchrun "
            f"sets it, else unset {name}"
        )
    return int(value)


def _check_channel(device: str) -> None:
    if device not in ("cpu", "cuda"):
        raise DiptychError(f"several workers need --device cpu or cuda, not {device}")
    if not group.is_available() or not group.is_gloo_available():
        raise DiptychError("this build of torch has no gloo, which workers talk through")
    if device == "cuda" and not group.is_nccl_available():
        raise DiptychError("this build of torch has no NCCL, which GPUs talk through")


def _check_can_repeat() -> None:
    """The program must be one that can be started again: a file, a module or -c."""
    main = sys.modules["__main__"]
    if multiprocessing.parent_process() is not None:
        raise DiptychError(
            "workers cannot be started from a process of multiprocessing; use torchrun"
        )
    if not hasattr(main, "__file__") and "-c" not in sys.orig_argv:
        raise DiptychError(
            "workers run the same program again, and in a notebook or at a prompt there is none "
            "to run; put it into a file, or use diptych train --devices"
        )


class _Started:
    """The other workers of this node, started with this process's own command line."""

    def __init__(self, devices: int, nodes: int) -> None:
        _check_can_repeat()
        if nodes > 1 and not {"MASTER_ADDR", "NODE_RANK"} <= os.environ.keys():
            raise DiptychError(
                f"--nodes {nodes} needs MASTER_ADDR (the first machine) and NODE_RANK (0 to "
                f"{nodes - 1}) in the environment of each node, or torchrun, which sets them"
            )
        node = _from_environment("NODE_RANK") if nodes > 1 else 0
        if nodes > 1:
            os.environ.setdefault("MASTER_PORT", "29500")
        else:  # whatever an earlier job left in the environment is not meant for this one
            os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(_free_port()))
        if nodes == 1 and sys.platform == "linux":
            # gloo would ask for the machine's own name, which not every machine can resolve.
            os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        self._processes: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        for local in reversed(range(devices)):  # the last one is this process
            os.environ.update(
                WORLD_SIZE=str(devices * nodes),
                LOCAL_WORLD_SIZE=str(devices),
                NODE_RANK=str(node),
                RANK=str(node * devices + local),
                LOCAL_RANK=str(local),
            )
            if local:
                self._start()
        self._ending = threading.Event()
        atexit.register(self._end)
        threading.Thread(target=self._watch, name="diptych-workers", daemon=True).start()

    def _start(self) -> None:
        words = tempfile.TemporaryFile()  # noqa: SIM115 - read when the worker has ended
        process = subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]],
            env={**os.environ, _PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words,
        )
        self._processes.append((process, words))

    def _watch(self) -> None:
        """End this process too when a worker has died and it hangs waiting for it."""
        while not self._ending.wait(0.2):
            if any(process.poll() for process, _ in self._processes):
                if not self._ending.wait(GRACE_SECONDS):
                    self._end(hung=True)
                    _say("diptych: a worker ended before its time, and the others with it")
                    os._exit(2)
                return

    def _end(self, *, hung: bool = False) -> None:
        """End what still runs, and pass on what a worker said that broke down.

        What a person can mend, and an interruption, happen on all workers and are told by the
        first; `hung` means that this time the first had no chance to.
        """
        self._ending.set()
        deadline = time.monotonic() + 1.0
        for process, words in self._processes:
            try:
                code = process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                code = 0
            if code != 0 and (hung or code not in (2, 130)):
                words.seek(0)
                said = words.read()[-4000:].decode(errors="replace").strip()
                _say(f"diptych: worker process {process.pid} ended with exit code {code}\n{said}")
            words.close()


def _say(text: str) -> None:
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()


def _end_with(parent: int) -> None:
    """End this worker when the one that started it is gone, however it went."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="diptych-parent", daemon=True).start()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _leave() -> None:
    if group.is_initialized():
        group.destroy_process_group()
