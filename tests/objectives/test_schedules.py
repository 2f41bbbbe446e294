"""Schedules always arrive, whatever the number of steps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diptych.objectives import linear_decay, linear_warmup

FRACTIONS = st.floats(0, 1, exclude_max=True)


@given(steps=st.integers(1, 5000), fraction=FRACTIONS)
@settings(max_examples=100, deadline=None)
def test_warmup_is_exactly_one_from_its_fraction_on_and_never_more(steps, fraction):
    for step in range(0, steps, max(1, steps // 50)):
        progress = step / steps
        weight = linear_warmup(progress, fraction)
        assert 0.0 <= weight <= 1.0
        if progress >= fraction:
            assert weight == 1.0
        else:
            assert weight == pytest.approx(progress / fraction)
    assert linear_warmup(1.0, fraction) == 1.0


@given(a=st.floats(0, 1), b=st.floats(0, 1), fraction=FRACTIONS)
@settings(max_examples=100, deadline=None)
def test_schedules_are_monotone(a, b, fraction):
    early, late = sorted((a, b))
    assert linear_warmup(early, fraction) <= linear_warmup(late, fraction)
    assert linear_decay(early, fraction) >= linear_decay(late, fraction)


@given(progress=st.floats(0, 1), start=FRACTIONS)
@settings(max_examples=100, deadline=None)
def test_decay_holds_until_its_start_and_ends_at_zero(progress, start):
    assert 0.0 <= linear_decay(progress, start) <= 1.0
    assert linear_decay(start, start) == 1.0
    assert linear_decay(1.0, start) == 0.0
    assert linear_decay(progress, 1.0) == 1.0
    assert linear_decay((start + 1) / 2, start) == pytest.approx(0.5, abs=1e-6) or start > 0.99


def test_without_warmup_the_weight_is_one_at_once():
    assert linear_warmup(0.0, 0.0) == 1.0
