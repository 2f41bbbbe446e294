"""Distances without weights: laws of a squared metric, smoothness at small steps."""

import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.latent.distances import pyramid_distance, squared_distance


def pictures(n=6, channels=1, size=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, size, size, generator=generator, dtype=torch.float64)


def test_the_squared_distance_is_that_of_euclid():
    a, b = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.linalg.vector_norm(a - b, dim=1).double().square()
    assert torch.allclose(squared_distance(a, b), expected)
    images = pictures()
    assert torch.allclose(squared_distance(images, images + 0.5), torch.tensor(64.0).double())


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 28, 20), (3, 64, 64), (1, 1, 1), (2, 3, 9)])
def test_the_pyramid_is_a_squared_metric(shape):
    a, b, c = torch.rand(3, 8, *shape, generator=torch.Generator().manual_seed(1)).double()
    assert torch.equal(pyramid_distance(a, a.clone()), torch.zeros(8).double())
    assert torch.equal(pyramid_distance(a, b), pyramid_distance(b, a))
    assert (pyramid_distance(a, b) > 0).all()
    straight = pyramid_distance(a, c).sqrt()
    assert (straight <= pyramid_distance(a, b).sqrt() + pyramid_distance(b, c).sqrt()).all()


def test_flat_grey_pictures_have_a_closed_form():
    # Of flat pictures only the low-pass remains: g / sqrt(g² + 0.01), whatever the size.
    a, b = (torch.full((1, 3, 32, 32), grey, dtype=torch.float64) for grey in (0.3, 0.7))
    expected = (0.7 / (0.49 + 0.01) ** 0.5 - 0.3 / (0.09 + 0.01) ** 0.5) ** 2
    assert float(pyramid_distance(a, b)) == pytest.approx(expected, rel=1e-12)


def test_it_is_of_second_order_in_small_changes():
    a, change = pictures(), pictures(seed=1) - 0.5
    near, nearer = (pyramid_distance(a, a + h * change) / h**2 for h in (1e-3, 1e-4))
    assert torch.allclose(near, nearer, rtol=1e-2)
    single = pyramid_distance(a.float(), (a + 1e-4 * change).float()) / 1e-4**2
    assert torch.allclose(single, nearer, rtol=0.05)


def test_flipping_or_reordering_channels_changes_nothing():
    a, b = pictures(channels=3, size=17), pictures(channels=3, size=17, seed=2)
    expected = pyramid_distance(a, b)
    assert torch.allclose(pyramid_distance(a.flip(3), b.flip(3)), expected)
    assert torch.allclose(pyramid_distance(a.flip(1), b.flip(1)), expected)
    assert torch.allclose(pyramid_distance(a.mT, b.mT), expected)


def test_a_difference_weighs_less_where_the_picture_is_busy():
    busy = (pictures(n=1, size=32) > 0.5).double()
    calm = torch.full_like(busy, 0.5)
    stripes = torch.zeros_like(busy)
    stripes[..., ::2] = 0.05
    assert float(squared_distance(busy, busy + stripes)) == pytest.approx(
        float(squared_distance(calm, calm + stripes))
    )
    assert pyramid_distance(busy, busy + stripes) < 0.5 * pyramid_distance(calm, calm + stripes)


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 5), "pairs of one shape"),
        (torch.zeros(2, 1, 4, 4).byte(), torch.zeros(2, 1, 4, 4).byte(), "floating values"),
        (torch.zeros(2, 4), torch.zeros(2, 4), "pictures"),
    ],
)
def test_what_has_no_distance_is_said(a, b, sentence):
    with pytest.raises(DataError, match=sentence):
        pyramid_distance(a, b)
