"""Resuming equals never stopping, to the last bit."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from diptych import load_data, resume, train
from diptych.errors import InterruptedRun, RunError
from diptych.training import ema, loop
from diptych.training import session as room
from diptych.training.checkpoint import latest_checkpoint, load_checkpoint
from diptych.training.machine import cpu_has_bf16
from diptych.training.rundir import RunDirectory
from diptych.training.signals import StopRequest

STEPS, BATCH = 24, 16
IMAGES = STEPS * BATCH
ON_THE_CLOCK = ("seconds", "images_per_second")


class StopAt(StopRequest):
    """SIGINT after so many steps, always at the same one."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps_left = steps

    def __bool__(self) -> bool:
        if self.steps_left == 0:
            self.signal = Signals.SIGINT
        self.steps_left -= 1
        return super().__bool__()


def stopping_at(steps: int):
    @contextmanager
    def graceful_stop() -> Iterator[StopRequest]:
        yield StopAt(steps)

    return graceful_stop


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    monkeypatch.setattr(ema, "EACH_STEP_UNTIL", 8)  # and every fourth step after


def assert_same(one: Path, other: Path) -> None:
    """Equal checkpoints and equal metrics, apart from what a clock says."""
    first, second = (load_checkpoint(latest_checkpoint(p / "checkpoints")) for p in (one, other))
    for part in ("players", "average", "optimizers", "random_state", "means"):
        left, right = getattr(first, part), getattr(second, part)
        assert left.keys() == right.keys()
        for name in left:
            assert torch.equal(left[name], right[name]), f"{part}: {name}"
    assert {**first.state, "seconds": 0} == {**second.state, "seconds": 0}

    def rows(path: Path) -> list[dict[str, float]]:
        return [
            {key: value for key, value in row.items() if key not in ON_THE_CLOCK}
            for row in RunDirectory(path).read_metrics()
        ]

    assert rows(one) == rows(other)
    assert [row["step"] for row in rows(one)] == [5, 10, 15, 20, 24]


PRECISIONS = [
    "fp32",
    pytest.param(
        "bf16", marks=pytest.mark.skipif(not cpu_has_bf16(), reason="the CPU has no bfloat16")
    ),
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["vae", "gan", "vae-gan"])
def test_stopped_and_resumed_equals_never_stopped(
    kind, precision, tiny_recipe, disc_file, tmp_path, monkeypatch
) -> None:
    data = load_data(disc_file)
    straight = train(
        tiny_recipe(kind), data, images=IMAGES, out=tmp_path / "straight", precision=precision
    )
    for stop in (10, 13):  # at a row of metrics, and between two
        path = tmp_path / f"stopped-{stop}"
        with monkeypatch.context() as patch:
            patch.setattr(room, "graceful_stop", stopping_at(stop))
            with pytest.raises(InterruptedRun, match=f"SIGINT and saved.*diptych resume {path}"):
                train(tiny_recipe(kind), data, images=IMAGES, out=path, precision=precision)
        info = RunDirectory(path).read_info()
        assert (info["status"], info["reason"]) == ("interrupted", "SIGINT")
        assert info["spent"]["steps"] == stop
        resumed = resume(path)
        assert resumed.info["status"] == "finished"
        assert "reason" not in RunDirectory(path).read_info()
        assert resumed.info["machine"]["precision"] == precision
        assert_same(straight.directory, path)


def test_killed_after_a_checkpoint_the_run_goes_on_from_it(
    tiny_recipe, disc_data, tmp_path, monkeypatch
) -> None:
    straight = train(tiny_recipe("gan"), disc_data, images=IMAGES, out=tmp_path / "straight")

    def die(row: dict[str, float]) -> None:
        if row["step"] == 15:
            raise MemoryError

    path = tmp_path / "killed"
    monkeypatch.setattr(room, "SAVE_EVERY_SECONDS", 0.0)
    with pytest.raises(MemoryError):
        train(tiny_recipe("gan"), disc_data, images=IMAGES, out=path, listener=die)
    checkpoints = path / "checkpoints"
    assert [p.name for p in sorted(checkpoints.iterdir())] == [
        "step-0000000010",
        "step-0000000015",
    ]
    # As if the machine had died while the second checkpoint and a further row were written.
    (checkpoints / "step-0000000015").rename(checkpoints / ".step-0000000015.partial")
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "ima')
    assert RunDirectory(path).read_info()["status"] == "running"
    resume(path, data=disc_data)
    assert_same(straight.directory, path)
    assert not list(checkpoints.glob(".*"))


