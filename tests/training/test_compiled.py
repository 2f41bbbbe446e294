"""Training with compiled networks against training without."""

import shutil

import pytest
import torch

from diptych import build
from diptych.recipes import load_recipe
from diptych.training.plan import ExecutionPlan, Wishes
from diptych.training.session import assemble

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler"),
    pytest.mark.filterwarnings("ignore"),  # torch's compiler warns of itself
]


def losses(recipe, data, compile_, steps=5):
    plan = ExecutionPlan.choose(Wishes(precision="fp32", threads=1, compile=compile_))
    game = build(recipe, data, seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = assemble(game, recipe, data, plan, seed=0)
        game.train()
        return [
            {
                f"{turn.name}/{name}": float(value)
                for turn in game.turns()
                for name, value in state.engine.take(
                    turn, state.batches[step], progress=0.5, step=step, rate_scale=1.0
                ).named.items()
            }
            for step in range(steps)
        ]


@pytest.mark.parametrize("name", ["vae-gan-mlp"])
def test_compiled_networks_train_alike_and_keep_their_penalty(name, disc_data):
    """Both have R1, which a compiled discriminator would lose or refuse."""
    small = ["model.network.depth=1", "model.network.width=16", "model.r1_interval=2"]
    recipe = load_recipe(name, small)
    eager, compiled = (losses(recipe, disc_data, mode) for mode in ("off", "default"))
    assert any("r1" in term for term in eager[0])
    for one, other in zip(eager, compiled, strict=True):
        assert one.keys() == other.keys()
        for term, value in one.items():
            assert other[term] == pytest.approx(value, rel=1e-4, abs=1e-5), term
