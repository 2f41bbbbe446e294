import math

import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.fidelity import pairs
from diptych.evaluation.fidelity.kernels import kid, median_bandwidth, rbf_mmd


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive(x, y, kernel):
    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    n, m = xy.shape
    within = (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def cubic(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def test_golden_kid_is_the_full_unbiased_estimate():
    assert kid(R, F).value == pytest.approx(0.14018070580656294, abs=1e-12)


@pytest.mark.parametrize("tile", [7, 100, 4096])
def test_tiles_equal_the_naive_form_for_unequal_sizes(monkeypatch, tile):
    monkeypatch.setattr(pairs, "TILE", tile)
    assert kid(R[:90], F[:70]).value == pytest.approx(naive(R[:90], F[:70], cubic), abs=1e-12)


def test_the_kernel_is_of_the_items_not_of_centred_ones():
    # The cubic kernel moves with the origin; centring is for digits only.
    assert kid(R + 2, F + 2).value == pytest.approx(naive(R + 2, F + 2, cubic), rel=1e-10)
    assert kid(R + 2, F + 2).value > 2 * kid(R, F).value


def test_equal_distributions_are_not_told_apart_and_may_fall_below_zero():
    estimate = kid(R, T)
    assert estimate.low < 0 < estimate.high
    draws = [kid(randn(40, 4, seed=i), randn(40, 4, seed=i + 900)).value for i in range(200)]
    assert min(draws) < 0
    spread = torch.tensor(draws).std() / len(draws) ** 0.5
    assert abs(sum(draws) / len(draws)) < 3 * spread


def test_jackknife_of_row_sums_is_the_jackknife_of_sets():
    x, y = R[:20, :5], F[:15, :5]
    whole = kid(x, y)

    def without(items, i):
        return torch.cat([items[:i], items[i + 1 :]])

    spread = 0.0
    for drop in (
        [kid(without(x, i), y).value for i in range(len(x))],
        [kid(x, without(y, i)).value for i in range(len(y))],
    ):
        values = torch.tensor(drop, dtype=torch.float64)
        spread += float((values - values.mean()).square().sum()) * (len(drop) - 1) / len(drop)
    assert (whole.high - whole.low) / 2 == pytest.approx(1.959964 * spread**0.5, rel=1e-6)


def test_interval_is_as_wide_as_repeated_draws_are_apart():
    estimates = [kid(randn(100, 8, seed=i), randn(100, 8, seed=i + 500) + 0.5) for i in range(150)]
    spread = float(torch.tensor([estimate.value for estimate in estimates]).std())
    errors = torch.tensor([(estimate.high - estimate.low) / 3.92 for estimate in estimates])
    assert float(errors.mean()) == pytest.approx(spread, rel=0.2)


def test_gaussians_under_the_gaussian_kernel_in_closed_form():
    # E k over N(0, a) and N(δ, b) is (σ²/v)^(d/2) exp(−|δ|²/2v) with v = σ² + a + b.
    d, sigma, delta, a, b = 3, 1.5, 0.8, 1.0, 1.7**2

    def mean_kernel(v, gap):
        return (sigma**2 / v) ** (d / 2) * math.exp(-(gap**2) * d / (2 * v))

    expected = mean_kernel(sigma**2 + 2 * a, 0) + mean_kernel(sigma**2 + 2 * b, 0)
    expected -= 2 * mean_kernel(sigma**2 + a + b, delta)
    x, y = randn(3000, d), randn(3000, d, seed=1) * 1.7 + delta
    estimate = rbf_mmd(x, y, bandwidth=sigma)
    assert estimate.low < expected < estimate.high
    assert estimate.value == pytest.approx(expected, rel=0.1)


def test_bandwidth_is_the_median_real_distance_and_ignores_the_fakes():
    assert median_bandwidth(torch.tensor([[0.0], [1.0], [3.0]])) == 2
    assert rbf_mmd(R, F) == rbf_mmd(R, F, bandwidth=median_bandwidth(R))
    assert median_bandwidth(torch.zeros(50, 3)) == 0
    # More than half of the pairs are equal: a bandwidth of 0 would see nothing.
    mostly = torch.cat([torch.zeros(40, 2), torch.ones(5, 2)])
    assert median_bandwidth(mostly) > 0


def test_what_cannot_be_measured_is_said():
    with pytest.raises(DataError, match="at least 3 items of each set and got 1000 real and 2"):
        kid(R, F[:2])
    with pytest.raises(DataError, match="of one width"):
        kid(R, F[:, :3])
    with pytest.raises(DataError, match="NaN or infinite"):
        kid(R, F / 0)
    with pytest.raises(DataError, match="must be positive, not 0"):
        rbf_mmd(torch.zeros(9, 2), torch.ones(9, 2))
