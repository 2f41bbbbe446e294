"""Several workers compute what one does, end together, and are refused where they cannot be had.

Each process takes seconds to start, so one job of two workers runs all that needs two.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.distributed as group
from safetensors.torch import load_file
from torch.distributions import Independent, Laplace

from diptych import load_data, resume, train, workers
from diptych.errors import DiptychError, InterruptedRun
from diptych.models.build import build
from diptych.training import launch, loop, run
from diptych.training import session as room
from diptych.training.batches import Batches
from diptych.training.checkpoint import latest_checkpoint
from diptych.training.plan import Wishes
from diptych.training.rundir import RunDirectory
from diptych.training.signals import StopRequest

ONE = Wishes(device="cpu", precision="fp32", linear="default", threads=1)
STEPS, BATCH, STOP = 20, 16, 10


@pytest.fixture(scope="module")
def recipes(tiny_recipe) -> dict[str, dict]:
    """A VAE with batch statistics and a closed-form sigma; adversarial games with R1; averages."""
    vae, gan, hybrid = (tiny_recipe(kind) for kind in ("vae", "gan", "vae-gan"))
    vae["model"]["likelihood"] = {"kind": "gaussian", "mode": "optimal"}
    for recipe in (gan, hybrid):
        recipe["model"]["r1_interval"] = 2
    return {"vae": vae, "gan": gan, "vae-gan": hybrid}


class StopAt(StopRequest):
    """SIGINT after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps_left = steps

    def __bool__(self) -> bool:
        if self.steps_left == 0:
            self.signal = room.Signals.SIGINT
        self.steps_left -= 1
        return super().__bool__()


@pytest.fixture(scope="module")
def place(recipes, disc_file, environment_of_module, tmp_path_factory) -> Path:
    """Where one worker trained, and two."""
    here = tmp_path_factory.mktemp("workers")
    data = load_data(disc_file)
    job = {"recipes": recipes, "data": str(disc_file), "images": STEPS * BATCH, "stop": STOP}
    (here / "job.json").write_text(json.dumps(job))

    @contextmanager
    def stopping() -> Iterator[StopRequest]:
        yield StopAt(STOP)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 1)
        for kind, recipe in recipes.items():
            train(recipe, data, images=STEPS * BATCH, out=here / f"one-{kind}", wishes=ONE)
        patch.setattr(loop, "LOG_EVERY", 4)
        patch.setattr(room, "graceful_stop", stopping)
        with pytest.raises(InterruptedRun):
            train(recipes["gan"], data, images=STEPS * BATCH, out=here / "stopped-one", wishes=ONE)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("job_of_two_workers.py")), str(here)],
        env=environment_of_module, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "all is well\n")
    return here


@pytest.fixture(scope="module")
def environment_of_module(apart_from_the_home) -> dict[str, str]:
    source = Path(run.__file__).parents[2]
    return {**os.environ, "PYTHONPATH": str(source), "COLUMNS": "100", "NO_COLOR": "1"}


FIRST, LATER = 2e-6, 1e-4
"""Relative. The first row is taken before any weight has moved: only the order of sums differs.
Adam's first steps then go by the sign of the gradient, however small: where it is zero but for
rounding, as for a bias before a normalisation, chance moves a weight by the learning rate, 1e-3.
Seen here: at most 1e-6 in any row. Statistics over shares instead of batches: more than 1e-2."""


@pytest.mark.parametrize("kind", ["vae", "gan", "vae-gan"])
def test_two_workers_have_the_losses_of_one(kind, place) -> None:
    one, two = (RunDirectory(place / f"{count}-{kind}") for count in ("one", "two"))
    left, right = one.read_metrics(), two.read_metrics()
    assert len(left) == len(right) == STEPS
    for row, other in zip(left, right, strict=True):
        assert row.keys() == other.keys()
        assert (row["step"], row["images"]) == (other["step"], other["images"])
        tolerance = FIRST if row["step"] == 1 else LATER
        for name in row.keys() - {"seconds", "images_per_second"}:
            assert other[name] == pytest.approx(row[name], rel=tolerance, abs=tolerance), (
                f"{name} at step {row['step']}"
            )
    assert (two.read_info()["machine"]["devices"], two.read_info()["status"]) == (2, "finished")


