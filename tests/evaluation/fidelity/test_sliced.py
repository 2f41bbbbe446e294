import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.fidelity.sliced import sliced_w2


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sliced(x, y, seed=0, **settings):
    return sliced_w2(x, y, generator=generator(seed), **settings)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def test_a_set_against_itself_in_another_order_is_zero():
    assert sliced(R, R[torch.randperm(1000, generator=generator())]).value == 0


def test_a_shift_of_the_same_items_is_its_square_per_dimension():
    # On a line θ every gap is θ·δ, and the mean of (θ·δ)² over directions is |δ|²/D.
    delta = torch.linspace(0, 1, 64).double()
    estimate = sliced(R, R + delta, directions=2000)
    assert estimate.value == pytest.approx(float(delta.square().sum()) / 64, rel=0.06)


def test_shifted_isotropic_gaussians():
    assert sliced(randn(4000, 16), randn(4000, 16, seed=1) + 0.5).value == pytest.approx(
        0.25, rel=0.1
    )


def test_scaled_isotropic_gaussians():
    # W₂ between N(0, 1) and N(0, 4) on every line is 1.
    assert sliced(randn(4000, 8), 2 * randn(4000, 8, seed=1)).value == pytest.approx(1, rel=0.06)


def test_in_one_dimension_it_is_the_gap_between_sorted_values():
    x, y = F[:50, :1], R[:50, :1]
    expected = (x.sort(0).values - y.sort(0).values).square().mean()
    assert sliced(x, y).value == pytest.approx(float(expected), rel=1e-5)


def test_unequal_sizes_use_quantile_functions():
    x, y = F[:60, :1], R[:20, :1]
    each_three_times = y.repeat_interleave(3, 0)
    assert sliced(x, y).value == pytest.approx(sliced(x, each_three_times).value, rel=1e-5)
    assert sliced(F, R[:700]).value == pytest.approx(sliced(F, R).value, rel=0.1)


def test_symmetric_and_common_shift_changes_nothing():
    assert sliced(F, R).value == pytest.approx(sliced(R, F).value, rel=1e-5)
    assert sliced(F + 100, R + 100).value == pytest.approx(sliced(F, R).value, rel=1e-4)


def test_interval_is_as_wide_as_repeated_draws_are_apart():
    estimates = [
        sliced(randn(150, 6, seed=i), randn(250, 6, seed=i + 999) * 1.5 + 0.3, directions=60)
        for i in range(150)
    ]
    spread = float(torch.tensor([estimate.value for estimate in estimates]).std())
    errors = torch.tensor([(estimate.high - estimate.value) / 1.96 for estimate in estimates])
    assert float(errors.mean()) == pytest.approx(spread, rel=0.2)


def test_it_sees_what_mean_and_covariance_do_not():
    signs = randn(4000, 1).sign()
    assert (
        sliced(randn(4000, 1, seed=1), signs).value
        > 20 * sliced(randn(4000, 1), randn(4000, 1, seed=1)).value
    )


def test_the_generator_decides_and_nothing_else_is_touched():
    before = torch.get_rng_state()
    assert sliced(R, T) == sliced(R, T)
    assert sliced(R, T) != sliced(R, T, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_measured_is_said():
    with pytest.raises(DataError, match="of one width"):
        sliced(R, F[:, :3])
    with pytest.raises(DataError, match="at least 2 items"):
        sliced(R, F[:1])
    with pytest.raises(DataError, match="NaN or infinite"):
        sliced(R, F / 0)
