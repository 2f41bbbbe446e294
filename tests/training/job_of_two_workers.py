"""Run by test_workers.py as a program of its own: it starts a second worker and checks with it.

The one argument is a directory with `job.json`; runs are written beside it.
"""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from diptych import load_data, resume, train, workers
from diptych.errors import DiptychError, InterruptedRun
from diptych.models import Turn
from diptych.models.build import build
from diptych.networks.batch_norm import normalise_over_workers
from diptych.training import loop
from diptych.training import session as room
from diptych.training.engine import Engine
from diptych.training.launch import start_workers
from diptych.training.plan import ExecutionPlan, Wishes
from diptych.training.signals import StopRequest

TWO = Wishes(device="cpu", precision="fp32", linear="default", threads=1, devices=2)


def check_words() -> None:
    """The small functions every other part is built on."""
    rank = workers.worker_rank()
    assert (workers.worker_count(), workers.is_first_worker()) == (2, rank == 0)
    whole = torch.arange(14.0).view(7, 2)
    assert torch.equal(workers.own_rows(whole), whole[rank::2])
    assert torch.equal(workers.from_first_worker(torch.tensor([rank])), torch.tensor([0]))
    assert workers.text_from_first("größer" if rank == 0 else None) == "größer"
    assert workers.number_from_first(0.1 + rank) == 0.1
    assert workers.largest_number(rank) == 1

    torch.manual_seed(3)
    ours = workers.standard_noise(4, 3, like=whole)
    torch.manual_seed(3)
    assert torch.equal(ours, torch.randn(8, 3)[rank::2])

    # y = mean(x^2), and the sum of the workers' y^2 has the derivatives of a known function.
    x = torch.tensor(1.0 + rank, requires_grad=True)
    y = workers.mean_over_workers(x.square())
    assert y == 2.5
    (slope,) = torch.autograd.grad(y.square(), x, create_graph=True)
    assert slope == 2 * 2.5 * 2 * x.detach()
    (curve,) = torch.autograd.grad(slope, x)
    own, other = 1.0 + rank, 2.0 - rank  # d/dx_r of sum over s of 4 mean(x^2) x_s
    assert curve == 4 * (2.5 + own * (own + other))

    with workers.alone():
        assert workers.worker_count() == 1
        assert workers.is_first_worker() == (rank == 0)
        assert torch.equal(workers.own_rows(whole), whole)
    order = workers.first_worker_first(lambda: 1)
    assert order == 1


def check_batch_norm() -> None:
    """Values, running statistics, first and second derivatives of the layer over the whole."""
    torch.manual_seed(5)
    images, weights = torch.randn(2, 6, 3, 4, 4, dtype=torch.float64)
    for momentum in (0.1, None):
        plain = nn.Sequential(nn.BatchNorm2d(3, momentum=momentum).double())
        nn.init.normal_(plain[0].weight)
        shared = nn.Sequential(nn.BatchNorm2d(3, momentum=momentum).double())
        shared.load_state_dict(plain.state_dict())
        normalise_over_workers(shared)
        assert isinstance(shared[0], nn.BatchNorm2d)
        for _ in range(2):
            results = []
            for layer, rows in ((plain, lambda t: t), (shared, workers.own_rows)):
                x = rows(images).clone().requires_grad_(True)
                output = layer(x)
                # A penalty like R1: squared slopes, whose own slopes are taken.
                total = (output.tanh() * rows(weights)).sum()
                (slope,) = torch.autograd.grad(total, x, create_graph=True)
                parameter = layer[0].weight
                (second,) = torch.autograd.grad(slope.square().sum(), parameter)
                results.append((output.detach(), slope.detach(), second))
            (want, slope, second), (got, own_slope, own_second) = results
            torch.testing.assert_close(got, workers.own_rows(want))
            torch.testing.assert_close(own_slope, workers.own_rows(slope))
            torch.testing.assert_close(2.0 * workers.mean_over_workers(own_second), second)
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(shared.state_dict()[name], value, msg=name)

    class Strange(nn.BatchNorm2d):
        pass

    with pytest.raises(DiptychError, match="Strange"):
        normalise_over_workers(nn.Sequential(Strange(3)))


def check_gradients(kind: str, recipe: dict) -> None:
    """Two steps of plain descent in double precision: two workers move as one does."""
    games = []
    for count in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(11)
            game = build(recipe, (1, 12, 12)).double()
            images = torch.rand(16, 1, 12, 12, dtype=torch.float64)
            plan = ExecutionPlan("cpu", "fp32", 1, devices=count)

            def make_optimizer(turn: Turn, parameters: list) -> torch.optim.Optimizer:
                optimizer = torch.optim.SGD(parameters, lr=1e-3)
                optimizer.param_groups[0]["initial_lr"] = 1e-3
                return optimizer

            def steps(game=game, plan=plan, images=images, make=make_optimizer) -> None:
                engine = Engine(game, make, plan)
                batch = workers.own_rows(images)
                for step in range(2):
                    for turn in game.turns():
                        engine.take(turn, batch, progress=0.5, step=step, rate_scale=1.0)

            if count == 1:
                with workers.alone():
                    steps()
            else:
                steps()
        games.append(game.state_dict())
    start = build(recipe, (1, 12, 12)).double().state_dict()
    assert any(not torch.equal(start[name], value) for name, value in games[0].items())
    for name, value in games[0].items():
        torch.testing.assert_close(
            games[1][name], value, rtol=1e-9, atol=1e-11, msg=lambda m, n=name: f"{kind} {n}: {m}"
        )


class StopAt(StopRequest):
    """SIGTERM after so many steps, on the second worker only: the first must follow."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps_left = steps

    def __bool__(self) -> bool:
        if self.steps_left == 0 and not workers.is_first_worker():
            self.signal = room.Signals.SIGTERM
        self.steps_left -= 1
        return super().__bool__()


def train_all(place: Path, job: dict) -> None:
    """What the test compares with runs of one worker."""
    data = load_data(job["data"])
    loop.LOG_EVERY = 1
    images = job["images"]
    for kind, recipe in job["recipes"].items():
        train(recipe, data, images=images, out=place / f"two-{kind}", wishes=TWO)

    from contextlib import contextmanager

    @contextmanager
    def stopping():
        yield StopAt(job["stop"])

    whole, room.graceful_stop = room.graceful_stop, stopping
    loop.LOG_EVERY = 4  # the stop falls between two rows
    with pytest.raises(InterruptedRun, match="SIGTERM"):
        train(job["recipes"]["gan"], data, images=images, out=place / "stopped", wishes=TWO)
    room.graceful_stop = whole
    resume(place / "stopped-one", data=data, wishes=TWO)

    with pytest.raises(DiptychError, match=r"15 images .* 2 workers; use .*batch_size=14"):
        train(
            job["recipes"]["vae"], data, images=30, wishes=TWO, out=place / "odd",
            overrides=["training.batch_size=15"],
        )  # fmt: skip
    assert not (place / "odd").exists()
    with pytest.raises(DiptychError, match="asks for 1 workers and there are 2"):
        train(job["recipes"]["vae"], data, images=30, out=place / "odd")


if __name__ == "__main__":
    here = Path(sys.argv[1])
    told = json.loads((here / "job.json").read_text())
    torch.set_num_threads(1)
    start_workers(2, 1, "cpu")
    check_words()
    check_batch_norm()
    for name, one_recipe in told["recipes"].items():
        check_gradients(name, one_recipe)
    train_all(here, told)
    if workers.is_first_worker():
        print("all is well")
