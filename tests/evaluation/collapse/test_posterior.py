import math

import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.collapse.posterior import (
    active_units,
    aggregate_kl,
    aggregate_sliced_w2,
    collapsed_dimensions,
    kl_per_dimension,
    mean_kl,
    mutual_information,
    sample_posterior,
    sliced_w2,
)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, width, seed=0):
    return torch.randn(n, width, generator=stream(seed), dtype=torch.float64)


def linear(n, correlations, seed=0):
    """Codes with z = x: means r·x and variances 1 − r², so that q(z) is the prior exactly."""
    r = torch.tensor(correlations, dtype=torch.float64)
    return r * normal(n, len(r), seed), (1 - r**2).log().expand(n, len(r))


def principal_components(eigenvalues, noise, n=4000):
    """The posterior of probabilistic PCA at its maximum likelihood, latents in order.

    W has columns √(λ_u − σ²), or 0 where λ_u ≤ σ²; the mean of z_u is w x_u / (w² + σ²) and its
    variance σ² / (w² + σ²) (Tipping and Bishop 1999).
    """
    values = torch.tensor(eigenvalues, dtype=torch.float64)
    w = (values - noise).clamp(min=0).sqrt()
    means = normal(n, len(values)) * values.sqrt() * w / (w**2 + noise)
    return means, (noise / (w**2 + noise)).log().expand(n, len(values))


@pytest.mark.parametrize(("noise", "active"), [(0.1, 5), (0.9, 4), (2.5, 2), (9.0, 0)])
def test_a_linear_vae_uses_as_many_units_as_eigenvalues_exceed_the_noise(noise, active):
    means, log_variances = principal_components([8.0, 4.0, 2.0, 1.0, 0.5], noise)
    assert active_units(means).value == active
    assert collapsed_dimensions(means, log_variances).value == 5 - active


def test_kl_in_closed_form_and_of_the_prior_itself():
    means = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    log_variances = torch.tensor([0.0, math.log(4), 0.0]).expand(2, 3)
    expected = [0.5, 0.5 * (4 - 1 - math.log(4)), 0.0]
    assert kl_per_dimension(means, log_variances).tolist() == pytest.approx(expected, abs=1e-7)
    assert mean_kl(means, log_variances).value == pytest.approx(sum(expected) / 3)


def test_kl_agrees_with_torch_distributions():
    means, log_variances = normal(50, 4), normal(50, 4, 1)
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(means, (log_variances / 2).exp()),
        torch.distributions.Normal(torch.zeros(4).double(), torch.ones(4).double()),
    )
    torch.testing.assert_close(kl_per_dimension(means, log_variances), theirs.mean(0))


def test_almost_the_prior_keeps_its_digits():
    tiny = torch.full((2, 1), 1e-7)
    assert float(kl_per_dimension(0 * tiny, tiny)) == pytest.approx(2.5e-15, rel=1e-6)


def test_the_interval_of_active_units_spans_the_doubtful_one():
    means = torch.cat([normal(200, 1), 0.1 * normal(200, 1, 1), 1e-3 * normal(200, 1, 2)], 1)
    estimate = active_units(means)
    assert (estimate.low, estimate.high) == (1, 2)


def test_the_interval_of_the_mean_kl_covers():
    truth = 0.5 * sum(-math.log(1 - r**2) for r in (0.9, 0.5)) / 2
    held = 0
    for seed in range(60):
        estimate = mean_kl(*linear(300, [0.9, 0.5], seed))
        held += estimate.low <= truth <= estimate.high
    assert held >= 52


def test_information_of_a_linear_code_in_closed_form():
    correlations = [0.95, 0.8, 0.5, 0.0]
    exact = -0.5 * sum(math.log(1 - r**2) for r in correlations)
    means, log_variances = linear(2000, correlations)
    estimate = mutual_information(means, log_variances, generator=stream(1))
    assert estimate.low <= exact <= estimate.high
    assert estimate.value == pytest.approx(exact, abs=0.06)
    assert estimate.trusted


def test_information_cannot_exceed_ln_n_and_says_so():
    means, log_variances = linear(100, [0.9999999] * 8)
    estimate = mutual_information(means, log_variances, generator=stream(1))
    assert estimate.value == pytest.approx(math.log(100), abs=1e-6)
    assert not estimate.trusted
    assert "cannot exceed ln N = 4.61" in estimate.note


def test_a_collapsed_posterior_carries_nothing():
    means, log_variances = torch.zeros(500, 6), torch.zeros(500, 6)
    estimate = mutual_information(means, log_variances, generator=stream())
    assert estimate.value == pytest.approx(0, abs=1e-9)
    assert active_units(means).value == 0
    assert collapsed_dimensions(means, log_variances).value == 6


def test_the_upper_bound_of_codes_that_are_all_alike_is_exactly_0():
    estimate = mutual_information(torch.ones(3, 2), torch.zeros(3, 2), generator=stream())
    assert estimate.value == pytest.approx(0, abs=1e-12)
    assert "the upper one is 0.00 nats" in estimate.note


