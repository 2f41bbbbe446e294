"""Small instruments: intervals of shares, coverage by class, the IS-like score."""

import math

import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.fidelity.classes import class_coverage
from diptych.evaluation.fidelity.inception_score_like import inception_score_like
from diptych.evaluation.fidelity.intervals import mean_estimate, share_estimate


def test_wilson_interval_in_closed_form():
    # Ends solve (p − share)² = z² p (1 − p) / n.
    which = torch.arange(50) < 10
    estimate = share_estimate(which, "given the balls")
    z2 = 1.959963984540054**2
    for end in (estimate.low, estimate.high):
        assert (end - 0.2) ** 2 == pytest.approx(z2 * end * (1 - end) / 50, rel=1e-9)
    assert estimate.interval == "Wilson given the balls"


def test_wilson_interval_holds_the_share_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(1000):
        estimate = share_estimate(torch.rand(60, generator=generator) < 0.07)
        held += estimate.low <= 0.07 <= estimate.high
    assert 925 <= held <= 985


@pytest.mark.parametrize("n", [1, 7, 1000])
def test_shares_of_nothing_and_of_all_stay_within_bounds(n):
    none, every = share_estimate(torch.zeros(n) > 0), share_estimate(torch.zeros(n) == 0)
    assert (none.value, none.low) == (0, 0)
    assert (every.value, every.high) == (1, 1)
    assert 0 < none.high < 1
    assert 0 < every.low < 1


def test_mean_has_its_standard_error():
    estimate = mean_estimate(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert estimate.value == 3
    assert (estimate.high - 3) / 1.959964 == pytest.approx((14 / 3) ** 0.5 / 2, rel=1e-6)


def test_coverage_by_class_finds_the_dropped_one():
    labels = torch.tensor([0] * 50 + [4] * 50 + [7] * 50)
    covered = torch.tensor([True] * 50 + [False] * 40 + [True] * 10 + [True] * 45 + [False] * 5)
    result = class_coverage(covered, labels)
    assert {label: one.value for label, one in result.by_class.items()} == {0: 1, 4: 0.2, 7: 0.9}
    assert result.worst.value == 0.2
    assert result.worst.note == "Class 4 of 3, 50 real items."
    assert result.worst.trusted


def test_a_class_of_few_items_is_not_trusted():
    result = class_coverage(
        torch.tensor([True] * 40 + [False] * 3), torch.tensor([1] * 40 + [2] * 3)
    )
    assert not result.worst.trusted
    assert "too few" in result.worst.note


def test_labels_must_fit():
    with pytest.raises(DataError, match="one label for each of 5"):
        class_coverage(torch.ones(5) > 0, torch.zeros(4).long())


def test_is_like_of_sure_and_balanced_classes_is_their_number():
    sure = torch.eye(10).repeat(100, 1) * 1e3
    assert inception_score_like(sure).value == pytest.approx(10)
    assert inception_score_like(sure[:, [0] * 10]).value == pytest.approx(1)
    assert inception_score_like(torch.zeros(50, 10)).value == pytest.approx(1)


def test_is_like_of_two_kinds_in_closed_form():
    # p(c|x) is (0.9, 0.1) for half of the items and the reverse for the others.
    one = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64).log().repeat(30, 1)
    divergence = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    assert inception_score_like(one).value == pytest.approx(math.exp(divergence), rel=1e-12)


def test_is_like_interval_is_as_wide_as_repeated_draws_are_apart():
    estimates = [
        inception_score_like(torch.randn(400, 5, generator=torch.Generator().manual_seed(i)) * 2)
        for i in range(200)
    ]
    spread = float(torch.tensor([estimate.value for estimate in estimates]).std())
    errors = torch.tensor([(estimate.high - estimate.low) / 3.92 for estimate in estimates])
    assert float(errors.mean()) == pytest.approx(spread, rel=0.2)


def test_is_like_says_what_it_is_not():
    assert "Not the Inception Score" in inception_score_like(torch.zeros(9, 3)).note
    assert not inception_score_like(torch.zeros(4999, 3)).trusted
    assert inception_score_like(torch.zeros(5000, 3)).trusted
    with pytest.raises(DataError, match=r"\(N, C\)"):
        inception_score_like(torch.zeros(9))
    with pytest.raises(DataError, match="NaN or infinite"):
        inception_score_like(torch.full((9, 3), torch.nan))