def test_a_longer_budget_goes_on_from_the_end(tiny_recipe, disc_data, tmp_path) -> None:
    first = train(tiny_recipe("vae"), disc_data, images=160, out=tmp_path / "run")
    again = resume(first.directory, images=80)
    assert again.info["budget"] == {"minutes": None, "images": 240}
    assert again.info["spent"]["images"] == 240
    assert [row["step"] for row in again.history] == [5, 10, 15]
    assert resume(first.directory, minutes=0.001).info["budget"]["minutes"] > 0


def test_saved_twice_at_one_step(tiny_recipe, disc_data, tmp_path, monkeypatch) -> None:
    """A run that is stopped again before its first step still has its checkpoint."""
    first = train(tiny_recipe("vae"), disc_data, images=160, out=tmp_path / "run")
    checkpoint = latest_checkpoint(first.directory / "checkpoints")
    before = load_file(checkpoint / "players.safetensors")
    monkeypatch.setattr(room, "graceful_stop", stopping_at(0))
    with pytest.raises(InterruptedRun):
        resume(first.directory, images=160)
    state = load_checkpoint(checkpoint)
    assert state.state["budget"]["images"] == 320
    assert all(torch.equal(state.players[name], value) for name, value in before.items())
    assert [p.name for p in checkpoint.parent.iterdir()] == [checkpoint.name]


class TestRefusals:
    """What cannot be resumed says why in a sentence."""

    def test_a_spent_budget(self, tiny_recipe, disc_data, tmp_path) -> None:
        run = train(tiny_recipe("vae"), disc_data, images=32, out=tmp_path / "run")
        with pytest.raises(RunError, match="has spent its budget of 32 images; add more with"):
            resume(run.directory)

    def test_changed_data(self, tiny_recipe, disc_file, tmp_path) -> None:
        file = Path(shutil.copy(disc_file, tmp_path / "mine.npz"))
        run = train(tiny_recipe("vae"), load_data(file), images=32, out=tmp_path / "run")
        with np.load(file) as archive:
            images = archive["images"].copy()
        images[0] ^= 1
        np.savez(file, images=images)
        with pytest.raises(RunError, match="has changed since it was started"):
            resume(run.directory, images=32)

    def test_data_that_are_gone(self, tiny_recipe, disc_file, tmp_path) -> None:
        file = Path(shutil.copy(disc_file, tmp_path / "mine.npz"))
        run = train(tiny_recipe("vae"), load_data(file), images=32, out=tmp_path / "run")
        file.unlink()
        with pytest.raises(FileNotFoundError, match=r"mine\.npz"):
            resume(run.directory, images=32)

    def test_an_array_that_no_file_can_give_back(self, tiny_recipe, disc_data, tmp_path) -> None:
        data = load_data(np.array(disc_data.array), labels=disc_data.labels)
        run = train(tiny_recipe("vae"), data, images=32, out=tmp_path / "run")
        with pytest.raises(RunError, match="was trained on an array in memory; pass it as data="):
            resume(run.directory, images=32)
        assert resume(run.directory, images=32, data=data).info["spent"]["images"] == 64
        other = load_data(255 - np.array(disc_data.array))
        with pytest.raises(RunError, match="has changed"):
            resume(run.directory, images=32, data=other)

    def test_what_is_no_run(self, tmp_path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").write_text("x")
        for name, says in (
            ("missing", "there is no run directory"),
            ("file", "is a file, not the directory of a run"),
            ("empty", "is not a run: it has no run.json"),
        ):
            with pytest.raises(RunError, match=says):
                resume(tmp_path / name)
