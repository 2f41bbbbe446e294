"""Real processes and real signals: what is saved, what is said, and what is left behind."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from diptych import load, resume
from diptych.training.checkpoint import latest_checkpoint, load_checkpoint
from diptych.training.rundir import RunDirectory

STEPS = 300

EAGER = """
import os, time
from diptych.training import session
session.SAVE_EVERY_SECONDS = 0.0
flush = os.fsync
os.fsync = lambda descriptor: (time.sleep(0.03), flush(descriptor))
from diptych.__main__ import main
main()
"""
"""Saves slowly after every row, so that a signal is likely to meet it at that."""


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(3_000):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("nothing happened for a minute")


@pytest.fixture
def started(environment, disc_file, recipe_files, tmp_path):
    """Start training in a process of its own; it is trained for some seconds."""
    processes = []

    def start(kind: str, *python: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                sys.executable, *(python or ("-m", "diptych")), "train", recipe_files[kind],
                "--data", disc_file, "--images", str(16 * STEPS), "--out", tmp_path / "run",
            ],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def checkpoints(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*"))


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, "vae"), (signal.SIGTERM, "gan")])
def test_a_signal_saves_and_says_how_to_go_on(number, kind, started, tmp_path) -> None:
    run = tmp_path / "run"
    process = started(kind)
    wait_for((run / "metrics.jsonl").exists, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    last = err.splitlines()[-1]
    assert last == (
        f"diptych: stopped by {number.name} and saved; go on with: diptych resume {run}"
    )
    info = RunDirectory(run).read_info()
    assert (info["status"], info["reason"]) == ("interrupted", number.name)
    state = load_checkpoint(latest_checkpoint(run / "checkpoints")).state
    assert 50 <= state["step"] < STEPS
    assert load(run).model.sample(2).shape == (2, 1, 12, 12)
    finished = resume(run)
    assert finished.info["spent"]["steps"] == STEPS
    assert [row["step"] for row in finished.history] == list(range(50, STEPS + 1, 50))


def test_killed_in_the_middle(started, tmp_path) -> None:
    run = tmp_path / "run"
    process = started("gan", "-c", EAGER)
    wait_for(lambda: len(checkpoints(run)) >= 2, process)
    process.kill()
    process.wait()
    assert load(run).model.sample(2).shape == (2, 1, 12, 12)
    step = load_checkpoint(latest_checkpoint(run / "checkpoints")).state["step"]
    again = resume(run, images=16 * 10)
    assert again.info["spent"]["steps"] == step + 10
    assert not list((run / "checkpoints").glob(".*"))


def test_a_second_ctrl_c_while_saving_harms_nothing(started, tmp_path) -> None:
    run = tmp_path / "run"
    process = started("vae", "-c", EAGER)
    wait_for(lambda: len(checkpoints(run)) >= 1, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert load(run).model.sample(2).shape == (2, 1, 12, 12)
    assert resume(run, images=32).info["status"] == "finished"
