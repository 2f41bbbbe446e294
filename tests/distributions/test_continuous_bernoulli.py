"""The continuous Bernoulli against quadrature, finite differences and torch's own."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.legendre import leggauss
from scipy import stats
from torch.autograd import gradcheck, gradgradcheck

from diptych.distributions import ContinuousBernoulli
from diptych.distributions.continuous_bernoulli import _CDF_SERIES_RADIUS, _SERIES_RADIUS

LOGITS = [0.0, 1e-9, 1e-3, 0.0099, 0.0101, 0.1, 0.2999, 0.3, 0.3001, 1.0, 5.0, 19.9, 20.1, 50.0]
SIGNED = [*LOGITS, *(-logit for logit in LOGITS[1:]), 200.0, -200.0]


def at(logit: float) -> ContinuousBernoulli:
    return ContinuousBernoulli(torch.tensor(logit, dtype=torch.float64))


def quadrature(panels: int = 64, order: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Gauss-Legendre nodes and weights on [0, 1], in panels: steep densities need them."""
    nodes, weights = leggauss(order)
    edges = np.linspace(0.0, 1.0, panels + 1)
    half = (edges[1:] - edges[:-1]) / 2
    x = (edges[:-1] + half)[:, None] + half[:, None] * nodes
    return torch.from_numpy(x.ravel()), torch.from_numpy((half[:, None] * weights).ravel())


@pytest.mark.parametrize("logit", SIGNED)
def test_it_is_a_density_with_the_mean_and_variance_it_says(logit):
    x, weight = quadrature()
    distribution = at(logit)
    mass = distribution.log_prob(x).exp() * weight
    mean = (mass * x).sum()
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-8)
    assert distribution.mean.item() == pytest.approx(mean.item(), abs=1e-8)
    variance = (mass * (x - mean).square()).sum().item()
    assert distribution.variance.item() == pytest.approx(variance, rel=1e-7)


