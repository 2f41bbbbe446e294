"""A stream of its own: seeded inside, and the ambient one goes on as if nothing had happened."""

import pytest
import torch

from diptych.models import random_stream
from diptych.models.build import build

VAE = {
    "name": "linear",
    "title": "Linear",
    "summary": "for tests",
    "model": {"kind": "vae", "latent_dim": 2, "network": {"kind": "mlp", "width": 3, "depth": 1}},
}
GAN = {**VAE, "model": {**VAE["model"], "kind": "gan"}}
HYBRID = {**VAE, "model": {**VAE["model"], "kind": "vae-gan"}}


def test_draws_depend_on_the_seed_alone():
    with random_stream(5):
        first = torch.randn(4)
    torch.randn(3)
    with random_stream(5):
        assert torch.equal(torch.randn(4), first)
    with random_stream(6):
        assert not torch.equal(torch.randn(4), first)


def test_the_ambient_stream_is_untouched():
    torch.manual_seed(0)
    expected = torch.randn(4)
    torch.manual_seed(0)
    with random_stream(9):
        torch.randn(100)
    assert torch.equal(torch.randn(4), expected)


def test_it_is_restored_after_an_error_and_when_nested():
    state = torch.get_rng_state()

    def fail():
        torch.randn(5)
        raise RuntimeError

    with pytest.raises(RuntimeError), random_stream(1):
        fail()
    assert torch.equal(torch.get_rng_state(), state)
    with random_stream(1):
        without = torch.randn(5)
    with random_stream(1):
        with random_stream(2):
            torch.randn(5)
        assert torch.equal(torch.randn(5), without)


def test_without_a_seed_the_ambient_stream_goes_on():
    torch.manual_seed(0)
    expected = torch.randn(2, 3)
    torch.manual_seed(0)
    with random_stream(None):
        first = torch.randn(3)
    assert torch.equal(torch.stack([first, torch.randn(3)]), expected)


@pytest.mark.parametrize("recipe", [VAE, GAN, HYBRID], ids=["vae", "gan", "vae-gan"])
def test_building_and_seeded_verbs_leave_the_ambient_stream_alone(recipe):
    state = torch.get_rng_state()
    game = build(recipe, (2,), seed=3).eval()
    points = game.sample(3, seed=1)
    game.find_codes(points, seed=1)
    game.reconstruct(points, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