@pytest.mark.parametrize("kind", ["vae", "gan", "vae-gan"])
def test_two_workers_save_one_average(kind, place, recipes, disc_data) -> None:
    """The averaged games of both runs make the same pictures, within what Adam makes of rounding.

    Not all weights: a bias before batch statistics moves by chance and changes nothing.
    """
    codes = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))
    pictures = []
    for count in ("one", "two"):
        game = build(recipes[kind], disc_data)
        file = latest_checkpoint(place / f"{count}-{kind}" / "checkpoints")
        game.load_state_dict(load_file(file / "average.safetensors"))
        with torch.inference_mode():
            pictures.append(game.eval().decode_mean(codes))
    fresh = build(recipes[kind], disc_data).eval()
    with torch.inference_mode():
        assert (fresh.decode_mean(codes) - pictures[0]).abs().max() > 0.02
    torch.testing.assert_close(pictures[1], pictures[0], rtol=0.0, atol=1e-3)


def rows_of(path: Path) -> list[dict[str, float]]:
    return [
        {name: v for name, v in row.items() if name not in ("seconds", "images_per_second")}
        for row in RunDirectory(path).read_metrics()
    ]


def test_a_run_goes_on_with_another_number_of_workers(place, disc_data, monkeypatch) -> None:
    """Stopped between two rows: by a signal to the second of two workers, and with one."""
    info = RunDirectory(place / "stopped").read_info()
    assert (info["status"], info["reason"]) == ("interrupted", "SIGTERM")
    assert info["spent"]["steps"] == STOP
    monkeypatch.setattr(loop, "LOG_EVERY", 4)
    resume(place / "stopped", data=disc_data, wishes=ONE)
    whole = train(
        json.loads((place / "job.json").read_text())["recipes"]["gan"],
        disc_data, images=STEPS * BATCH, out=place / "whole", wishes=ONE,
    )  # fmt: skip
    want = rows_of(whole.directory)
    for went_on in ("stopped", "stopped-one"):
        got = rows_of(place / went_on)
        assert RunDirectory(place / went_on).read_info()["status"] == "finished"
        assert [row["step"] for row in got] == [row["step"] for row in want]
        for row, other in zip(want, got, strict=True):
            assert other == pytest.approx(row, rel=LATER, abs=LATER)


def start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "diptych", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_an_interruption_saves_once_and_a_killed_worker_ends_all(
    recipes, disc_file, environment_of_module, tmp_path
) -> None:
    (tmp_path / "tiny.yaml").write_text(json.dumps(recipes["gan"]))
    path = tmp_path / "run"
    common = ["--devices", "2", "--device", "cpu", "--precision", "fp32", "--quiet"]
    job = start(
        ["train", str(tmp_path / "tiny.yaml"), "--data", str(disc_file), "--minutes", "9",
         "--out", str(path), *common],
        environment_of_module,
    )  # fmt: skip
    wait_for(path / "samples", job)
    assert len(children_of(job.pid)) == 1
    job.send_signal(signal.SIGINT)
    said, errors = job.communicate(timeout=60)
    assert (job.returncode, said) == (130, "")
    assert errors == (f"diptych: stopped by SIGINT and saved; go on with: diptych resume {path}\n")
    assert len(list((path / "checkpoints").iterdir())) == 1

    rows = len(RunDirectory(path).read_metrics())
    job = start(["resume", str(path), *common], environment_of_module)
    deadline = time.monotonic() + 120
    while len(RunDirectory(path).read_metrics()) <= rows:
        assert job.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (child,) = children_of(job.pid)
    os.kill(child, signal.SIGKILL)
    said, errors = job.communicate(timeout=60)
    assert (job.returncode, said) == (2, "")
    assert f"diptych: {path}: another worker ended before its time; the last good state" in errors
    assert f"go on with: diptych resume {path}" in errors
    assert "Traceback" not in errors
    assert RunDirectory(path).read_info()["status"] == "interrupted"


