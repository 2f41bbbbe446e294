"""KL divergences: closed forms, Monte-Carlo estimates, and the sampled form where none exists."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from diptych.distributions import diagonal_gaussian, standard_normal
from diptych.objectives import kl_per_dimension, kl_to_prior


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def posterior():
    torch.manual_seed(0)
    return diagonal_gaussian(
        torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    )


@pytest.fixture
def mixture():
    """Two Gaussians on the line."""
    return MixtureSameFamily(
        Categorical(probs=double(0.3, 0.7)),
        Independent(Normal(double(-1.5, 1.0)[:, None], double(0.6, 0.9)[:, None]), 1),
    )


def test_closed_form_is_that_of_torch_with_full_covariances(posterior):
    z = posterior.rsample()
    prior = standard_normal(4, z)
    expected = kl_divergence(
        MultivariateNormal(posterior.mean, torch.diag_embed(posterior.variance)),
        MultivariateNormal(torch.zeros(4).to(z), torch.eye(4).to(z)),
    )
    torch.testing.assert_close(kl_to_prior(posterior, prior, z), expected)
    per_dimension = kl_per_dimension(posterior, prior)
    torch.testing.assert_close(per_dimension.sum(-1), expected)


@given(st.floats(-5, 5), st.floats(-3, 3))
@settings(max_examples=40, deadline=None)
def test_the_formula_of_the_paper(mean, log_variance):
    """KL = (m^2 + s^2 - 1 - log s^2) / 2, zero only for the prior itself."""
    posterior = diagonal_gaussian(double(mean)[None], double(log_variance)[None])
    kl = kl_to_prior(posterior, standard_normal(1, posterior.mean), posterior.mean).item()
    expected = 0.5 * (mean**2 + math.exp(log_variance) - 1 - log_variance)
    assert kl == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert kl >= -1e-12


def test_closed_form_agrees_with_a_monte_carlo_estimate(posterior):
    torch.manual_seed(1)
    n = 20_000
    prior = Independent(Normal(double(0.5, 0, 0, -1), double(1, 2, 0.5, 1)), 1)
    z = posterior.sample((n,))
    estimates = posterior.log_prob(z) - prior.log_prob(z)
    error = estimates.std(0) / math.sqrt(n)
    distance = (estimates.mean(0) - kl_to_prior(posterior, prior, z[0])).abs()
    assert bool((distance < 4.5 * error).all())


def test_a_prior_with_covariance_uses_torchs_closed_form():
    torch.manual_seed(2)
    factor = torch.randn(3, 3, dtype=torch.float64)
    mean = torch.randn(5, 3, dtype=torch.float64)
    posterior = MultivariateNormal(mean, torch.diag_embed(torch.rand_like(mean) + 0.1))
    prior = MultivariateNormal(mean[0], factor @ factor.T + torch.eye(3, dtype=torch.float64))
    first, second = (kl_to_prior(posterior, prior, posterior.sample()) for _ in range(2))
    assert torch.equal(first, second), "a closed form has no noise"
    torch.testing.assert_close(first, kl_divergence(posterior, prior.expand((5,))))


def log_ratio_quadrature(mean, log_variance, mixture):
    """KL(q || mixture) on the line by Gauss-Hermite quadrature, differentiable."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    nodes, weights = torch.from_numpy(nodes), torch.from_numpy(weights / math.sqrt(2 * math.pi))
    z = (mean + torch.exp(0.5 * log_variance) * nodes)[:, None]
    posterior = diagonal_gaussian(mean[None], log_variance[None])
    return (weights * (posterior.log_prob(z) - mixture.log_prob(z))).sum()


def test_without_closed_form_the_sample_at_hand_gives_the_right_mean_and_gradient(mixture):
    torch.manual_seed(3)
    n = 100_000
    mean, log_variance = double(0.4).requires_grad_(), double(-0.5).requires_grad_()
    exact = log_ratio_quadrature(mean, log_variance, mixture)
    exact_gradient = torch.autograd.grad(exact, (mean, log_variance))

    means = mean.expand(n, 1).detach().requires_grad_()
    log_variances = log_variance.expand(n, 1).detach().requires_grad_()
    posterior = diagonal_gaussian(means, log_variances)
    estimates = kl_to_prior(posterior, mixture, posterior.rsample())
    gradients = torch.autograd.grad(estimates.sum(), (means, log_variances))

    assert estimates.shape == (n,)
    for estimate, expected in (
        (estimates.detach(), exact),
        *zip(gradients, exact_gradient, strict=True),
    ):
        error = estimate.std().item() / math.sqrt(n)
        assert estimate.mean().item() == pytest.approx(expected.item(), abs=4.5 * error)
        assert error < 0.01


def test_the_sampled_form_has_the_right_gradient_for_a_learned_prior():
    """d/dm KL(q || N(m, 1)) = m - E_q[z], with N(m, 1) dressed up as a mixture."""
    torch.manual_seed(4)
    n = 50_000
    center = double(0.7).requires_grad_()
    prior = MixtureSameFamily(
        Categorical(probs=double(1.0)),
        Independent(Normal(center[:, None], double(1.0)[:, None]), 1),
    )
    posterior = diagonal_gaussian(double(-0.2).expand(n, 1), double(0.0).expand(n, 1))
    (gradient,) = torch.autograd.grad(
        kl_to_prior(posterior, prior, posterior.rsample()).mean(), center
    )
    assert gradient.item() == pytest.approx(0.7 + 0.2, abs=4.5 / math.sqrt(n))


def test_the_sampled_form_is_exact_where_posterior_and_prior_are_the_same():
    torch.manual_seed(5)
    prior = MixtureSameFamily(
        Categorical(probs=double(0.5, 0.5)),
        Independent(Normal(torch.zeros(2, 3, dtype=torch.float64), double(1.0)), 1),
    )
    zeros = torch.zeros(7, 3, dtype=torch.float64)
    posterior = diagonal_gaussian(zeros, zeros)
    kl = kl_to_prior(posterior, prior, posterior.sample())
    torch.testing.assert_close(kl, torch.zeros(7, dtype=torch.float64), atol=1e-12, rtol=0)


def test_what_does_not_factorise_has_no_kl_per_latent(posterior, mixture):
    assert kl_per_dimension(posterior, mixture) is None
    full = MultivariateNormal(torch.zeros(4).double(), torch.eye(4).double())
    assert kl_per_dimension(posterior, full) is None
