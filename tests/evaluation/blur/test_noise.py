import numpy as np
import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.blur.noise import noise_levels, noise_ratio, noise_share
from diptych.evaluation.blur.sharpness import laplacian_variance


def white(sigma, n=50, size=32):
    generator = torch.Generator().manual_seed(0)
    levels = 128 + sigma * torch.randn(n, size, size, 1, generator=generator)
    return levels.round().clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("sigma", [5, 10, 30])
def test_the_sigma_of_white_noise_is_found(sigma):
    # Rounded noise has rounded medians: half a grey level over 0.67 is the step between them.
    assert float(noise_levels(white(sigma)).mean()) == pytest.approx(sigma, rel=0.05)


def test_ramps_and_straight_edges_are_no_noise():
    ramp = np.arange(20, dtype=np.uint8)[:, None] * 3 + np.arange(30, dtype=np.uint8) * 5
    edge = np.zeros((20, 30), np.uint8)
    edge[:, 11:] = 255
    images = np.stack([ramp, edge])[..., None]
    assert noise_levels(images).eq(0).all()
    assert bool((laplacian_variance(images)[1:] > 0).all()), "though the edge is sharp"


def test_a_checkerboard_is_all_diagonal_detail():
    board = (np.indices((8, 8)).sum(0) % 2 * 100).astype(np.uint8)[None, ..., None]
    assert float(noise_levels(board)) == pytest.approx(100 / 0.6744897501960817)


def test_white_noise_adds_twenty_times_its_variance_to_the_laplacian():
    images = white(20, n=200)
    sharpness = float(laplacian_variance(images).mean())
    # Repeated edges take a little of it: 1 pixel in 8 is on the rim.
    assert sharpness == pytest.approx(20 * 20**2, rel=0.06)
    assert noise_share(sharpness, 20, 0) == pytest.approx(1, abs=0.06)
    assert noise_share(4 * 20 * 20**2, 20, 0) == pytest.approx(0.25)


def test_noise_that_real_images_have_too_is_no_excess():
    assert noise_share(1000, 5, 5) == 0
    assert noise_share(1000, 4, 5) == 0
    assert noise_share(0, 5, 0) == 0


def test_the_ratio_does_not_divide_by_flat_grounds():
    zero, five = torch.tensor(0.0), torch.tensor(5.0)
    assert float(noise_ratio(zero, zero)) == 1
    assert float(noise_ratio(five, zero)) == pytest.approx((12 * 25 + 1) ** 0.5)
    assert float(noise_ratio(five, five)) == 1


def test_single_pixels_have_no_noise_to_measure():
    with pytest.raises(DataError, match="2 x 2 pixels or more, not 1 x 5"):
        noise_levels(np.zeros((1, 1, 5, 1), np.uint8))
