"""The one machinery under kernels and neighbours: equal to the plain form in every precision."""

import pytest
import torch
from golden_vector import F, R

from diptych.evaluation.fidelity import pairs
from diptych.evaluation.fidelity.kernels import kid, rbf_mmd
from diptych.evaluation.fidelity.neighbours import (
    density_coverage,
    precision_recall,
    squared_radii,
)
from diptych.evaluation.fidelity.pairs import prepare, squared_distances, sweep


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def single(monkeypatch):
    """Products in single precision, whatever the size."""
    monkeypatch.setattr(pairs, "EXACT_WORK", 0)


def test_tiles_hold_the_inner_products_and_distances_of_the_items_as_given(monkeypatch):
    monkeypatch.setattr(pairs, "TILE", 64)
    x, y = prepare(R[:150] + 3, F[:100] + 3)
    inner, squared = torch.zeros(150, 100).double(), torch.zeros(150, 100).double()

    def listen(tile):
        inner[tile.rows, tile.columns] = tile.inner
        squared[tile.rows, tile.columns] = tile.squared

    sweep(x, y, [listen])
    torch.testing.assert_close(inner, (R[:150] + 3) @ (F[:100] + 3).T)
    torch.testing.assert_close(squared, torch.cdist(R[:150], F[:100]) ** 2)


def test_a_sweep_within_a_set_shows_every_pair_once(monkeypatch):
    monkeypatch.setattr(pairs, "TILE", 64)
    (x,) = prepare(R[:150])
    seen = torch.zeros(150, 150)

    def listen(tile):
        assert tile.diagonal != tile.mirrored
        seen[tile.rows, tile.columns] += 1
        if tile.mirrored:
            seen[tile.columns, tile.rows] += 1

    sweep(x, None, [listen])
    assert bool((seen == 1).all())


def test_error_of_single_precision_stays_far_below_its_bound(single):
    x, y = prepare(randn(400, 2048) + 5, randn(400, 2048, seed=1) + 5)
    worst = []

    def listen(tile):
        exact = torch.cdist(x.items, y.items, compute_mode="donot_use_mm_for_euclid_dist") ** 2
        sums = x.squares[:, None] + y.squares
        worst.append(float(((tile.squared - exact).abs() / sums).max()) / x.rounding)

    sweep(x, y, [listen])
    assert 0 < worst[0] < 0.25


def test_equal_rows_are_exactly_apart_by_zero_and_share_a_number():
    x, y = prepare(torch.cat([R[:3], -torch.zeros(1, 64)]), torch.cat([torch.zeros(1, 64), R[:1]]))
    assert x.identity[0] == y.identity[1]
    assert x.identity[3] == y.identity[0]  # -0 is 0
    assert len({*x.identity.tolist()}) == 4
    i, j = torch.tensor([0, 3, 1]), torch.tensor([1, 0, 1])
    distances = squared_distances(x, i, y, j)
    assert distances[:2].tolist() == [0, 0]
    assert float(distances[2]) == pytest.approx(float((R[1] - R[0]).square().sum()), rel=1e-12)


def scenes():
    noise = randn(300, 32, seed=5)
    centres = randn(6, 32, seed=6) * 100
    clusters = centres[torch.arange(300) % 6]
    return {
        "plain": (randn(300, 32), randn(250, 32, seed=1) * 1.1),
        "offset by 100": (randn(300, 32) + 100, randn(250, 32, seed=1) + 100),
        "tight clusters far apart": (
            clusters + noise * 1e-3,
            clusters.flip(0) + noise.flip(0) * 1e-3,
        ),
        "a collapsed set": (randn(300, 32), randn(1, 32) + noise * 1e-7),
        "exact duplicates": (randn(40, 32).repeat(8, 1), randn(50, 32).repeat(5, 1)),
        "a copy": (noise, noise.clone()),
        "a grid with ties everywhere": (
            torch.randint(0, 3, (300, 4), generator=torch.Generator().manual_seed(0)).double(),
            torch.randint(0, 3, (200, 4), generator=torch.Generator().manual_seed(1)).double(),
        ),
    }


@pytest.mark.parametrize("scene", scenes())
def test_counts_do_not_depend_on_the_precision_of_the_products(scene, monkeypatch):
    real, fake = scenes()[scene]

    def naive(k):
        def squares(a, b):
            return (a[:, None] - b).square().sum(2)

        def radius(a):
            return squares(a, a).sort(1).values[:, k, None]

        between = squares(real, fake)
        inside = between < radius(real)
        return [
            float(part.double().mean())
            for part in (
                (between <= radius(real)).any(0),
                (between <= radius(fake).T).any(1),
                inside.sum(0).double() / k,
                inside.any(1),
            )
        ]

    precision, recall, _, _ = naive(3)
    _, _, density, coverage = naive(5)
    for limit in (0, 1e10):
        monkeypatch.setattr(pairs, "EXACT_WORK", limit)
        pr, dc = precision_recall(real, fake), density_coverage(real, fake)
        assert (pr.precision, pr.recall) == pytest.approx((precision, recall), abs=1e-12)
        assert (dc.density, dc.coverage) == pytest.approx((density, coverage), abs=1e-12)


def test_radii_in_single_precision_have_double_digits(single):
    items = randn(300, 256) + 50
    exact = torch.cdist(items, items, compute_mode="donot_use_mm_for_euclid_dist").sort(1).values
    torch.testing.assert_close(squared_radii(items, 5), exact[:, 5] ** 2, rtol=1e-11, atol=0)


def test_kernel_distances_in_single_precision_agree_with_double(monkeypatch):
    double = kid(R, F), rbf_mmd(R, F)
    monkeypatch.setattr(pairs, "EXACT_WORK", 0)
    for one, two in zip(double, (kid(R, F), rbf_mmd(R, F)), strict=True):
        assert two.value == pytest.approx(one.value, abs=2e-7)
        assert two.high - two.low == pytest.approx(one.high - one.low, rel=1e-4)
