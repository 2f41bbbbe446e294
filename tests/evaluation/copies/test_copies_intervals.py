import math

import pytest
import torch
from scipy import stats

from diptych.errors import DataError
from diptych.evaluation.copies.intervals import median, share
from diptych.evaluation.copies.roc import area_under_roc, true_positive_rate


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (20, 20), (3, 1000), (1, 1), (37, 50)])
def test_wilson_is_that_of_scipy(hits, n):
    estimate = share(torch.arange(n) < hits, scale=100)
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert estimate.value == pytest.approx(100 * hits / n)
    assert (estimate.low, estimate.high) == pytest.approx(
        (100 * expected.low, 100 * expected.high), abs=1e-9
    )


def test_the_median_lies_in_its_interval_as_often_as_it_says():
    draws = torch.rand(800, 60, generator=seeded(), dtype=torch.float64).square()
    held = 0
    for values in draws:
        found = median(values)
        assert found.value == pytest.approx(float(values.quantile(0.5)))
        held += found.low <= 0.25 <= found.high
    assert 0.93 < held / 800 < 0.985  # order statistics err towards more


def test_a_median_of_few_or_infinite_values_has_no_interval():
    assert median(torch.tensor([1.0, 3.0])) == median(torch.tensor([3.0, 1.0]))
    assert median(torch.tensor([1.0, 3.0])).low is None
    assert median(torch.tensor([1.0] * 6 + [torch.inf] * 5)).low is None


def test_auc_counts_pairs():
    positives = torch.tensor([1.0, 2, 3, 3, 5])
    negatives = torch.tensor([0.0, 2, 3, 7])
    above = (positives[:, None] > negatives).double()
    ties = (positives[:, None] == negatives).double()
    expected = float((above + ties / 2).mean())
    assert area_under_roc(positives, negatives).value == pytest.approx(expected)
    assert area_under_roc(negatives, positives).value == pytest.approx(1 - expected)


def test_auc_is_the_mann_whitney_statistic_of_scipy():
    x = torch.randn(80, generator=seeded()).round(decimals=1)
    y = torch.randn(50, generator=seeded(1)).round(decimals=1) + 0.3
    u = stats.mannwhitneyu(x.numpy(), y.numpy()).statistic
    assert area_under_roc(x, y).value == pytest.approx(u / (80 * 50))


def test_the_variance_is_the_jackknife_up_to_its_order():
    # DeLong's components are the influence of each item, so leaving items out must agree.
    x, y = torch.randn(300, generator=seeded()) * 0.2, torch.randn(80, generator=seeded(1))
    found = area_under_roc(x, y)

    def without(x, y):
        n = len(x)
        parts = torch.tensor(
            [area_under_roc(torch.cat([x[:i], x[i + 1 :]]), y).value for i in range(n)]
        ).double()
        return (n - 1) * float(parts.var(correction=0))

    error = math.sqrt(without(x, y) + without(-y, -x))
    a = found.value
    half = (math.log(found.high / (1 - found.high)) - math.log(found.low / (1 - found.low))) / 2
    assert half * a * (1 - a) / 1.96 == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize(("shift", "n"), [(0.0, 40), (1.5, 40), (3.0, 25)])
def test_the_auc_lies_in_its_interval_as_often_as_it_says(shift, n):
    truth = stats.norm.cdf(shift / math.sqrt(2))
    held = 0
    for seed in range(300):
        x, y = torch.randn(2, n, generator=seeded(seed), dtype=torch.float64)
        found = area_under_roc(x + shift, y)
        held += found.low <= truth <= found.high
    assert 0.915 < held / 300 < 0.99


def test_a_perfect_separation_still_has_an_interval():
    found = area_under_roc(torch.arange(10.0) + 100, torch.arange(20.0))
    assert (found.value, found.high) == (1, 1)
    assert found.interval == "Newcombe's method 5"
    # (1 − θ)² = z² V(θ), with V of Hanley and McNeil's form at n* = 14.
    theta = found.low
    shape = 1 + 14 * (1 - theta) / (2 - theta) + 14 * theta / (1 + theta)
    assert (1 - theta) ** 2 == pytest.approx(
        1.959964**2 * theta * (1 - theta) * shape / 200, rel=1e-5
    )
    back = area_under_roc(torch.arange(20.0), torch.arange(10.0) + 100)
    assert (back.low, back.high) == pytest.approx((0, 1 - theta))


def test_equal_scores_tell_nothing():
    found = area_under_roc(torch.ones(30), torch.ones(30))
    assert found.value == 0.5
    assert found.low < 0.5 < found.high


def test_true_positive_rate_by_hand():
    negatives = torch.arange(1000.0)  # ten may pass: the threshold is 989
    positives = torch.tensor([0.0, 989, 989.5, 2000])
    found = true_positive_rate(positives, negatives, generator=seeded())
    assert found.value == 0.5
    assert found.trusted


def test_no_more_negatives_pass_than_allowed():
    x = torch.randn(1000, generator=seeded())
    found = true_positive_rate(x, x, generator=seeded())
    assert found.value == 0.01
    assert found.low < 0.01 < found.high
    assert true_positive_rate(x + 100, x, generator=seeded()).value == 1
    assert true_positive_rate(torch.ones(9), torch.ones(600), generator=seeded()).value == 0


def test_few_negatives_set_no_threshold():
    found = true_positive_rate(torch.ones(99), torch.zeros(99), generator=seeded())
    assert found.value == 1
    assert not found.trusted
    assert "Only 0 of 99" in found.note


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [(torch.ones(0), "with items"), (torch.ones(2, 2), "vector"), (torch.ones(2) / 0, "NaN")],
)
def test_scores_that_are_none(scores, sentence):
    with pytest.raises(DataError, match=sentence):
        area_under_roc(torch.ones(3), scores)
