import math

import pytest
import torch
from golden_vector import R, T

from diptych.errors import DataError
from diptych.evaluation.collapse import birthday
from diptych.evaluation.collapse.birthday import (
    collision_chance,
    even_batch,
    near_duplicate_distance,
    near_pairs,
    support_size,
)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def sample(support, n, generator, jitter=0.0):
    """n draws from a generator that knows `support` different points of 16 dimensions."""
    known = 10 * torch.randn(support, 16, generator=stream(99), dtype=torch.float64)
    rows = torch.randint(support, (n,), generator=generator)
    return known[rows] + jitter * torch.randn(n, 16, generator=generator, dtype=torch.float64)


def test_birthdays():
    assert collision_chance(22, 365) < 0.5 < collision_chance(23, 365)
    assert collision_chance(23, 365) == pytest.approx(0.5072972343, abs=1e-9)
    assert round(even_batch(365)) == 22
    assert (collision_chance(1, 5), collision_chance(6, 5)) == (0, 1)


@pytest.mark.parametrize(("support", "batch"), [(1_000, 37), (10_000, 118), (100_000, 372)])
def test_known_batches_for_even_odds(support, batch):
    assert round(even_batch(support)) == batch
    assert collision_chance(batch, support) == pytest.approx(0.5, abs=0.02)
    assert batch**2 / (2 * math.log(2)) == pytest.approx(support, rel=0.02)


def test_even_odds_by_simulation():
    generator = stream()
    hits = [near_pairs(sample(1000, 37, generator, 0.01), 0.5).pairs > 0 for _ in range(400)]
    assert sum(hits) / 400 == pytest.approx(collision_chance(37, 1000), abs=0.06)


@pytest.mark.parametrize("support", [50, 1_000])
def test_a_finite_support_is_recovered_and_its_interval_holds_it(support):
    generator = stream(1)
    estimates = [
        support_size(near_pairs(sample(support, 800, generator, 0.01), 0.5)) for _ in range(40)
    ]
    pairs = sum(1 / estimate.value for estimate in estimates) / 40
    assert pairs == pytest.approx(1 / support, rel=0.05)
    held = sum(estimate.low <= support <= estimate.high for estimate in estimates)
    assert held >= 35
    assert all(estimate.trusted for estimate in estimates)


def test_uneven_shares_give_the_effective_support_and_a_wider_interval():
    generator = stream(2)
    shares = torch.cat([torch.full((10,), 0.05), torch.full((5000,), 0.5 / 5000)]).double()
    effective = 1 / float(shares.square().sum())
    estimates = []
    for _ in range(40):
        rows = torch.multinomial(shares, 800, replacement=True, generator=generator)
        estimates.append(support_size(near_pairs(rows.double()[:, None], 0.5)))
    assert sum(1 / e.value for e in estimates) / 40 == pytest.approx(1 / effective, rel=0.05)
    assert sum(e.low <= effective <= e.high for e in estimates) >= 35
    pairs = 800 * 799 / 2 / effective
    assert estimates[0].high / estimates[0].low > math.exp(2 * 1.96 / math.sqrt(pairs)) * 1.1


def test_pairs_are_exact_whatever_the_offset_and_the_blocks(monkeypatch):
    items = torch.cat([R[:300], R[:40]]) + 1e4
    exact = torch.pdist(items)
    distance = float(exact.sort().values[500])
    monkeypatch.setattr(birthday, "BLOCK", 64)
    found = near_pairs(items, distance)
    assert (found.pairs, found.total) == (int((exact <= distance * (1 + 1e-12)).sum()), len(exact))
    assert near_pairs(items, 0.0).pairs == 40
    assert near_pairs(items, 0.0).per_item.sum() == 80


def test_the_distance_is_a_quantile_of_nearest_neighbours():
    nearest = torch.cdist(R, R).fill_diagonal_(torch.inf).min(1).values.sort().values
    assert near_duplicate_distance(R) == pytest.approx(float(nearest[49]), rel=1e-9)
    assert near_duplicate_distance(R, quantile=1e-9) == pytest.approx(float(nearest[0]), rel=1e-9)
    involved = int((near_pairs(R, near_duplicate_distance(R)).per_item > 0).sum())
    assert 50 <= involved <= 52  # the two of a pair share their distance


def test_collapse_lowers_the_support_below_that_of_unseen_real_items():
    distance = near_duplicate_distance(R)
    collapsed = T[torch.randint(100, (1000,), generator=stream())]
    unseen = support_size(near_pairs(T, distance))
    found = support_size(near_pairs(collapsed, distance))
    assert found.value == pytest.approx(100, rel=0.15)
    assert found.high < unseen.low


def test_no_pair_is_a_lower_bound_and_not_trusted():
    estimate = support_size(near_pairs(R, 0.0))
    assert estimate.value == pytest.approx(499_500 / math.log(20))
    assert not estimate.trusted
    assert "at least 166,737 items" in estimate.note
    # With that many equally likely things, no pair in 20 times is what one would see.
    assert collision_chance(1000, estimate.value) == pytest.approx(0.95, abs=1e-3)


def test_one_item_over_and_over_is_a_support_of_one():
    estimate = support_size(near_pairs(torch.ones(50, 3), 0.0))
    assert (estimate.value, estimate.low) == (1, 1)


def test_poisson_interval_agrees_with_chi_square_quantiles():
    stats = pytest.importorskip("scipy.stats")
    for count in (1, 7, 300):
        low, high = birthday._poisson_interval(count)
        assert low == pytest.approx(stats.chi2.ppf(0.025, 2 * count) / 2, rel=1e-8)
        assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * count + 2) / 2, rel=1e-8)


@pytest.mark.parametrize(
    ("items", "sentence"),
    [(torch.zeros(1, 3), "two items"), (torch.full((4, 2), torch.nan), "NaN")],
)
def test_what_has_no_pairs_is_said(items, sentence):
    with pytest.raises(DataError, match=sentence):
        near_pairs(items, 1.0)
    with pytest.raises(DataError, match=sentence):
        near_duplicate_distance(items)
