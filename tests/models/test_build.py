"""From recipes to games: what fits is built, what does not is refused in a sentence."""

import numpy as np
import pytest
import torch

from diptych import load_data
from diptych.distributions import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
)
from diptych.errors import RecipeError
from diptych.models.build import build, check_fit
from diptych.networks import MLPDecoder
from diptych.recipes import builtin_names, load_recipe


def recipe(kind="vae", network="conv", likelihood="gaussian", **model):
    settings = {
        "name": f"my-{kind}",
        "title": "Mine",
        "summary": "for tests",
        "model": {"kind": kind, "latent_dim": 3, "network": {"kind": network, "width": 4}},
    }
    settings["model"] |= model
    if kind != "gan":
        settings["model"]["likelihood"] = {"kind": likelihood}
    return load_recipe(settings)


def images(size=16, binary=False):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, size, size), dtype=np.uint8)
    return load_data((pixels > 127).astype(np.uint8) * 255 if binary else pixels)


@pytest.fixture(scope="module")
def grey():
    return images()


@pytest.fixture(scope="module")
def points():
    return load_data(np.random.default_rng(0).normal(size=(40, 2)))


def refusal(chosen, data) -> str:
    with pytest.raises(RecipeError) as caught:
        check_fit(chosen, data)
    with pytest.raises(RecipeError) as again:
        build(chosen, data)
    assert str(again.value) == str(caught.value)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert repr(chosen.name) in message
    assert repr(data.name) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", ["vae", "gan", "vae-gan"])
def test_convolutions_on_points_are_refused(kind, points):
    message = refusal(recipe(kind), points)
    assert "points of 2 dimensions" in message
    assert f"use {kind}-mlp" in message


@pytest.mark.parametrize("kind", ["vae", "gan", "vae-gan"])
def test_the_recipe_that_refusals_recommend_exists_and_fits(kind, points):
    assert f"{kind}-mlp" in builtin_names()
    build(f"{kind}-mlp", points)
    build(f"{kind}-mlp", images(size=7))


@pytest.mark.parametrize("kind", ["vae", "gan", "vae-gan"])
def test_convolutions_on_tiny_images_are_refused(kind):
    message = refusal(recipe(kind), images(size=7))
    assert "at least 8 x 8" in message
    assert "7 x 7" in message
    build(recipe(kind), images(size=8))
    build(recipe(kind, "mlp"), images(size=7))


def test_residual_networks_on_sizes_that_do_not_halve_are_refused(points):
    chosen = recipe("gan", "residual")
    message = refusal(chosen, images(size=30))
    assert "30 x 30" in message
    assert "--size 32" in message
    assert "use gan-mlp" in refusal(chosen, images(size=7))
    assert "use gan-mlp" in refusal(chosen, points)
    for size in (8, 28):
        build(chosen, images(size=size))


def test_the_upsampling_of_residual_networks_arrives():
    network = {"kind": "residual", "width": 4, "upsampling": "bilinear"}
    chosen = recipe("gan").to_dict() | {"model": {"kind": "gan", "network": network}}
    gan = build(load_recipe(chosen), (1, 8, 8))
    assert gan.generator[0].blocks[0].upsampling == "bilinear"


def test_a_residual_network_is_no_encoder_of_posteriors():
    with pytest.raises(RecipeError, match="'residual'; allowed: 'mlp', 'conv'"):
        recipe("vae", "residual")


@pytest.mark.parametrize("kind", ["vae", "vae-gan"])
def test_bernoulli_on_grey_pixels_is_refused(kind, grey):
    message = refusal(recipe(kind, likelihood="bernoulli"), grey)
    assert "0 or 1" in message
    assert "continuous-bernoulli" in message
    build(recipe(likelihood="bernoulli"), images(binary=True))
    build(recipe(likelihood="continuous-bernoulli"), grey)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli"])
def test_likelihoods_of_pixels_on_points_are_refused(likelihood, points):
    message = refusal(recipe(network="mlp", likelihood=likelihood), points)
    assert f"a {likelihood} likelihood" in message
    assert "model.likelihood.kind=gaussian" in message
    assert "grey" not in message, "points have no grey"


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
def test_likelihoods_of_real_numbers_take_points_without_squeezing_them(likelihood, points):
    vae = build(recipe(network="mlp", likelihood=likelihood), points)
    far = torch.full((1, 2), 30.0)
    assert torch.equal(vae.likelihood(far).mean, far)


@pytest.mark.parametrize(
    ("chosen", "shape"),
    [
        (recipe(), (2,)),
        (recipe("gan"), (1, 4, 4)),
        (recipe(network="mlp", likelihood="bernoulli"), (2,)),
        (recipe(network="mlp"), (28, 28)),
    ],
)
def test_a_bare_shape_is_checked_as_far_as_it_goes(chosen, shape):
    with pytest.raises(RecipeError):
        build(chosen, shape)


def test_data_and_its_shape_give_the_same_game(grey):
    by_data, by_shape = build(recipe(), grey, seed=4), build(recipe(), (1, 16, 16), seed=4)
    for a, b in zip(by_data.parameters(), by_shape.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("gaussian", GaussianLikelihood),
        ("laplace", LaplaceLikelihood),
        ("bernoulli", BernoulliLikelihood),
        ("continuous-bernoulli", ContinuousBernoulliLikelihood),
    ],
)
def test_the_likelihood_is_the_one_that_was_asked_for(kind, expected):
    assert isinstance(build(recipe(likelihood=kind), (1, 8, 8)).likelihood, expected)


def test_settings_arrive():
    vae = build(recipe(beta=3.0, kl_warmup=0.25, free_nats=0.5, latent_dim=7), (1, 8, 8))
    assert (vae.beta, vae.kl_warmup, vae.free_nats, vae.latent_dim) == (3.0, 0.25, 0.5, 7)
    penalties = {"r1_gamma": 2.0, "r2_gamma": 3.0, "r1_interval": 16}
    penalties["penalty"] = "finite-difference"
    gan = build(recipe("gan", **penalties), (1, 8, 8))
    assert {name: getattr(gan.judge, name) for name in penalties} == penalties
    own = {
        "adversarial_weight": 0.3,
        "adversarial_cap": 4.0,
        "adversarial_start": 0.2,
        "adversarial_ramp": 0.4,
        "judged": "reconstructions",
        "beta": 3.0,
    }
    hybrid = build(recipe("vae-gan", **own, **penalties), (1, 8, 8))
    assert {name: getattr(hybrid, name) for name in own} == own
    assert {name: getattr(hybrid.judge, name) for name in penalties} == penalties


def test_images_of_a_gan_stay_in_range_and_points_do_not():
    z = 50 * torch.randn(200, 3)
    for shape, bounded in (((1, 4, 4), True), ((2,), False)):
        gan = build(recipe("gan", "mlp"), shape)
        with torch.no_grad():
            last = gan.generator if isinstance(gan.generator, MLPDecoder) else gan.generator[0]
            for parameter in last.parameters():
                parameter.mul_(5)
            images = gan.decode_mean(z)
        assert bool(((images >= 0) & (images <= 1)).all()) is bounded


@pytest.mark.parametrize("kind", ["vae", "gan", "vae-gan"])
def test_parameters_are_counted_once_each(kind):
    game = build(recipe(kind), (1, 16, 16))
    counted = game.count_parameters()
    assert sum(counted.values()) == sum(p.numel() for p in game.parameters())
    players = {player for turn in game.turns() for player in turn.players}
    assert set(counted) <= players
