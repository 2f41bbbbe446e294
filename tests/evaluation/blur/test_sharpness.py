import numpy as np
import pytest
import scipy.ndimage
import torch

from diptych.errors import DataError
from diptych.evaluation.blur.sharpness import laplacian_variance, sharpness, sharpness_ratio
from diptych.evaluation.quantise import to_bytes


def pictures(n=8, channels=1, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (n, 12, 10, channels), dtype=np.uint8)


def test_agrees_with_scipy():
    images = pictures()
    ours = laplacian_variance(images)
    for value, image in zip(ours, images, strict=True):
        laplace = scipy.ndimage.laplace(image[..., 0].astype(float), mode="nearest")
        assert float(value) == pytest.approx(laplace.var(), rel=1e-12)


def test_constant_images_and_ramps_have_none():
    assert laplacian_variance(np.full((3, 8, 8, 1), 77, np.uint8)).eq(0).all()
    ramp = np.broadcast_to(np.arange(9, dtype=np.uint8)[None, :, None, None], (1, 9, 9, 1))
    # Only the two edge rows, where the repeated border bends the ramp, respond: +1 and -1.
    assert float(laplacian_variance(ramp)) == pytest.approx(2 / 9)


def test_a_single_bright_pixel_in_closed_form():
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 4, 4, 0] = 100
    # Responses -400 once and 100 four times sum to 0, over 81 pixels.
    assert float(laplacian_variance(image)) == pytest.approx((400**2 + 4 * 100**2) / 81)


def test_doubling_the_contrast_quadruples_it():
    images = pictures() // 2
    torch.testing.assert_close(laplacian_variance(images * 2), 4 * laplacian_variance(images))


def test_flips_and_a_brighter_level_change_nothing():
    images = pictures() // 2
    torch.testing.assert_close(laplacian_variance(images[:, ::-1]), laplacian_variance(images))
    torch.testing.assert_close(laplacian_variance(images + 40), laplacian_variance(images))


def test_grey_is_the_same_in_one_or_three_channels():
    grey = pictures()
    torch.testing.assert_close(
        laplacian_variance(np.repeat(grey, 3, axis=3)), laplacian_variance(grey)
    )


def test_floats_are_measured_as_the_bytes_they_become():
    images = pictures(channels=3)
    floats = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 + 0.4 / 255
    assert sharpness(floats) == sharpness(images)


def test_blur_lowers_and_noise_raises_the_ratio():
    generator = torch.Generator().manual_seed(0)
    real = torch.nn.functional.avg_pool2d(torch.rand(32, 1, 20, 20, generator=generator), 3, 1)
    blurred = torch.nn.functional.avg_pool2d(real, 3, 1)
    noisy = (real + 0.1 * torch.randn(real.shape, generator=generator)).clamp(0, 1)
    assert sharpness_ratio(real, real) == 1
    assert sharpness_ratio(blurred, real) < 0.5
    assert sharpness_ratio(noisy, real) > 1.5


def test_flat_real_images_are_no_reference():
    flat = np.zeros((3, 8, 8, 1), np.uint8)
    with pytest.raises(DataError, match="flat"):
        sharpness_ratio(pictures(), flat)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((8, 8), np.uint8), r"not \(8, 8\)"),
        (np.zeros((0, 8, 8, 1), np.uint8), r"not \(0, 8, 8, 1\)"),
        (np.zeros((2, 8, 8, 1), np.int64), "uint8 or floating, not torch.int64"),
        (torch.full((1, 1, 4, 4), torch.nan), "NaN or infinite"),
        (torch.linspace(-1, 1, 16).view(1, 1, 4, 4), "from -1 to 1; rescale"),
        (torch.linspace(0, 255, 16).view(1, 1, 4, 4), "from 0 to 255; rescale"),
    ],
)
def test_what_are_no_images_is_said(images, sentence):
    with pytest.raises(DataError, match=sentence):
        to_bytes(images)


def test_quantising_rounds_and_clamps():
    floats = torch.tensor([-0.2, 0.0, 0.49 / 255, 0.51 / 255, 1.0, 1.3]).view(1, 1, 2, 3)
    assert to_bytes(floats).flatten().tolist() == [0, 0, 0, 1, 255, 255]


def test_bytes_survive_the_way_to_floats_and_back():
    images = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    floats = images.permute(0, 3, 1, 2).float() / 255
    assert torch.equal(to_bytes(floats), to_bytes(images))
