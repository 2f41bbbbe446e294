"""A game of somebody's own goes through the same loop, checkpoints and instruments."""

import numpy as np
import pytest
import torch
from torch import nn

import diptych
from diptych.errors import RecipeError, RunError
from diptych.models.paths import linear_path
from diptych.objectives import Terms


class Autoencoder(diptych.Game):
    """Squared error and nothing else, in two turns to be unlike the built-in ones."""

    family = "hybrid"
    averaged = ("encoder", "decoder")

    def __init__(self) -> None:
        super().__init__((2,), 1)
        self.encoder = nn.Linear(2, 1)
        self.decoder = nn.Linear(1, 2)

    def _loss(self, batch, moment):
        error = (self.decoder(self.encoder(batch)) - batch).square().sum(1).mean()
        return Terms(error, {"error": error.detach()})

    def turns(self):
        return tuple(
            diptych.Turn(name, (name,), self._loss, f"the {name} lowers the error")
            for name in ("encoder", "decoder")
        )

    def decode_mean(self, z):
        return self.decoder(z)

    def find_codes(self, images, *, seed=None):
        return self.encoder(images).detach()

    def interpolate(self, start, end, *, steps=9):
        return self.decode_path(linear_path(start, end, steps))

    def rehearse(self, batch):
        self.decoder(self.encoder(batch))


@pytest.fixture(scope="module")
def line():
    along = np.random.RandomState(0).randn(300, 1)
    return diptych.load_data((along @ [[3.0, 1.0]]).astype(np.float32))


def test_it_learns_is_saved_and_loaded(line, tmp_path):
    run = diptych.train(
        Autoencoder(),
        line,
        images=128 * 200,
        out=tmp_path / "run",
        overrides=[
            "optimizers.encoder.learning_rate=0.02",
            "optimizers.decoder.learning_rate=0.02",
        ],
    )
    # Points on a line through 0 need one number each: a linear pair can be exact.
    test = torch.from_numpy(line.take("test"))
    error = (run.model.reconstruct(test) - test).square().mean()
    assert float(error) < 1e-3 * float(test.var())
    again = diptych.load(run.directory, game=Autoencoder())
    torch.testing.assert_close(again.model.sample(5, seed=1), run.model.sample(5, seed=1))
    assert {"encoder/error", "decoder/error"} <= run.history[-1].keys()


def test_loading_it_without_the_object_says_what_to_pass(line, tmp_path):
    run = diptych.train(Autoencoder(), line, images=64, out=tmp_path / "run")
    with pytest.raises(RunError, match="Autoencoder, a game of your own; pass one as game="):
        diptych.load(run.directory)
    with pytest.raises(RecipeError, match="cannot build Autoencoder"):
        diptych.build(run.recipe, line)


def test_resuming_it_equals_never_stopping(line, tmp_path):
    torch.manual_seed(0)
    first = Autoencoder()
    second = Autoencoder()
    second.load_state_dict(first.state_dict())
    whole = diptych.train(first, line, images=1280, out=tmp_path / "whole")
    half = diptych.train(
        second, line, images=640, out=tmp_path / "half", overrides=["training.decay=1"]
    )
    assert half.info["status"] == "finished"
    more = diptych.resume(half.directory, images=640, data=line, game=Autoencoder())
    assert more.info["spent"]["images"] == whole.info["spent"]["images"]
