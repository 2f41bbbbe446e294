"""What every built-in recipe must do, whatever it is: the laws of a game."""

import copy
from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diptych import load_data
from diptych.data import Data
from diptych.models import Game, Turn
from diptych.models.build import build
from diptych.recipes import Recipe, builtin_names, load_recipe
from diptych.training.batches import images_from_bytes
from diptych.training.engine import Engine
from diptych.training.plan import ExecutionPlan

N = 12


def kinds_of(name: str) -> list[str]:
    """The kinds of data a recipe is for."""
    model = load_recipe(name).model
    likelihood = getattr(model, "likelihood", None)
    if likelihood is not None and likelihood.kind == "bernoulli":
        return ["binary"]
    pointwise = model.network.kind == "mlp" and (
        likelihood is None or likelihood.kind in ("gaussian", "laplace")
    )
    return ["grey", "points"] if pointwise else ["grey"]


@cache
def data_of(kind: str) -> Data:
    rng = np.random.default_rng(0)
    if kind == "points":
        return load_data(rng.normal(size=(40, 2)))
    pixels = rng.integers(0, 256, (40, 16, 16), dtype=np.uint8)
    return load_data(
        np.where(pixels > 127, 255, 0).astype(np.uint8) if kind == "binary" else pixels
    )


CASES = [(name, kind) for name in builtin_names() for kind in kinds_of(name)]


@pytest.fixture(params=CASES, ids="-on-".join)
def case(request):
    return request.param


@pytest.fixture
def name(case) -> str:
    return case[0]


@pytest.fixture
def data(case) -> Data:
    return data_of(case[1])


def quick(name: str) -> Recipe:
    """The recipe, its residual networks narrower, so that a search for codes takes no minute."""
    recipe = load_recipe(name)
    residual = recipe.model.network.kind == "residual"
    return load_recipe(recipe, ["model.network.width=8"] if residual else [])


@pytest.fixture
def game(name, data) -> Game:
    return build(quick(name), data, seed=0)


@pytest.fixture
def batch(data) -> Tensor:
    rows = torch.from_numpy(data.take("train", N))
    return images_from_bytes(rows) if data.kind == "images" else rows


def engine_for(game: Game) -> Engine:
    """Small plain steps, so that what moves is moved by gradients alone."""

    def optimizer(turn: Turn, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        made = torch.optim.SGD(parameters, lr=1e-4)
        for group in made.param_groups:
            group["initial_lr"] = group["lr"]
        return made

    return Engine(game, optimizer, ExecutionPlan(device="cpu", precision="fp32", threads=1))


def take(engine: Engine, turn: Turn, batch: Tensor, step: int = 0) -> None:
    terms = engine.take(turn, batch, progress=0.5, step=step, rate_scale=1.0)
    assert bool(terms.loss.isfinite())
    assert all(bool(value.isfinite()) for value in terms.named.values())
    assert not any(value.requires_grad for value in terms.named.values())


def train_a_little(game: Game, batch: Tensor, steps: int = 2) -> Game:
    torch.manual_seed(0)
    engine = engine_for(game.train())
    for step in range(steps):
        for turn in game.turns():
            take(engine, turn, batch, step)
    return game.eval()


def players_of(game: Game, turn: Turn) -> dict[str, Tensor]:
    return {
        name: parameter
        for name, parameter in game.named_parameters()
        if name.split(".")[0] in turn.players
    }


def test_one_round_of_turns_reaches_every_parameter_of_every_player(game, batch):
    torch.manual_seed(0)
    engine = engine_for(game.train())
    for turn in game.turns():
        take(engine, turn, batch)
    for name, parameter in game.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.abs().sum() > 0), name


