from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from diptych import compare, evaluate, load_data, resume, train
from diptych.errors import DiptychError, TrainingDiverged
from diptych.training import budget, loop
from diptych.training import session as room
from diptych.training.checkpoint import latest_checkpoint, load_checkpoint
from diptych.training.engine import Engine
from diptych.training.rundir import RunDirectory
from diptych.training.snapshots import Snapshots


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 5)


def weights(directory: Path) -> dict[str, torch.Tensor]:
    newest = load_checkpoint(latest_checkpoint(directory / "checkpoints"))
    return {**newest.players, **{f"average {k}": v for k, v in newest.average.items()}}


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_watching_changes_nothing(kind, tiny_recipe, disc_data, tmp_path, monkeypatch) -> None:
    """Pictures, saving and listening leave the training stream and the weights untouched."""
    ambient = torch.get_rng_state()
    with monkeypatch.context() as patch:
        patch.setattr(Snapshots, "due", lambda self, progress: False)
        alone = train(tiny_recipe(kind), disc_data, images=320, out=tmp_path / "alone")

    def watch(row: dict[str, float]) -> None:
        np.random.rand(3)  # noqa: NPY002 - somebody else's stream
        evaluate(tmp_path / "alone", disc_data, n=6, features=["pixels"])

    monkeypatch.setattr(room, "SAVE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(Snapshots, "due", lambda self, progress: True)
    watched = train(
        tiny_recipe(kind), disc_data, images=320, out=tmp_path / "watched", listener=watch
    )
    first, second = weights(alone.directory), weights(watched.directory)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), ambient)
    assert len(list((watched.directory / "samples").iterdir())) == 4
    assert not (alone.directory / "samples").exists()


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        (0.0, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        (0.5, [1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]),
        (1.0, [1] * 10),
    ],
)
def test_rates_fall_linearly_in_the_budget(
    decay, expected, tiny_recipe, disc_data, tmp_path, monkeypatch
) -> None:
    taken: list[tuple[str, float]] = []
    take = Engine.take

    def listen(self, turn, batch, **more):
        terms = take(self, turn, batch, **more)
        rates = {group["lr"] for group in self.optimizers[turn.name].param_groups}
        assert len(rates) == 1
        taken.append((turn.name, rates.pop()))
        return terms

    monkeypatch.setattr(Engine, "take", listen)
    train(
        tiny_recipe("gan"), disc_data, images=160, out=tmp_path / "run",
        overrides=[f"training.decay={decay}", "optimizers.generator.learning_rate=2e-3"],
    )  # fmt: skip
    rates = [rate for turn, rate in taken if turn == "generator"]
    assert rates == pytest.approx([2e-3 * e for e in expected])
    assert [rate for turn, rate in taken if turn == "discriminator"] == pytest.approx(
        [1e-3 * e for e in expected]
    )


def test_pictures_saving_and_listening_are_not_charged(
    tiny_recipe, disc_data, tmp_path, monkeypatch
) -> None:
    """Under a clock that ticks once per look, the number of steps is known."""
    now = 0.0

    def tick() -> float:
        nonlocal now
        now += 0.01
        return now

    def waste(*_: object, **__: object) -> None:
        nonlocal now
        now += 1_000.0

    monkeypatch.setattr(budget, "time", SimpleNamespace(perf_counter=tick))
    monkeypatch.setattr(Snapshots, "draw", waste)
    monkeypatch.setattr(room, "SAVE_EVERY_SECONDS", 0.0)
    run = train(tiny_recipe("vae"), disc_data, minutes=0.01, out=tmp_path / "run", listener=waste)
    assert 0.6 <= run.info["spent"]["seconds"] < 0.75
    assert 20 <= run.info["spent"]["steps"] <= 60
    assert run.history[-1]["progress"] == 1.0
    seconds = [row["seconds"] for row in run.history]
    assert seconds == sorted(seconds)
    longer = resume(run.directory, minutes=0.005)
    assert 0.9 <= longer.info["spent"]["seconds"] < 1.1


def test_five_minutes_unless_told_and_never_both(tiny_recipe, disc_data, tmp_path) -> None:
    with pytest.raises(DiptychError, match="exactly one"):
        train(tiny_recipe("vae"), disc_data, minutes=1, images=5, out=tmp_path / "run")
    with pytest.raises(DiptychError, match="minutes must be a positive number"):
        train(tiny_recipe("vae"), disc_data, minutes=0, out=tmp_path / "run")
    with pytest.raises(DiptychError, match="device 'tpu' is unknown; allowed: auto, cpu"):
        train(tiny_recipe("vae"), disc_data, images=5, device="tpu", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


HUGE = {
    "vae": "optimizers.autoencoder.learning_rate=1e30",
    "gan": "optimizers.discriminator.learning_rate=1e30",
}


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_a_loss_that_is_no_number_ends_the_run(kind, tiny_recipe, disc_data, tmp_path) -> None:
    path = tmp_path / "run"
    with pytest.raises(TrainingDiverged, match="nothing was saved before that") as caught:
        train(tiny_recipe(kind), disc_data, images=320, out=path, overrides=[HUGE[kind]])
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value)
    assert "try a smaller learning rate with --set" in str(caught.value)
    info = RunDirectory(path).read_info()
    assert info["status"] == "diverged"
    assert "became" in info["reason"] or "no longer finite" in info["reason"]
    assert "NaN" not in (path / "run.json").read_text()


def test_a_step_that_ruins_the_weights_is_not_saved(
    tiny_recipe, disc_data, tmp_path, monkeypatch
) -> None:
    """The last loss was still finite; the step after it was not."""
    run = train(tiny_recipe("vae"), disc_data, images=160, out=tmp_path / "run")
    good = latest_checkpoint(run.directory / "checkpoints")
    take = Engine.take

    def ruin(self, turn, batch, *, step, **more):
        terms = take(self, turn, batch, step=step, **more)
        if step == 14:
            next(iter(self.optimizers[turn.name].param_groups[0]["params"])).data.fill_(torch.nan)
        return terms

    monkeypatch.setattr(Engine, "take", ruin)
    with pytest.raises(TrainingDiverged, match=f"no longer finite; the last good state is {good}"):
        resume(run.directory, images=80)
    assert latest_checkpoint(run.directory / "checkpoints") == good


def test_points_are_trained_in_single_precision(tmp_path) -> None:
    data = load_data("ring", num_points=200)
    recipe = {
        "name": "p", "title": "P", "summary": "s",
        "model": {"kind": "vae", "latent_dim": 2, "network": {"kind": "mlp", "width": 8}},
    }  # fmt: skip
    run = train(recipe, data, images=64, out=tmp_path / "run")
    assert run.info["machine"]["precision"] == "fp32"


def test_data_too_few_to_measure_are_refused_before_training(tiny_recipe, disc_data, tmp_path):
    few = load_data(np.array(disc_data.array[:40]))
    recipes = [tmp_path / "a.yaml"]
    from diptych.recipes import load_recipe, recipe_yaml

    recipes[0].write_text(recipe_yaml(load_recipe(tiny_recipe("vae"))))
    with pytest.raises(
        DiptychError, match="has 4 test items of 40, and measuring needs at least 6"
    ):
        compare(recipes, few, images=16, out=tmp_path / "study")
    assert not (tmp_path / "study").exists()
