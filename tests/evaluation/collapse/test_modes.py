import math

import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.collapse.modes import (
    count_modes,
    expected_found,
    high_quality_ceiling,
    mode_estimates,
)
from diptych.evaluation.collapse.shares import kl_floor

ANGLES = torch.arange(8) * math.pi / 4
RING = 2 * torch.stack([ANGLES.cos(), ANGLES.sin()], 1)


def draw(n, modes=8, sigma=0.02, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centers = RING[torch.randint(modes, (n,), generator=generator)]
    return centers + sigma * torch.randn(n, 2, generator=generator)


def test_the_truth_finds_all_and_reaches_the_ceiling():
    count = count_modes(draw(20000), RING, 0.02)
    assert (count.found, count.total) == (8, 8)
    assert count.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.002)


@pytest.mark.parametrize("modes", [1, 2, 4, 8])
def test_equal_shares_of_some_modes_in_closed_form(modes):
    count = count_modes(RING[:modes].repeat(5, 1), RING, 0.02)
    assert count.found == modes
    assert count.high_quality == 1
    assert count.reverse_kl == pytest.approx(math.log(8 / modes), abs=1e-6)


def test_unequal_shares_in_closed_form():
    samples = torch.cat([RING[:1].repeat(3, 1), RING[1:2]])
    expected = 0.75 * math.log(8 * 0.75) + 0.25 * math.log(8 * 0.25)
    assert count_modes(samples, RING, 0.02).reverse_kl == pytest.approx(expected)


def test_three_sigma_is_the_border():
    step = torch.tensor([[1.0, 0.0]])
    center = torch.zeros(1, 2)
    assert count_modes(center + 2.999 * step, center, 1.0).high_quality == 1
    outside = count_modes(center + 3.001 * step, center, 1.0)
    assert (outside.high_quality, outside.found) == (0, 0)


def test_kl_of_a_perfect_sampler_is_its_floor():
    draws = [count_modes(draw(2000, seed=seed), RING, 0.02).reverse_kl for seed in range(200)]
    assert sum(draws) / 200 == pytest.approx(kl_floor(8, 2000), rel=0.1)


def test_published_floor_of_stacked_mnist():
    assert kl_floor(1000, 100000) == pytest.approx(0.0050, abs=5e-5)


def test_ceiling_in_one_two_and_three_dimensions():
    assert high_quality_ceiling(1) == pytest.approx(0.9973002, abs=1e-7)
    assert high_quality_ceiling(2) == pytest.approx(1 - math.exp(-4.5), abs=1e-12)
    assert high_quality_ceiling(3) == pytest.approx(0.9707091, abs=1e-7)


def test_the_kl_of_samples_near_no_mode_is_not_trusted():
    # All at the centre of the ring, plus noise: near no mode, yet nearest to each equally often.
    far = 0.1 * draw(4000, sigma=0.0)
    count = count_modes(far, RING, 0.02)
    assert count.reverse_kl < 0.01
    estimates = mode_estimates(count)
    assert not estimates["mode-kl"].trusted
    assert "Only 0.0% of the samples lie near a mode" in estimates["mode-kl"].note
    assert (estimates["modes-found"].value, estimates["modes-found"].trusted) == (0, True)
    near = mode_estimates(count_modes(draw(4000), RING, 0.02))
    assert all(estimate.trusted for estimate in near.values())


def test_too_few_samples_to_meet_all_modes_say_so():
    count = count_modes(draw(12), RING, 0.02)
    estimates = mode_estimates(count)
    assert not estimates["modes-found"].trusted
    assert "would find 6.4 with 12 samples" in estimates["modes-found"].note
    assert not estimates["mode-kl"].trusted


def test_expected_modes_by_simulation():
    draws = [count_modes(draw(12, seed=seed), RING, 1e3).found for seed in range(300)]
    assert sum(draws) / 300 == pytest.approx(expected_found(8, 12), abs=0.15)


@pytest.mark.parametrize(
    ("samples", "centers", "sigma", "sentence"),
    [
        (torch.zeros(3, 3), RING, 0.1, "of one D"),
        (torch.zeros(0, 2), RING, 0.1, "without samples"),
        (torch.zeros(3, 2), RING, 0.0, "positive and finite, not 0"),
        (torch.full((3, 2), torch.inf), RING, 0.1, "NaN or infinite"),
    ],
)
def test_what_cannot_be_counted_is_said(samples, centers, sigma, sentence):
    with pytest.raises(DataError, match=sentence):
        count_modes(samples, centers, sigma)