def test_a_turn_moves_its_own_players_and_touches_no_other(game, batch):
    torch.manual_seed(0)
    engine = engine_for(game.train())
    for turn in [*game.turns(), *game.turns()]:
        own = players_of(game, turn)
        others = {n: p for n, p in game.named_parameters() if n not in own}
        values = {n: p.detach().clone() for n, p in game.named_parameters()}
        gradients = {n: None if p.grad is None else p.grad.clone() for n, p in others.items()}
        take(engine, turn, batch)
        for n, parameter in others.items():
            assert torch.equal(parameter, values[n]), n
            if gradients[n] is None:
                assert parameter.grad is None, n
            else:
                assert torch.equal(parameter.grad, gradients[n]), n
        assert any(not torch.equal(p, values[n]) for n, p in own.items())


def test_turns_own_every_parameter_exactly_once(game):
    owned = [name for turn in game.turns() for name in players_of(game, turn)]
    assert sorted(owned) == sorted(name for name, _ in game.named_parameters())


def test_averaged_players_are_players(game):
    assert set(game.averaged) <= {player for turn in game.turns() for player in turn.players}


def test_safetensors_hold_the_whole_game(name, data, game, batch, tmp_path):
    train_a_little(game, batch)
    file = tmp_path / "game.safetensors"
    save_file({key: value.contiguous() for key, value in game.state_dict().items()}, file)
    other = build(quick(name), data, seed=1).eval()
    assert not torch.equal(other.sample(4, seed=0), game.sample(4, seed=0))
    other.load_state_dict(load_file(file))
    # The layout in memory may differ, and with it the order of sums.
    torch.testing.assert_close(other.sample(4, seed=0), game.sample(4, seed=0))


def test_the_seed_decides_the_weights_and_the_samples(name, data, game):
    same, different = build(quick(name), data, seed=0), build(quick(name), data, seed=1)
    for key, value in game.state_dict().items():
        assert torch.equal(value, same.state_dict()[key]), key
    assert any(
        not torch.equal(value, different.state_dict()[key])
        for key, value in game.state_dict().items()
    )
    game, same, different = game.eval(), same.eval(), different.eval()
    assert torch.equal(game.sample(4, seed=5), same.sample(4, seed=5))
    assert not torch.equal(game.sample(4, seed=5), game.sample(4, seed=6))
    assert not torch.equal(game.sample(4, seed=5), different.sample(4, seed=5))


def test_using_a_trained_game_changes_nothing_in_it(game, batch):
    train_a_little(game, batch)
    before = copy.deepcopy(game.state_dict())
    ambient = torch.get_rng_state()
    first, second = game.sample(5, seed=0), game.sample(5, seed=0)
    assert torch.equal(first, second)
    game.interpolate(*game.sample_codes(2, seed=0).split(1), steps=3)
    game.reconstruct(batch[:1], seed=0)
    for key, value in game.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert torch.equal(torch.get_rng_state(), ambient)


def test_samples_are_images_in_the_unit_interval_or_points(game, batch):
    train_a_little(game, batch)
    samples = game.sample(5, seed=0)
    assert samples.shape == (5, *game.event_shape)
    assert bool(samples.isfinite().all())
    if game.is_image:
        assert bool(((samples >= 0) & (samples <= 1)).all())


def test_samples_come_one_by_one_as_they_come_together(game, batch):
    train_a_little(game, batch)
    torch.testing.assert_close(
        game.sample(5, seed=0, batch_size=2), game.sample(5, seed=0), atol=1e-5, rtol=1e-4
    )


def test_a_path_begins_and_ends_at_the_decoded_codes(game, batch):
    train_a_little(game, batch)
    start, end = game.sample_codes(4, seed=3).split(2)
    path = game.interpolate(start, end, steps=4)
    assert path.shape == (2, 4, *game.event_shape)
    with torch.no_grad():
        torch.testing.assert_close(path[:, 0], game.decode_mean(start), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(path[:, -1], game.decode_mean(end), atol=1e-5, rtol=1e-4)


def test_reconstructions_are_the_decoded_codes(game, batch):
    train_a_little(game, batch)
    codes = game.find_codes(batch[:2], seed=0)
    assert codes.shape == (2, game.latent_dim)
    with torch.no_grad():
        decoded = game.decode_mean(codes)
    torch.testing.assert_close(game.reconstruct(batch[:2], seed=0), decoded, atol=1e-5, rtol=1e-4)
