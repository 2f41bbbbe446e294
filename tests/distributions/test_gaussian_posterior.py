"""Diagonal Gaussians and the bound on their log-variance."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import MultivariateNormal

from diptych.distributions import bounded_log_variance, diagonal_gaussian, standard_normal
from diptych.distributions.gaussian import LOG_VARIANCE_BOUND


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
@settings(max_examples=60, deadline=None)
def test_the_bound_is_monotone_odd_and_never_passed(a, b):
    low, high = sorted((a, b))
    raw = torch.tensor([low, high, -high], dtype=torch.float64)
    bounded = bounded_log_variance(raw)
    assert bounded[0] <= bounded[1]
    assert bounded[2] == -bounded[1]
    assert float(bounded.abs().max()) <= LOG_VARIANCE_BOUND


def test_the_bound_is_smooth_and_close_to_the_identity_at_zero():
    raw = torch.linspace(-60, 60, 241, dtype=torch.float64, requires_grad=True)
    bounded = bounded_log_variance(raw)
    (slope,) = torch.autograd.grad(bounded.sum(), raw)
    torch.testing.assert_close(slope, 1 - (bounded / LOG_VARIANCE_BOUND).square())
    assert bool((slope > 0).all()), "a posterior far outside must still find its way back"
    near = torch.tensor([-0.1, 0.0, 0.1], dtype=torch.float64)
    torch.testing.assert_close(bounded_log_variance(near), near, atol=1e-5, rtol=0)


def test_the_density_is_that_of_a_gaussian_with_diagonal_covariance():
    torch.manual_seed(0)
    mean, log_variance, z = torch.randn(3, 6, 4, dtype=torch.float64)
    expected = MultivariateNormal(mean, torch.diag_embed(log_variance.exp())).log_prob(z)
    torch.testing.assert_close(diagonal_gaussian(mean, log_variance).log_prob(z), expected)
    prior = standard_normal(4, z)
    torch.testing.assert_close(
        prior.log_prob(z), MultivariateNormal(torch.zeros_like(z), torch.eye(4).to(z)).log_prob(z)
    )


def test_samples_have_the_mean_and_deviation_they_were_asked_for():
    torch.manual_seed(0)
    mean = torch.tensor([[-2.0, 0.0, 3.0], [0.5, 7.0, -1.0]], dtype=torch.float64)
    log_variance = torch.tensor([[-6.0, 0.0, 4.0], [1.0, -1.0, 2.0]], dtype=torch.float64)
    n = 40_000
    samples = diagonal_gaussian(mean, log_variance).sample((n,))
    std = torch.exp(0.5 * log_variance)
    standardised = (samples - mean) / std
    assert float(standardised.mean(0).abs().max()) < 5 / math.sqrt(n)
    assert float((standardised.std(0) - 1).abs().max()) < 5 / math.sqrt(2 * n)
    correlation = (standardised[:, :, 0] * standardised[:, :, 1]).mean(0)
    assert float(correlation.abs().max()) < 5 / math.sqrt(n), "latents must be independent"


def test_a_sample_moves_with_its_parameters():
    """z = mean + std noise: dz/dmean = 1 and dz/dlog_variance = (z - mean) / 2."""
    torch.manual_seed(0)
    mean = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    log_variance = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    z = diagonal_gaussian(mean, log_variance).rsample()
    by_mean, by_log_variance = torch.autograd.grad(z.sum(), (mean, log_variance))
    torch.testing.assert_close(by_mean, torch.ones_like(mean))
    torch.testing.assert_close(by_log_variance, (0.5 * (z - mean)).detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_prior_follows_the_precision_of_the_model(dtype):
    assert standard_normal(3, torch.zeros(1, dtype=dtype)).sample().dtype == dtype
