import math

import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.fidelity.two_sample import binomial_p_value, two_sample_accuracy


def accuracy(x, y, seed=0, **settings):
    return two_sample_accuracy(x, y, generator=torch.Generator().manual_seed(seed), **settings)


def test_equal_distributions_leave_it_at_one_half():
    estimates = [accuracy(R, T, seed=seed, steps=30) for seed in range(8)]
    assert sum(estimate.value for estimate in estimates) / 8 == pytest.approx(0.5, abs=0.03)
    assert sum(estimate.low <= 0.5 <= estimate.high for estimate in estimates) >= 6


def test_different_distributions_are_told_apart():
    estimate = accuracy(R, F)
    assert estimate.low > 0.6
    assert float(estimate.note.split()[2]) < 1e-6
    assert accuracy(R, F + 100).value == 1


def test_it_sees_what_mean_and_variances_do_not():
    # The same marginals, with and without correlation.
    x = R.reshape(-1, 2)[:4000]
    y = torch.stack([F.reshape(-1, 2)[:4000, 0], F.reshape(-1, 2)[:4000, 0]], 1)
    y = (y - y.mean()) / y.std()
    assert accuracy(x, y).low > 0.6


def test_sets_of_unequal_size_do_not_pay_for_guessing():
    assert accuracy(R, T[:250], steps=40).value == pytest.approx(0.5, abs=0.12)


def test_features_that_never_vary_do_no_harm():
    dead = torch.cat([R, torch.full((1000, 1), 7.0).double()], 1)
    other = torch.cat([T, torch.full((1000, 1), 7.0).double()], 1)
    assert accuracy(dead, other).value == pytest.approx(0.5, abs=0.06)
    assert accuracy(torch.ones(50, 3), torch.ones(50, 3)).value == pytest.approx(0.5, abs=0.2)


def test_copies_fool_it_below_one_half():
    assert accuracy(R, R.clone()).high < 0.45


def test_binomial_tail_in_small_numbers():
    assert binomial_p_value(0, 10) == pytest.approx(1)
    assert binomial_p_value(10, 10) == pytest.approx(2**-10)
    assert binomial_p_value(8, 10) == pytest.approx((45 + 10 + 1) / 2**10)
    # Normal approximation at a size where it holds.
    tail = 0.5 * math.erfc((5100 - 0.5 - 5000) / 50 / 2**0.5)
    assert binomial_p_value(5100, 10_000) == pytest.approx(tail, rel=0.01)


def test_the_generator_decides_and_nothing_else_is_touched():
    before = torch.get_rng_state()
    assert accuracy(R, F, steps=20) == accuracy(R, F, steps=20)
    assert accuracy(R, F, steps=20) != accuracy(R, F, seed=1, steps=20)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_measured_is_said():
    with pytest.raises(DataError, match="at least 4 items of each set, not 3"):
        accuracy(R, F[:3])
    with pytest.raises(DataError, match="of one width"):
        accuracy(R, F[:, :3])
    with pytest.raises(DataError, match="NaN or infinite"):
        accuracy(R, F / 0)
