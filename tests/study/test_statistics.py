"""Intervals over seeds: agreement with SciPy, laws, and coverage by simulation."""

import itertools
import math
import random

import pytest
from scipy import special, stats

from diptych.evaluation.copies.intervals import wilson
from diptych.study.statistics import (
    NORMAL,
    Reading,
    Sample,
    seeds_to_settle,
    share_limit,
    student_cdf,
    student_quantile,
    welch,
)

FIRST, SECOND = (3.1, 2.7, 3.6), (4.4, 5.0, 4.1, 4.6)


def with_errors(values: tuple[float, ...], error: float, **more: object) -> Sample:
    readings = tuple(Reading(v, v - NORMAL * error, v + NORMAL * error) for v in values)
    return Sample(readings, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("degrees", [1, 1.3, 2, 2.71, 4, 9.5, 40, 1e4])
def test_student_agrees_with_scipy(degrees: float) -> None:
    for probability in (0.025, 0.5, 0.6, 0.95, 0.975, 0.99167, 0.9995):
        expected = stats.t.ppf(probability, degrees)
        assert student_quantile(probability, degrees) == pytest.approx(expected, rel=1e-8)
    for t in (-40.0, -1.0, 0.0, 1e-6, 0.3, 2.0, 12.7, 1e4):
        expected = stats.t.cdf(t, degrees)
        assert student_cdf(t, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-14)


def test_a_quantile_of_nothing_is_refused() -> None:
    for probability, degrees in ((0.0, 3), (1.0, 3), (0.5, 0)):
        with pytest.raises(ValueError, match="no quantile"):
            student_quantile(probability, degrees)


@pytest.mark.parametrize("level", [0.95, 0.9833])
def test_welch_agrees_with_scipy_where_the_floor_does_not_bind(level: float) -> None:
    expected = stats.ttest_ind(FIRST, SECOND, equal_var=False).confidence_interval(level)
    difference = welch(Sample.of(FIRST), Sample.of(SECOND), level)
    assert (difference.low, difference.high) == pytest.approx((expected.low, expected.high))
    # Intervals of runs that are narrower than the spread between seeds change nothing.
    assert welch(with_errors(FIRST, 0.01), with_errors(SECOND, 0.01), level) == difference


def test_the_interval_of_a_mean_agrees_with_scipy() -> None:
    expected = stats.ttest_1samp(SECOND, 0.0).confidence_interval(0.95)
    assert Sample.of(SECOND).interval() == pytest.approx((expected.low, expected.high))


def test_hedges_g_by_its_definition() -> None:
    degrees = len(FIRST) + len(SECOND) - 2
    # The exact factor and its usual approximation 1 - 3 / (4m - 1).
    factor = special.gamma(degrees / 2) / (
        math.sqrt(degrees / 2) * special.gamma((degrees - 1) / 2)
    )
    assert factor == pytest.approx(1 - 3 / (4 * degrees - 1), abs=0.005)
    first, second = Sample.of(FIRST), Sample.of(SECOND)
    pooled = (2 * stats.tvar(FIRST) + 3 * stats.tvar(SECOND)) / 5
    expected = factor * (first.mean - second.mean) / math.sqrt(pooled)
    assert welch(first, second).effect == pytest.approx(expected)


def test_seeds_have_no_order() -> None:
    for order in itertools.permutations(SECOND):
        again = welch(Sample.of(FIRST), Sample.of(order))
        expected = welch(Sample.of(FIRST), Sample.of(SECOND))
        assert (again.low, again.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("scale", "shift"), [(1000.0, 0.0), (1e-6, 0.0), (-2.0, 7.0)])
@pytest.mark.parametrize("error", [0.01, 0.9])
def test_another_unit_tells_the_same(scale: float, shift: float, error: float) -> None:
    def moved(values: tuple[float, ...]) -> Sample:
        return with_errors(tuple(scale * v + shift for v in values), abs(scale) * error)

    plain = welch(with_errors(FIRST, error), with_errors(SECOND, error))
    other = welch(moved(FIRST), moved(SECOND))
    assert plain.low is not None
    assert plain.high is not None
    ends = sorted((scale * plain.low, scale * plain.high))
    assert (other.low, other.high) == pytest.approx(tuple(ends))
    assert plain.effect is not None
    assert other.effect == pytest.approx(math.copysign(1, scale) * plain.effect)


def test_swapping_recipes_turns_the_difference() -> None:
    one, other = (
        welch(Sample.of(FIRST), Sample.of(SECOND)),
        welch(Sample.of(SECOND), Sample.of(FIRST)),
    )
    assert one.low is not None
    assert (one.value, one.low) == pytest.approx((-other.value, -(other.high or 0)))


def test_seeds_that_agree_by_luck_do_not_make_a_narrow_interval() -> None:
    lucky = with_errors((2.0, 2.0, 2.0), 0.3)
    low, high = lucky.interval() or (0.0, 0.0)
    assert (high - low) / 2 == pytest.approx(student_quantile(0.975, 2) * 0.3 / math.sqrt(3))
    assert welch(lucky, with_errors((2.1, 2.1, 2.1), 0.3)).says(0.01) == "unclear"
    # Without any interval there is nothing to hold on to: the seeds are taken at their word.
    assert welch(Sample.of((2.0, 2.0)), Sample.of((2.1, 2.1))).says(0.01) == "apart"


def test_more_seeds_of_the_same_spread_tell_more() -> None:
    widths = []
    for times in (1, 2, 4, 8):
        low, high = Sample.of((1.0, 3.0) * times).interval() or (0.0, 0.0)
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] / 10