def test_the_mean_kl_splits_into_information_and_aggregate():
    # Means scaled by 1.3: q(z) is a Gaussian with known variances.
    r = torch.tensor([0.9, 0.6], dtype=torch.float64)
    means, log_variances = linear(4000, r.tolist())
    means = 1.3 * means
    codes = sample_posterior(means, log_variances, generator=stream(1))
    information = mutual_information(means, log_variances, generator=stream(2)).value
    rate = float(kl_per_dimension(means, log_variances).sum())
    assert information + aggregate_kl(codes).value == pytest.approx(rate, abs=0.08)
    variance = 1.69 * r**2 + 1 - r**2
    exact = 0.5 * float((variance - 1 - variance.log()).sum())
    assert aggregate_kl(codes).value == pytest.approx(exact, rel=0.2)


def test_aggregate_kl_of_a_shift_and_of_the_prior():
    shifted = aggregate_kl(normal(20000, 3) + 2)
    assert shifted.value == pytest.approx(0.5 * 3 * 4, rel=0.03)
    assert shifted.low < 6 < shifted.high
    floors = [aggregate_kl(normal(400, 5, seed)).value for seed in range(40)]
    assert sum(floors) / 40 == pytest.approx(5 * 8 / (4 * 400), rel=0.15)


def test_a_dead_dimension_is_enormous_and_finite():
    codes = normal(100, 2) * torch.tensor([1.0, 0.0])
    assert 10 < aggregate_kl(codes).value < 100


def test_sliced_w2_of_a_shift_and_of_a_scale():
    x = normal(500, 5)
    shift = torch.tensor([3.0, 0, 0, 4, 0], dtype=torch.float64)
    moved = sliced_w2(x, x + shift, generator=stream(), directions=4000)
    assert moved == pytest.approx(5 / math.sqrt(5), rel=0.03)
    assert sliced_w2(x, 3 * x, generator=stream()) == pytest.approx(2.0, rel=0.03)
    assert sliced_w2(x, x.flip(0), generator=stream()) < 1e-15


def test_sliced_w2_of_one_dimension_agrees_with_scipy():
    linalg = pytest.importorskip("scipy.optimize")
    x, y = normal(40, 1), normal(40, 1, 1) * 2 + 1
    cost = (x - y.T).square().numpy()
    rows, columns = linalg.linear_sum_assignment(cost)
    exact = math.sqrt(cost[rows, columns].mean())
    assert sliced_w2(x, y, generator=stream()) == pytest.approx(exact, rel=1e-12)


def test_aggregate_sliced_w2_is_sliced_w2_with_an_interval():
    x, y = normal(500, 4), normal(500, 4, 1) + 1
    estimate = aggregate_sliced_w2(x, y, generator=stream())
    assert estimate.value == pytest.approx(sliced_w2(x, y, generator=stream()), rel=1e-12)
    assert estimate.low < 1 < estimate.high  # |shift| / √L = 2/2


def test_the_jackknife_is_that_of_a_mean_where_the_distance_is_one():
    x = normal(400, 1)
    moved = aggregate_sliced_w2(x, torch.zeros(400, 1), generator=stream())
    # W2 to a point is the root mean square, whose standard error is known.
    error = float(x.square().std()) / math.sqrt(400) / (2 * moved.value)
    assert (moved.high - moved.low) / (2 * 1.96) == pytest.approx(error, rel=0.4)


def test_draws_have_the_moments_of_the_posterior():
    means, log_variances = torch.full((20000, 1), 3.0), torch.full((20000, 1), math.log(0.25))
    codes = sample_posterior(means, log_variances, generator=stream())
    assert float(codes.mean()) == pytest.approx(3, abs=0.02)
    assert float(codes.std()) == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize(
    ("means", "log_variances", "sentence"),
    [
        (torch.zeros(4), torch.zeros(4), "two matrices"),
        (torch.zeros(4, 2), torch.zeros(4, 3), "of one shape"),
        (torch.zeros(1, 2), torch.zeros(1, 2), "too few"),
        (torch.full((4, 2), torch.nan), torch.zeros(4, 2), "NaN"),
        (torch.zeros(4, 2), torch.full((4, 2), torch.inf), "NaN or infinite"),
    ],
)
def test_what_is_no_posterior_is_said(means, log_variances, sentence):
    with pytest.raises(DataError, match=sentence):
        kl_per_dimension(means, log_variances)
    with pytest.raises(DataError, match=sentence):
        mutual_information(means, log_variances, generator=stream())


def test_too_few_codes_for_a_covariance_are_said():
    with pytest.raises(DataError, match="6 codes are too few for a covariance of 5"):
        aggregate_kl(normal(6, 5))
    assert aggregate_kl(normal(12, 2)).low is None
