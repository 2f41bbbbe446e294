"""The reduction law: sums over pixels and latents, the mean over images only."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diptych.objectives import bits_per_dimension, free_bits_kl, negative_elbo


@pytest.fixture
def log_likelihood():
    torch.manual_seed(0)
    return torch.randn(6, dtype=torch.float64) * 10 - 50


@pytest.fixture
def kl():
    torch.manual_seed(1)
    return torch.rand(6, 3, dtype=torch.float64)


@pytest.mark.parametrize("free_nats", [0.0, 0.5])
@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_doubling_the_batch_does_not_change_the_loss(log_likelihood, kl, beta, free_nats):
    once = negative_elbo(log_likelihood, kl, beta=beta, free_nats=free_nats)
    twice = negative_elbo(
        log_likelihood.repeat(2), kl.repeat(2, 1), beta=beta, free_nats=free_nats
    )
    torch.testing.assert_close(once.loss, twice.loss)
    torch.testing.assert_close(once.named, twice.named)


def test_beta_weighs_the_summed_kl(log_likelihood, kl):
    summed = kl.sum(1).mean()
    for beta in (0.0, 0.5, 1.0, 10.0):
        loss = negative_elbo(log_likelihood, kl, beta=beta).loss
        torch.testing.assert_close(loss, -log_likelihood.mean() + beta * summed)


def test_kl_per_image_and_per_latent_say_the_same(log_likelihood, kl):
    per_latent = negative_elbo(log_likelihood, kl, beta=3.0)
    per_image = negative_elbo(log_likelihood, kl.sum(1), beta=3.0)
    torch.testing.assert_close(per_latent.loss, per_image.loss)
    torch.testing.assert_close(per_latent.named, per_image.named)


@pytest.mark.parametrize(("beta", "free_nats"), [(1.0, 0.0), (0.0, 0.0), (7.0, 2.0)])
def test_what_is_reported_is_the_plain_elbo_whatever_is_optimised(
    log_likelihood, kl, beta, free_nats
):
    named = negative_elbo(log_likelihood, kl, beta=beta, free_nats=free_nats).named
    torch.testing.assert_close(named["kl"], kl.sum(1).mean())
    torch.testing.assert_close(named["reconstruction"], -log_likelihood.mean())
    torch.testing.assert_close(named["negative_elbo"], named["kl"] + named["reconstruction"])
    assert not any(value.requires_grad for value in named.values())


def test_free_bits_clamp_the_batch_mean_of_each_latent_and_then_sum():
    # Means per latent: 0.5, 1.0, 3.0. Clamping before the mean would give 1.0, 1.5, 3.0 instead,
    # clamping after the sum would not clamp at all.
    kl = torch.tensor([[0.0, 0.0, 2.0], [1.0, 2.0, 4.0]], dtype=torch.float64, requires_grad=True)
    value = free_bits_kl(kl, 0.75)
    assert value.item() == 0.75 + 1.0 + 3.0
    (gradient,) = torch.autograd.grad(value, kl)
    expected = torch.tensor([[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]], dtype=torch.float64)
    assert torch.equal(gradient, expected), "free latents feel no pressure, the others all of it"


def test_without_free_bits_it_is_the_plain_kl(kl):
    torch.testing.assert_close(free_bits_kl(kl, 0.0), kl.sum(1).mean())


def test_free_bits_need_to_know_the_latents(log_likelihood, kl):
    with pytest.raises(ValueError, match=r"\(N, L\)"):
        negative_elbo(log_likelihood, kl.sum(1), free_nats=0.1)


def test_a_fair_choice_of_256_levels_is_8_bits():
    dimensions = 28 * 28
    nats = dimensions * math.log(256)
    assert bits_per_dimension(nats, dimensions, dequantized=False) == pytest.approx(8.0)
    # The same model as a density of dequantized bytes is uniform on [0, 1]: 0 nats.
    assert bits_per_dimension(0.0, dimensions, dequantized=True) == 8.0


@given(st.floats(-1e4, 1e4), st.integers(1, 10_000))
@settings(max_examples=40, deadline=None)
def test_bits_are_nats_over_log_two(nats, dimensions):
    bits = bits_per_dimension(nats, dimensions, dequantized=False)
    assert bits * dimensions * math.log(2) == pytest.approx(nats)
    assert bits_per_dimension(nats, dimensions, dequantized=True) == pytest.approx(bits + 8)


def test_density_and_probability_of_bytes_agree():
    """Piecewise-constant densities are 256 times the probability of their byte."""
    torch.manual_seed(2)
    probability = torch.rand(256, dtype=torch.float64)
    probability /= probability.sum()
    byte = 77
    discrete = bits_per_dimension(-math.log(probability[byte]), 1, dequantized=False)
    density = 256 * probability[byte]
    assert bits_per_dimension(-math.log(density), 1, dequantized=True) == pytest.approx(discrete)
