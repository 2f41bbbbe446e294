import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.fidelity.frechet import frechet_between, moments
from diptych.evaluation.fidelity.frechet_infinity import BLOCKS, SUBSETS, Blocks, frechet_infinity
from diptych.evaluation.fidelity.frechet_interval import standard_error


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def dealt(items, seed=0):
    return Blocks(items, generator=generator(seed))


def draw(seed, n, d):
    x, y = torch.randn(2, n, d, generator=generator(seed)).double()
    return x, y * 1.1 + 0.2


def population(d):
    return d * (0.2**2 + 0.1**2)


def test_blocks_together_have_the_moments_of_the_set():
    mean, covariance = dealt(F + 1000).moments()
    expected = moments(F + 1000)
    torch.testing.assert_close(mean, expected[0])
    torch.testing.assert_close(covariance, expected[1], rtol=1e-9, atol=1e-9)


def test_moments_of_some_blocks_are_those_of_their_rows():
    blocks = dealt(F[:101])
    mean, covariance = blocks.moments((1,))
    expected = moments(blocks.rows((1,)))
    torch.testing.assert_close(mean, expected[0])
    torch.testing.assert_close(covariance, expected[1])
    assert sum(blocks.size((block,)) for block in range(BLOCKS)) == 101


def test_every_size_counts_every_block_equally_often():
    for size in {len(which) for which in SUBSETS}:
        used = sorted(block for which in SUBSETS if len(which) == size for block in which)
        assert used == sorted(list(range(BLOCKS)) * (len(used) // BLOCKS))


def test_the_line_through_both_sizes_is_followed_to_its_end():
    x, y = dealt(R), dealt(F)
    halves = [
        frechet_between(x.rows(which), y.rows(which)) for which in SUBSETS if len(which) == 1
    ]
    expected = 2 * frechet_between(R, F) - sum(halves) / 2
    assert frechet_infinity(x, y).value == pytest.approx(expected, rel=1e-9)


def test_recovers_the_population_value_where_the_plain_distance_is_far_off():
    plain, infinite = [], []
    for seed in range(12):
        x, y = draw(seed, 800, 64)
        plain.append(frechet_between(x, y))
        infinite.append(frechet_infinity(dealt(x, seed), dealt(y, seed + 99)).value)
    truth = population(64)
    assert sum(plain) / 12 > 1.8 * truth
    assert sum(infinite) / 12 == pytest.approx(truth, rel=0.1)


def test_unequal_sizes_recover_it_too():
    values = []
    for seed in range(12):
        x, y = draw(seed, 1600, 32)
        values.append(frechet_infinity(dealt(x), dealt(y[:500])).value)
    assert sum(values) / 12 == pytest.approx(population(32), rel=0.1)


def test_equal_distributions_come_out_near_zero():
    assert frechet_between(R, T) > 1.5
    assert abs(frechet_infinity(dealt(R), dealt(T)).value) < 0.3


def test_interval_holds_the_population_value_about_as_often_as_it_says():
    held = 0
    for seed in range(100):
        x, y = draw(seed, 300, 8)
        error = standard_error(x, y, moments(x), moments(y))
        estimate = frechet_infinity(dealt(x), dealt(y), sampling_error=error)
        held += estimate.low <= population(8) <= estimate.high
    assert 88 <= held <= 100


def test_trusted_from_four_items_per_feature():
    assert frechet_infinity(dealt(R[:256]), dealt(F)).trusted
    estimate = frechet_infinity(dealt(R[:255]), dealt(F))
    assert not estimate.trusted
    assert "N=255 < 4x64" in estimate.note


def test_fewer_items_than_features_still_give_a_number():
    estimate = frechet_infinity(dealt(R[:40]), dealt(F[:50]))
    assert not estimate.trusted
    assert estimate.low is None


def test_the_generator_decides_and_nothing_else_is_touched():
    before = torch.get_rng_state()
    one, two, other = (frechet_infinity(dealt(R, s), dealt(F, s)).value for s in (0, 0, 1))
    assert one == two != other
    assert torch.equal(torch.get_rng_state(), before)


def test_too_few_items_are_refused():
    with pytest.raises(DataError, match="at least 4 items, not"):
        dealt(R[:3])