def test_an_error_that_all_runs_share_is_not_averaged_away() -> None:
    values = (6.30, 6.31, 6.29, 6.30, 6.30)
    low, high = with_errors(values, 0.2, shared=True).interval() or (0.0, 0.0)
    assert (high - low) / 2 == pytest.approx(max(NORMAL * 0.2, 2.776 * 0.2 / math.sqrt(5)))
    alone = with_errors(values, 0.2).interval() or (0.0, 0.0)
    assert alone[1] - alone[0] < high - low


def test_one_seed_has_its_own_interval_and_shows_no_likeness() -> None:
    one = Sample((Reading(2.4, 2.1, 2.75),))
    assert one.interval() == (2.1, 2.75)
    difference = welch(one, Sample((Reading(2.45, 2.3, 2.6),)))
    assert difference.lone
    assert difference.effect is None
    assert difference.says(10.0) == "unclear", "one seed cannot show that recipes are alike"
    # The interval leaves out zero just where the two intervals are apart.
    assert welch(one, Sample((Reading(3.0, 2.74, 3.2),))).says(0.1) == "unclear"
    assert welch(one, Sample((Reading(3.0, 2.76, 3.2),))).says(0.1) == "apart"
    assert welch(one, Sample.of((9.0,))).says(0.1) == "unclear", "no interval, nothing shown"


def test_alike_is_shown_by_an_interval_inside_the_band() -> None:
    first, second = Sample.of((2.00, 2.01, 1.99)), Sample.of((2.01, 2.02, 2.00))
    difference = welch(first, second)
    assert difference.low is not None
    widest = max(abs(difference.low), abs(difference.high or 0))
    assert difference.says(1.01 * widest) == "alike"
    assert difference.says(0.99 * widest) == "unclear"
    # A difference that is certain, and too small to be worth naming, is no lead.
    clear = welch(Sample.of((1.0, 1.001, 0.999)), Sample.of((1.1, 1.101, 1.099)))
    assert clear.says(0.2) == "alike"
    assert clear.says(0.05) == "apart"


def test_distances_to_a_target() -> None:
    sample = Sample((Reading(0.9, 0.8, 1.05), Reading(1.2, 1.1, 1.3)), target=1.0)
    assert sample.values == pytest.approx((0.1, 0.2))
    below = Sample((Reading(0.4, 0.3, 0.5),), target=1.0)
    assert below.interval() == pytest.approx((0.5, 0.7))
    across = Sample((Reading(0.9, 0.8, 1.05),), target=1.0)
    assert across.interval() == pytest.approx((0.0, 0.2))


def test_the_seeds_that_settle_it() -> None:
    first, second = Sample.of((2.0, 3.0, 2.5)), Sample.of((2.6, 3.4, 3.1))
    needed = seeds_to_settle(first, second)
    assert needed is not None
    both = (first.variance or 0) + (second.variance or 0)

    def half(seeds: int) -> float:
        return student_quantile(0.975, 2 * (seeds - 1)) * math.sqrt(both / seeds)

    assert half(needed) < second.mean - first.mean <= half(needed - 1)
    assert seeds_to_settle(first, Sample.of((2.51, 2.0, 3.0))) is None
    assert seeds_to_settle(first, Sample.of((9.0,))) is None


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("training", "measuring"), [(0.5, 0.2), (0.0, 0.4), (0.1, 0.4)])
def test_intervals_hold_the_truth_as_often_as_they_say(
    seeds: int, training: float, measuring: float
) -> None:
    rng = random.Random(seeds)
    studies = 1000

    def drawn() -> Sample:
        values = tuple(5 + rng.gauss(0, training) + rng.gauss(0, measuring) for _ in range(seeds))
        return with_errors(values, measuring)

    inside = apart = 0
    for _ in range(studies):
        one, other = drawn(), drawn()
        low, high = one.interval() or (0.0, 0.0)
        inside += low <= 5 <= high
        apart += welch(one, other).says(0.0) == "apart"
    # Three standard errors of a share of 95 % over 1000 studies are 2.1 %.
    assert inside / studies > 0.95 - 0.021
    assert apart / studies < 0.05 + 0.021


@pytest.mark.parametrize(("hits", "n"), [(0, 100), (1, 5000), (37, 200), (99, 100), (5, 5)])
def test_the_limit_of_a_share_is_the_one_that_figures_are_given(hits: int, n: int) -> None:
    assert share_limit(hits / n, n) == pytest.approx(wilson(hits, n)[1])
