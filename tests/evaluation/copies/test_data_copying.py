import numpy as np
import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.clustering import k_means
from diptych.evaluation.copies.data_copying import (
    copying_by_cells,
    copying_z,
    z_of_distances,
)

G = torch.from_numpy(np.random.RandomState(3).randn(1000, 64))
NOISE = torch.from_numpy(np.random.RandomState(4).randn(1000, 64))


def cells_of(train, k, seed=0):
    return k_means(train, k, generator=torch.Generator().manual_seed(seed)).centers


def test_golden_fresh_items():
    assert copying_z(G, T, R).value == pytest.approx(-0.712, abs=1e-3)


def test_golden_items_that_lie_away():
    assert copying_z(F, T, R).value == pytest.approx(21.68, abs=5e-3)


def test_golden_copies():
    # No copy is as far as any test item, so U = 0 whatever the noise: −√(3nm/(n+m+1)).
    assert copying_z(R + 1e-2 * NOISE, T, R).value == pytest.approx(-38.72, abs=5e-3)
    assert copying_z(R, T, R).value == pytest.approx(-((3 * 1e6 / 2001) ** 0.5), abs=1e-9)


def test_without_copying_it_is_standard_normal():
    # The training set is the same in every draw; given it, distances are independent.
    generator = torch.Generator().manual_seed(0)
    train = torch.randn(200, 3, generator=generator)
    z = torch.tensor(
        [copying_z(*torch.randn(2, 100, 3, generator=generator), train).value for _ in range(300)]
    )
    assert abs(float(z.mean())) < 4 / 300**0.5
    assert 0.85 < float(z.std()) < 1.15


def test_the_interval_holds_as_often_as_it_says():
    generator = torch.Generator().manual_seed(1)
    many = 40_000
    held = 0
    d = torch.rand(many, generator=generator) ** 0.5
    e = torch.rand(many, generator=generator)
    share = 2 / 3  # P(√u > v) for uniform u, v
    per_area = (12 * 100 * 100 / 201) ** 0.5
    truth = (share - 0.5) * per_area
    for i in range(400):
        part = slice(100 * i, 100 * i + 100)
        found = z_of_distances(d[part], e[part])
        held += found.low <= truth <= found.high
    assert 0.92 < held / 400 < 0.98


def test_golden_is_invariant():
    expected = copying_z(F, T, R).value
    rotation = torch.linalg.qr(R[:64]).Q
    shuffled = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    assert copying_z(F + 100, T + 100, R + 100).value == pytest.approx(expected, abs=1e-9)
    assert copying_z(F @ rotation, T @ rotation, R @ rotation).value == pytest.approx(expected)
    assert copying_z(F[shuffled], T, R[shuffled]).value == expected
    offset = [(x + 1000).float() for x in (F, T, R)]
    assert copying_z(*offset).value == pytest.approx(expected, abs=0.2)


def test_equal_distances_are_no_evidence():
    same = torch.ones(30, 4)
    found = copying_z(same, same, same)
    assert found.value == 0
    assert found.low < 0 < found.high


def test_few_items_are_not_trusted():
    found = copying_z(R[:1], T[:1], R)
    assert found.low <= found.value <= found.high
    assert not found.trusted


def test_one_cell_is_the_whole_space():
    found = copying_by_cells(F, T, R, cells_of(R, 1))
    whole = copying_z(F, T, R)
    assert found.estimate.value == pytest.approx(whole.value)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((whole.low, whole.high))
    assert (found.used, found.left_out, found.null_spread) == (1, 0, 1)


def test_cells_by_hand():
    centers = torch.tensor([[0.0], [100.0]])
    train = torch.tensor([[0.0], [100.0]])
    # Near 0 every generated item is a copy; near 100 every one is farther than the real ones.
    held_out = torch.tensor([[1.0]] * 30 + [[101.0]] * 10)
    fake = torch.tensor([[0.0]] * 20 + [[103.0]] * 20)
    found = copying_by_cells(fake, held_out, train, centers, fewest=10)

    def extreme(m, n):
        return (3 * n * m / (n + m + 1)) ** 0.5

    expected = 0.75 * -extreme(20, 30) + 0.25 * extreme(20, 10)
    assert found.estimate.value == pytest.approx(expected)
    assert found.used == 2
    assert found.null_spread == pytest.approx((0.75**2 + 0.25**2) ** 0.5)
    assert found.estimate.low < expected < found.estimate.high


def test_distances_stay_within_the_cell():
    # The held-out items of the first cell are 1 from a training item of the second, 4 from their
    # own; generated ones are 3 from their own and 2 from that of the second.
    centers = torch.tensor([[0.0], [9.9]])
    train = torch.tensor([[0.0], [5.0], [10.0]])
    held_out, fake = torch.full((30, 1), 4.0), torch.full((30, 1), 3.0)
    found = copying_by_cells(fake, held_out, train, centers)
    assert found.used == 1
    assert found.estimate.value < -6
    assert copying_z(fake, held_out, train).value > 6


def test_a_copied_mode_hides_behind_a_bad_one_but_not_from_its_cell():
    generator = torch.Generator().manual_seed(0)

    def two(width):
        x = torch.randn(400, 2, generator=generator)
        x[200:] = x[200:] * width + 50
        return x

    train, held_out, fake = two(1), two(1), two(4)
    fake[:60] = train[:60] + 1e-3
    cells = torch.tensor([[0.0, 0.0], [50.0, 50.0]])
    assert copying_z(fake, held_out, train).low > 0
    assert copying_by_cells(fake, held_out, train, cells).used == 2
    copied = copying_by_cells(fake[:200], held_out[:200], train[:200], cells)
    assert copied.used == 1
    assert copied.estimate.high < 0


def test_cells_with_few_items_are_left_out_and_counted():
    centers = torch.tensor([[0.0], [100.0], [200.0]])
    train = torch.tensor([[0.0], [1.0], [100.0]])  # none in the third
    held_out = torch.cat([torch.rand(90, 1), torch.rand(5, 1) + 100, torch.rand(5, 1) + 200])
    fake = torch.cat([torch.rand(50, 1), torch.rand(50, 1) + 200])
    found = copying_by_cells(fake, held_out, train, centers)
    assert (found.cells, found.used) == (3, 1)
    assert found.left_out == pytest.approx(0.1)
    assert found.estimate.trusted
    assert "1 of 3" in found.estimate.note


def test_no_cell_with_enough_items_is_no_traceback():
    found = copying_by_cells(F[:10], T[:10], R, cells_of(R, 5))
    assert (found.estimate.value, found.used, found.left_out) == (0, 0, 1)
    assert not found.estimate.trusted


def test_most_items_left_out_is_not_trusted():
    centers = torch.tensor([[0.0], [100.0]])
    held_out = torch.cat([torch.rand(20, 1), torch.rand(60, 1) + 100])
    fake = torch.rand(80, 1)
    found = copying_by_cells(fake, held_out, held_out + 0.01, centers)
    assert not found.estimate.trusted
    assert "75%" in found.estimate.note


@pytest.mark.parametrize(
    ("fake", "sentence"), [(F[:, :2], "of one D"), (F[:0], "without items"), (F / 0, "NaN")]
)
def test_what_cannot_be_tested_is_said(fake, sentence):
    with pytest.raises(DataError, match=sentence):
        copying_z(fake, T, R)
    with pytest.raises(DataError, match=sentence):
        copying_by_cells(fake, T, R, R[:3])
