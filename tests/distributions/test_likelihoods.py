"""Likelihoods: what each says about an image, and how sigma is found."""

import math

import pytest
import torch
from torch.nn import functional as F

from diptych.distributions import (
    BernoulliLikelihood,
    ContinuousBernoulli,
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
)

SHAPE = (2, 5, 3)
DIMENSIONS = math.prod(SHAPE)


@pytest.fixture
def output():
    torch.manual_seed(0)
    return torch.randn(4, *SHAPE, dtype=torch.float64)


@pytest.fixture
def images():
    torch.manual_seed(1)
    return torch.rand(4, *SHAPE, dtype=torch.float64)


def gaussian(mode, sigma=0.3, bounded_mean=True):
    likelihood = GaussianLikelihood(SHAPE, sigma=sigma, mode=mode, bounded_mean=bounded_mean)
    return likelihood.double()


def test_bernoulli_is_cross_entropy_on_logits_summed_over_the_image(output, images):
    binary = images.round()
    expected = -F.binary_cross_entropy_with_logits(output, binary, reduction="none")
    actual = BernoulliLikelihood(SHAPE)(output).log_prob(binary)
    torch.testing.assert_close(actual, expected.flatten(1).sum(1))


def test_continuous_bernoulli_is_summed_over_the_image(output, images):
    expected = ContinuousBernoulli(output).log_prob(images).flatten(1).sum(1)
    actual = ContinuousBernoulliLikelihood(SHAPE)(output).log_prob(images)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("sigma", [0.001, 0.05, 0.3, 1.0, 2.5])
def test_fixed_sigma_is_the_squared_error_over_two_variances(output, images, sigma):
    squared_error = (images - torch.sigmoid(output)).square().flatten(1).sum(1)
    constant = DIMENSIONS * (math.log(sigma) + 0.5 * math.log(2 * math.pi))
    expected = -(squared_error / (2 * sigma**2) + constant)
    actual = gaussian("fixed", sigma)(output).log_prob(images)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [0.05, 0.2, 1.5])
def test_laplace_is_the_absolute_error_over_its_scale(output, images, scale):
    absolute_error = (images - torch.sigmoid(output)).abs().flatten(1).sum(1)
    expected = -(absolute_error / scale + DIMENSIONS * math.log(2 * scale))
    actual = LaplaceLikelihood(SHAPE, scale=scale, bounded_mean=True)(output).log_prob(images)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize(("kind", "expected"), [("laplace", 0.1), ("gaussian", 0.4)])
def test_laplace_is_best_at_a_median_and_gaussian_at_a_mean(kind, expected):
    values = torch.tensor([[0.0], [0.1], [0.1], [0.9], [0.9]], dtype=torch.float64)
    places = torch.linspace(0, 1, 101, dtype=torch.float64)
    likelihood = (
        LaplaceLikelihood((1,), scale=0.3, bounded_mean=False)
        if kind == "laplace"
        else GaussianLikelihood((1,), sigma=0.3, mode="fixed", bounded_mean=False).double()
    )
    total = torch.stack([likelihood(p.expand(5, 1)).log_prob(values).sum() for p in places])
    assert places[total.argmax()].item() == pytest.approx(expected)


def test_points_have_an_unbounded_mean(output):
    assert torch.equal(gaussian("fixed", bounded_mean=False)(output).mean, output)
    assert torch.equal(gaussian("fixed")(output).mean, torch.sigmoid(output))


def test_optimal_sigma_is_the_maximiser(output, images):
    likelihood = gaussian("optimal", sigma=1.0)
    likelihood.fit(output, images)
    best = likelihood(output).log_prob(images).sum().item()
    optimum = likelihood.log_sigma.clone()
    rms = (images - torch.sigmoid(output)).square().mean().sqrt()
    torch.testing.assert_close(optimum.exp(), rms)
    for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0):
        likelihood.log_sigma.copy_(optimum + math.log(factor))
        assert likelihood(output).log_prob(images).sum().item() < best


def test_optimal_sigma_gives_the_gradient_of_half_d_log_mse(output, images):
    """The envelope theorem: at the maximum sigma needs no gradient of its own."""
    likelihood = gaussian("optimal")
    output.requires_grad_(True)
    likelihood.fit(output, images)
    loss = -likelihood(output).log_prob(images).mean()
    mse = (images - torch.sigmoid(output)).square().mean()
    closed = DIMENSIONS / 2 * mse.log()
    (actual,) = torch.autograd.grad(loss, output)
    (expected,) = torch.autograd.grad(closed, output)
    torch.testing.assert_close(actual, expected)
    # And the value is that of the profile likelihood: D/2 (log MSE + 1 + log 2 pi).
    constant = DIMENSIONS / 2 * (1 + math.log(2 * math.pi))
    torch.testing.assert_close(loss, closed + constant)


def test_learned_sigma_converges_to_the_optimal_one(output, images):
    learned, optimal = gaussian("learned", sigma=1.0), gaussian("optimal")
    optimal.fit(output, images)
    optimizer = torch.optim.Adam(learned.parameters(), lr=0.05)
    for step in range(150):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 150)
        optimizer.zero_grad()
        (-learned(output).log_prob(images).mean()).backward()
        optimizer.step()
    assert learned.log_sigma.item() == pytest.approx(optimal.log_sigma.item(), abs=1e-3)


def test_a_learned_sigma_that_overshot_its_floor_comes_back(output, images):
    likelihood = gaussian("learned", sigma=math.exp(-9))
    likelihood.fit(output, images)
    likelihood(output).log_prob(images).sum().backward()
    assert likelihood.log_sigma.grad.item() > 0, "the likelihood of far images grows with sigma"


@pytest.mark.parametrize("mode", ["fixed", "learned"])
def test_only_optimal_sigma_looks_at_the_batch(output, images, mode):
    likelihood = gaussian(mode)
    before = likelihood.log_sigma.detach().clone()
    likelihood.fit(output, images)
    assert torch.equal(likelihood.log_sigma.detach(), before)


def test_a_perfect_fit_stays_finite():
    likelihood = gaussian("optimal")
    output = torch.zeros(2, *SHAPE, dtype=torch.float64, requires_grad=True)
    images = torch.full((2, *SHAPE), 0.5, dtype=torch.float64)
    likelihood.fit(output, images)
    value = likelihood(output).log_prob(images).sum()
    (gradient,) = torch.autograd.grad(value, output)
    assert math.isfinite(value.item())
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize(
    "likelihood",
    [
        BernoulliLikelihood(SHAPE),
        ContinuousBernoulliLikelihood(SHAPE),
        LaplaceLikelihood(SHAPE, scale=0.2, bounded_mean=True),
        GaussianLikelihood(SHAPE, sigma=0.3, mode="learned", bounded_mean=True),
    ],
    ids=lambda likelihood: type(likelihood).__name__,
)
def test_the_event_is_one_image_and_its_mean_a_picture(likelihood, output, images):
    distribution = likelihood.double()(output)
    assert distribution.batch_shape == (4,)
    assert distribution.event_shape == SHAPE
    assert distribution.log_prob(images.round()).shape == (4,)
    assert bool(((distribution.mean > 0) & (distribution.mean < 1)).all())
    # Images are independent of each other: each alone says the same.
    alone = torch.cat(
        [
            likelihood(o[None]).log_prob(x[None])
            for o, x in zip(output, images.round(), strict=True)
        ]
    )
    torch.testing.assert_close(distribution.log_prob(images.round()), alone)
