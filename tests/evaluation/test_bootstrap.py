import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation import bootstrap
from diptych.evaluation.bootstrap import bootstrap_interval, resampled_mean


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def interval(values, seed=0):
    return bootstrap_interval(
        lambda rows: values[rows[0]].mean(1), [len(values)], generator=generator(seed)
    )


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    values = torch.randn(400, generator=generator(), dtype=torch.float64)
    low, high = interval(values)
    reach = 1.96 * float(values.std(correction=0)) / 20
    assert low == pytest.approx(float(values.mean()) - reach, abs=0.15 * reach)
    assert high == pytest.approx(float(values.mean()) + reach, abs=0.15 * reach)


def test_it_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(200):
        low, high = interval(torch.randn(40, generator=generator(seed)), seed)
        held += low < 0 < high
    assert 180 <= held <= 199  # 190 expected, less a little for N = 40


def test_sets_are_drawn_independently():
    values = torch.randn(100, generator=generator(), dtype=torch.float64)
    low, high = bootstrap_interval(
        lambda rows: values[rows[0]].mean(1) - values[rows[1]].mean(1),
        [100, 100],
        generator=generator(),
    )
    assert low < 0 < high
    one_low, one_high = interval(values)
    assert (high - low) == pytest.approx(2**0.5 * (one_high - one_low), rel=0.1)


def test_resampled_means_are_means_of_what_was_drawn():
    values = torch.randn(30, 4, generator=generator(), dtype=torch.float64)
    rows = torch.randint(30, (7, 30), generator=generator())
    torch.testing.assert_close(resampled_mean(values, rows), values[rows].mean(1))


def test_blocks_change_only_the_order_of_draws(monkeypatch):
    values = torch.randn(50, generator=generator(), dtype=torch.float64)
    whole = interval(values)
    monkeypatch.setattr(bootstrap, "INDICES", 120)
    assert interval(values) == pytest.approx(whole, abs=1e-12)


def test_what_gives_no_number_is_said():
    with pytest.raises(DataError, match="gave no number"):
        interval(torch.full((5,), torch.nan))
    with pytest.raises(DataError, match="at least one item"):
        interval(torch.zeros(0))
