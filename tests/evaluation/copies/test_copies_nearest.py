import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.copies import nearest as module
from diptych.evaluation.copies.nearest import nearest


def naive(queries, base, k, exclude=None):
    """Every distance by its definition, in one piece."""
    distances = torch.cdist(
        queries.double(), base.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    if exclude is not None:
        distances[torch.arange(len(queries)), exclude] = torch.inf
    return distances.topk(k, largest=False)


@pytest.mark.parametrize("block", [17, 64, 5000])
@pytest.mark.parametrize("k", [1, 5])
def test_blocks_equal_every_distance(monkeypatch, block, k):
    monkeypatch.setattr(module, "BLOCK", block)
    distances, indices = nearest(F[:150], R, k)
    expected = naive(F[:150], R, k)
    assert torch.equal(indices, expected.indices)
    torch.testing.assert_close(distances, expected.values, rtol=1e-12, atol=0)


def test_an_item_is_not_its_own_neighbour():
    itself = torch.arange(len(R))
    distances, indices = nearest(R, R, 2, exclude=itself)
    expected = naive(R, R, 2, itself)
    assert torch.equal(indices, expected.indices)
    torch.testing.assert_close(distances, expected.values, rtol=1e-12, atol=0)
    twice = torch.cat([R[:5], R[:5]])  # but its duplicate is
    assert nearest(twice, twice, exclude=torch.arange(10))[0].eq(0).all()


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4])
def test_identical_items_are_at_distance_zero(offset):
    # The product form of the distance puts an item 3.46 away from itself at an offset of 100.
    base = (T + offset).float()
    distances, indices = nearest(base, base)
    assert distances.eq(0).all()
    assert torch.equal(indices[:, 0], torch.arange(len(base)))


def test_offset_in_single_precision_changes_nothing():
    grid = torch.randint(-512, 512, (300, 16), generator=torch.Generator().manual_seed(0)) / 256
    other = torch.randint(-512, 512, (200, 16), generator=torch.Generator().manual_seed(1)) / 256
    for here, there in zip(nearest(grid, other), nearest(grid + 1e4, other + 1e4), strict=True):
        assert torch.equal(here, there)


def test_neighbours_below_the_rounding_of_float32():
    # Two heaps 1000 apart, each 1e-3 wide: |a|² is 1e12 times the squared distances wanted.
    generator = torch.Generator().manual_seed(0)
    heaps = torch.randn(400, 2, generator=generator, dtype=torch.float64) * 1e-3
    heaps[::2] += 1000
    queries = torch.randn(50, 2, generator=generator, dtype=torch.float64) * 1e-3
    distances, indices = nearest(queries, heaps)
    expected = naive(queries, heaps, 1)
    assert torch.equal(indices, expected.indices)
    torch.testing.assert_close(distances, expected.values, rtol=1e-9, atol=0)


def test_hardly_any_items():
    one = R[:1]
    assert nearest(R[:3], one)[1].eq(0).all()
    two = R[:2]
    distances, indices = nearest(two, two, exclude=torch.arange(2))
    assert indices[:, 0].tolist() == [1, 0]
    assert distances[0] == distances[1] == (R[0] - R[1]).norm()


@pytest.mark.parametrize(
    ("queries", "base", "k", "sentence"),
    [
        (R, R[:2], 3, "3 nearest neighbours cannot be found among 2 items"),
        (R, F[:, :3], 1, "of one D"),
        (R[0], F, 1, "of one D"),
        (R, F[:0], 1, "without items"),
        (R, F / 0, 1, "NaN or infinite"),
        (R, F.long(), 1, "floating numbers"),
    ],
)
def test_what_cannot_be_searched_is_said(queries, base, k, sentence):
    with pytest.raises(DataError, match=sentence):
        nearest(queries, base, k)


def test_one_item_has_no_other():
    with pytest.raises(DataError, match="without the item itself"):
        nearest(R[:1], R[:1], exclude=torch.tensor([0]))


@pytest.mark.parametrize("count", [81, 400, 1003])
@pytest.mark.parametrize("k", [1, 3])
def test_groups_and_what_is_left_over(count, k):
    # The winners lie in every place: in the groups, in the few items left over, and twice.
    base = torch.cat([R, R + 0.001])[:count]
    queries = torch.cat([base[-9:], base[:9], base[::40]]) + 1e-4
    distances, indices = nearest(queries, base, k)
    expected = naive(queries, base, k)
    assert torch.equal(indices, expected.indices)
    torch.testing.assert_close(distances, expected.values, rtol=1e-9, atol=0)
    itself = torch.arange(count)
    distances, indices = nearest(base, base, k, exclude=itself)
    assert not bool((indices == itself[:, None]).any())
    torch.testing.assert_close(distances, naive(base, base, k, itself).values, rtol=1e-9, atol=0)