def test_one_worker_draws_as_the_posterior_does(recipes, disc_data) -> None:
    """The same numbers from the same stream as rsample, of which it is a rewriting."""
    game = build(recipes["vae"], disc_data)
    posterior = game.encode(torch.rand(6, *disc_data.shape))
    torch.manual_seed(2)
    want, after = posterior.rsample(), torch.rand(1)
    torch.manual_seed(2)
    assert torch.equal(game._draw(posterior), want)
    assert torch.equal(torch.rand(1), after)
    other = Independent(Laplace(torch.zeros(6, 4), torch.ones(6, 4)), 1)
    torch.manual_seed(2)
    want = other.rsample()
    torch.manual_seed(2)
    assert torch.equal(game._draw(other), want)


def test_shares_make_up_the_batch(monkeypatch, tmp_path) -> None:
    """Of resident rows and of a mapped file."""
    points = np.arange(40, dtype=np.float32).reshape(20, 2)
    for limit in (1 << 30, 0):
        monkeypatch.setattr("diptych.training.batches.RESIDENT_BYTES", limit)
        batches = Batches(points, np.arange(20), batch_size=6, seed=1, device=torch.device("cpu"))
        whole = batches[4]
        shares = []
        for rank in range(3):
            with monkeypatch.context() as patch:
                patch.setattr(workers, "worker_count", lambda: 3)
                patch.setattr(workers, "worker_rank", lambda rank=rank: rank)
                shares.append(batches[4])
        assert batches.batch_size == 6
        assert torch.equal(torch.stack(shares, dim=1).flatten(0, 1), whole)


def test_a_batch_that_cannot_be_shared_is_refused(recipes, disc_data, monkeypatch) -> None:
    monkeypatch.setattr(run, "worker_count", lambda: 3)
    with pytest.raises(DiptychError, match=r"16 images .* 3 workers; use --set .*batch_size=15"):
        train(recipes["vae"], disc_data, images=32, out="never")


def test_what_cannot_be_had_is_refused(monkeypatch) -> None:
    def refused(message: str, devices: int = 2, nodes: int = 1, device: str = "cpu") -> None:
        with pytest.raises(DiptychError, match=message) as error:
            launch.start_workers(devices, nodes, device)
        assert error.value.exit_code == 2
        assert not group.is_initialized()

    with monkeypatch.context() as patch:  # torchrun started another number
        patch.setenv("RANK", "0")
        patch.setenv("WORLD_SIZE", "4")
        refused("--devices 2 --nodes 1 asks for 2 workers and there are 4")
        refused("--devices 1 --nodes 1 asks for 1 workers and there are 4", devices=1)
        patch.setenv("WORLD_SIZE", "")
        refused("WORLD_SIZE in the environment is '', not a number")
        patch.setenv("WORLD_SIZE", "4")
        patch.setenv("LOCAL_WORLD_SIZE", "4")
        refused("--devices 2 --nodes 2 asks for", devices=2, nodes=2)
    refused("need --device cpu or cuda, not mps", device="mps")
    refused("needs MASTER_ADDR .* NODE_RANK", devices=1, nodes=2)
    with monkeypatch.context() as patch:
        patch.setattr(group, "is_gloo_available", lambda: False)
        refused("has no gloo")
    with monkeypatch.context() as patch:
        patch.setattr(group, "is_nccl_available", lambda: False)
        refused("has no NCCL", device="cuda")
    with monkeypatch.context() as patch:  # a notebook's main module has no file
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
        patch.setattr(sys, "orig_argv", ["python", "-m", "ipykernel_launcher"])
        refused("in a notebook or at a prompt")


def test_one_worker_makes_no_group(monkeypatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    launch.start_workers(1, 1, "cpu")
    assert not group.is_initialized()
    whole = torch.arange(6.0).view(3, 2)
    for same in (workers.own_rows, workers.mean_over_workers, workers.from_first_worker):
        assert same(whole) is whole
    assert not launch.lost_worker(RuntimeError("[gloo] Connection closed by peer"))