@given(logit=st.floats(-300, 300), x=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_mirror_image_has_the_opposite_logit(logit, x):
    assert at(logit).log_prob(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(
        at(-logit).log_prob(torch.tensor(1 - x, dtype=torch.float64)).item(), abs=1e-8, rel=1e-8
    )
    assert (at(logit).mean + at(-logit).mean).item() == pytest.approx(1.0, abs=1e-12)
    assert at(logit).variance.item() == pytest.approx(at(-logit).variance.item(), rel=1e-12)


def test_at_logit_zero_it_is_uniform():
    x = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert torch.equal(at(0.0).cdf(x), x)
    assert torch.equal(at(0.0).icdf(x), x)
    torch.testing.assert_close(at(0.0).log_prob(x), torch.zeros_like(x), atol=1e-15, rtol=0)
    assert at(0.0).mean.item() == 0.5
    assert at(0.0).variance.item() == pytest.approx(1 / 12, rel=1e-15)


@pytest.mark.parametrize("logit", [-8.0, -2.0, 0.5, 3.0, 9.0])
def test_it_agrees_with_torch_where_torch_is_accurate(logit):
    parameter = torch.tensor(logit, dtype=torch.float64)
    theirs = torch.distributions.ContinuousBernoulli(logits=parameter)
    x = torch.linspace(0.01, 0.99, 25, dtype=torch.float64)
    ours = ContinuousBernoulli(parameter)
    for name in ("log_prob", "cdf", "icdf"):
        torch.testing.assert_close(getattr(ours, name)(x), getattr(theirs, name)(x))
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.variance, theirs.variance)


def derivatives(logit: float, x: float) -> list[float]:
    """log p and its first two derivatives in the logit."""
    parameter = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
    value = ContinuousBernoulli(parameter).log_prob(torch.tensor(x, dtype=torch.float64))
    (first,) = torch.autograd.grad(value, parameter, create_graph=True)
    (second,) = torch.autograd.grad(first, parameter)
    return [value.item(), first.item(), second.item()]


@pytest.mark.parametrize("border", [-_SERIES_RADIUS, 0.0, _SERIES_RADIUS])
@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_log_prob_is_smooth_across_the_borders_of_its_series(border, x):
    below, above = derivatives(border - 1e-9, x), derivatives(border + 1e-9, x)
    slopes = [*derivatives(border, x)[1:], 0.0]
    for order, tolerance in enumerate((1e-10, 1e-9, 1e-7)):
        expected = below[order] + 2e-9 * slopes[order]
        assert above[order] == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("border", [-_CDF_SERIES_RADIUS, _CDF_SERIES_RADIUS])
@pytest.mark.parametrize("name", ["cdf", "icdf"])
def test_cdf_and_icdf_do_not_jump_where_their_series_begin(border, name):
    value = torch.linspace(0, 1, 41, dtype=torch.float64)
    below, above = at(border - 1e-12), at(border + 1e-12)
    torch.testing.assert_close(
        getattr(below, name)(value), getattr(above, name)(value), atol=1e-10, rtol=0
    )


@pytest.mark.parametrize("border", [-_SERIES_RADIUS, _SERIES_RADIUS])
@pytest.mark.parametrize("name", ["mean", "variance"])
def test_moments_do_not_jump_where_their_series_begin(border, name):
    below, above = at(border - 1e-12), at(border + 1e-12)
    assert getattr(below, name).item() == pytest.approx(getattr(above, name).item(), abs=1e-9)


@pytest.mark.parametrize("logit", [0.0, 1e-4, -0.29, 0.31, 4.0, -60.0])
def test_derivatives_of_log_prob_are_those_of_finite_differences(logit):
    parameter = torch.tensor([logit], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([0.2, 0.9], dtype=torch.float64)

    def log_prob(logits: torch.Tensor) -> torch.Tensor:
        return ContinuousBernoulli(logits).log_prob(x)

    assert gradcheck(log_prob, (parameter,), atol=1e-7)
    assert gradgradcheck(log_prob, (parameter,), atol=1e-6)


@pytest.mark.parametrize("logit", SIGNED)
def test_the_derivative_in_the_logit_is_x_minus_the_mean(logit):
    """An exponential family: the score is x - E[x], and its derivative -Var[x]."""
    _, first, second = derivatives(logit, 0.25)
    assert first == pytest.approx(0.25 - at(logit).mean.item(), abs=1e-8)
    assert second == pytest.approx(-at(logit).variance.item(), abs=1e-6)


@pytest.mark.parametrize("logit", SIGNED)
def test_the_derivative_of_the_cdf_is_the_density(logit):
    x = torch.linspace(0.001, 0.999, 33, dtype=torch.float64, requires_grad=True)
    cdf = at(logit).cdf(x)
    (slope,) = torch.autograd.grad(cdf.sum(), x)
    torch.testing.assert_close(slope, at(logit).log_prob(x).exp().detach(), rtol=1e-8, atol=1e-12)
    assert bool((cdf.diff() >= 0).all())


@pytest.mark.parametrize("logit", SIGNED)
def test_icdf_inverts_cdf(logit):
    u = torch.linspace(0, 1, 101, dtype=torch.float64)
    x = at(logit).icdf(u)
    assert x[0].item() == pytest.approx(0.0, abs=1e-8)
    assert x[-1].item() == pytest.approx(1.0, abs=1e-8)
    torch.testing.assert_close(at(logit).cdf(x), u, atol=1e-9, rtol=0)


@pytest.mark.parametrize("logit", [-30.0, -0.2, 0.0, 0.005, 2.0, 120.0])
def test_samples_follow_the_density(logit):
    torch.manual_seed(3)
    samples = at(logit).sample((4000,)).numpy()

    def cdf(x: np.ndarray) -> np.ndarray:
        return at(logit).cdf(torch.from_numpy(x)).numpy()

    assert stats.kstest(samples, cdf).pvalue > 1e-3


@pytest.mark.parametrize("logit", [-40.0, -0.25, -1e-3, 0.0, 0.009, 0.05, 3.0, 150.0])
def test_the_gradient_of_a_sample_is_that_of_the_icdf(logit):
    step = 1e-5
    torch.manual_seed(1)
    parameter = torch.full((50,), logit, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(ContinuousBernoulli(parameter).rsample().sum(), parameter)
    torch.manual_seed(1)
    u = torch.rand(50, dtype=torch.float64)
    difference = (at(logit + step).icdf(u) - at(logit - step).icdf(u)) / (2 * step)
    torch.testing.assert_close(gradient, difference, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("logit", [0.0, 1e-30, 0.3, 17.0, 90.0, 200.0, 1e4])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_single_precision_stays_finite_with_its_gradients(logit, sign):
    parameter = torch.full((5,), sign * logit, requires_grad=True)
    distribution = ContinuousBernoulli(parameter)
    x = torch.tensor([0.0, 1e-7, 0.5, 1.0 - 1e-7, 1.0])
    values = [
        distribution.log_prob(x),
        distribution.cdf(x),
        distribution.mean,
        distribution.variance,
        distribution.icdf(x.clamp(2**-24, 1 - 2**-24)),
    ]
    for value in values:
        (gradient,) = torch.autograd.grad(value.sum(), parameter)
        assert bool(value.isfinite().all())
        assert bool(gradient.isfinite().all())
    for bounded in (*values[1:3], values[4], distribution.icdf(x)):
        assert bool(((bounded >= 0) & (bounded <= 1)).all())


def test_a_uniform_draw_of_exactly_zero_has_a_finite_gradient(monkeypatch):
    """Single-precision draws are exactly 0 once in 2^24: every few hundred batches of images."""
    monkeypatch.setattr(torch, "rand", lambda shape, **options: torch.zeros(shape, **options))
    parameter = torch.tensor([-200.0, 0.0, 50.0, 200.0], requires_grad=True)
    samples = ContinuousBernoulli(parameter).rsample()
    (gradient,) = torch.autograd.grad(samples.sum(), parameter)
    assert bool(samples.isfinite().all())
    assert bool(gradient.isfinite().all())


def test_values_outside_the_unit_interval_are_refused():
    distribution = ContinuousBernoulli(torch.zeros(2), validate_args=True)
    with pytest.raises(ValueError, match="support"):
        distribution.log_prob(torch.tensor([0.5, 1.5]))


def test_it_is_cross_entropy_plus_the_normaliser():
    """At logit l the normaliser C = 2 artanh(1 - 2 lambda) / (1 - 2 lambda) of the paper."""
    logit, x = 1.7, torch.tensor(0.3, dtype=torch.float64)
    probability = 1 / (1 + math.exp(-logit))
    normaliser = 2 * math.atanh(1 - 2 * probability) / (1 - 2 * probability)
    cross_entropy = -(
        x.item() * math.log(probability) + (1 - x.item()) * math.log(1 - probability)
    )
    expected = -cross_entropy + math.log(normaliser)
    assert at(logit).log_prob(x).item() == pytest.approx(expected, rel=1e-12)
