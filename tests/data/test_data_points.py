"""Point sets: the two mixtures against their own truth, and tables of the person's own."""

import numpy as np
import pytest

from diptych.data import describe, grid, load_data, ring
from diptych.errors import DataError


@pytest.mark.parametrize(("name", "components", "sigma"), [("ring", 8, 0.01), ("grid", 25, 0.05)])
def test_points_follow_their_truth(name, components, sigma):
    data = load_data(name, num_points=50_000)
    assert data.array.shape == (50_000, 2)
    assert data.array.dtype == np.float32
    assert data.shape == (2,)
    assert data.num_classes == components
    assert data.truth.sigma == sigma
    offset = data.array - data.truth.centers[data.labels]
    # Each bound is five standard errors of its statistic.
    assert np.abs(offset.mean(axis=0)).max() < 5 * sigma / np.sqrt(50_000)
    assert abs(offset.std() / sigma - 1) < 5 / np.sqrt(2 * 100_000)
    counts = np.bincount(data.labels, minlength=components)
    expected = 50_000 / components
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    nearest = np.linalg.norm(data.array[:, None] - data.truth.centers, axis=2).argmin(axis=1)
    assert np.array_equal(nearest, data.labels)


def test_centers_are_the_published_ones():
    assert np.allclose(np.linalg.norm(ring().centers, axis=1), 1)
    gaps = np.linalg.norm(ring().centers - np.roll(ring().centers, 1, axis=0), axis=1)
    assert np.allclose(gaps, 2 * np.sin(np.pi / 8))
    assert {tuple(center) for center in grid().centers} == {
        (x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)
    }


def test_the_same_points_every_time_and_a_summary():
    first, again = load_data("ring", num_points=1000), load_data("ring", num_points=1000)
    assert first.fingerprint == again.fingerprint
    assert np.array_equal(first.array, again.array)
    summary = describe(first)
    assert summary["truth"] == {"components": 8, "sigma": 0.01}
    assert summary["splits"] == {"train": 800, "validation": 100, "test": 100}
    assert summary["bits"] == 32
    assert load_data(**first.request).fingerprint == first.fingerprint
    assert not first.is_binary


def test_a_table_of_floats_is_points(tmp_path, rng):
    table = rng.standard_normal((30, 5))
    np.save(tmp_path / "t.npy", table)
    np.savez(tmp_path / "t.npz", x=table, y=np.arange(30) % 2)
    assert np.array_equal(load_data(tmp_path / "t.npy").array, table.astype(np.float32))
    assert load_data(tmp_path / "t.npz").class_names == ("0", "1")
    assert load_data(table).kind == "points"


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "in 2 rows, the first of them row 3"), (1e300, "row 3")]
)
def test_values_that_are_not_finite_in_float32(rng, value, words):
    table = rng.standard_normal((30, 5))
    table[[3, 9], 1] = value
    with pytest.raises(DataError, match=words) as caught:
        load_data(table)
    assert caught.value.exit_code == 2


def test_what_points_do_not_take(rng):
    with pytest.raises(DataError, match="ring holds points, and size and crop are for pictures"):
        load_data("ring", size=8)
    with pytest.raises(DataError, match="num_points is 0; it must be positive"):
        load_data("ring", num_points=0)
    with pytest.raises(DataError, match="ring brings its own labels"):
        load_data("ring", labels=[1])
    with pytest.raises(DataError, match="D at most 64"):
        load_data(rng.standard_normal((30, 65)))
