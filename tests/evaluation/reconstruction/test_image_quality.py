import itertools
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from diptych.errors import DataError
from diptych.evaluation.reconstruction import image_quality
from diptych.evaluation.reconstruction.image_quality import (
    MS_SSIM_WEIGHTS,
    ms_ssim,
    ms_ssim_scales,
    ms_ssim_weights,
    mse,
    psnr,
    ssim,
    window_for,
)


@pytest.fixture(scope="module")
def golden():
    generator = torch.Generator().manual_seed(42)
    images = torch.rand(3, 3, 256, 256, generator=generator)
    return images * 0.75, images


def pair(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(shape, generator=generator, dtype=torch.float64)
    noise = 0.2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return first, (first + noise).clamp(0, 1)


def independent(name, attribute):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(pytest.importorskip(name), attribute)


def test_golden_values(golden):
    assert float(ssim(*golden).mean()) == pytest.approx(0.921892, abs=1e-6)
    assert float(psnr(*golden).mean()) == pytest.approx(16.8140, abs=5e-5)
    # What pytorch-msssim 1.0.0 and TensorFlow's convention give: windows inside the image at every
    # scale, channels apart. The golden 0.962830 is another convention, see below.
    assert float(ms_ssim(*golden).mean()) == pytest.approx(0.962741, abs=1e-6)


def test_golden_ms_ssim_of_torchmetrics_is_ours_with_mirrored_borders_at_the_last_scale(golden):
    x, y = (images.double() for images in golden)
    kernel = image_quality._gaussian(11, x)
    product = 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        factor = image_quality._similarity(x, y, kernel, 1.0)[1]
        if scale == 4:
            mirrored = (F.pad(images, (5, 5, 5, 5), mode="reflect") for images in (x, y))
            factor = image_quality._similarity(*mirrored, kernel, 1.0)[0]
        product = product * factor.mean(1) ** weight  # channels are averaged before the power
    assert float(product.mean()) == pytest.approx(0.962830, abs=1e-6)


def test_golden_constant_images_of_compare_gan():
    levels = torch.tensor([1.0, 0.7, 0.0]).view(3, 1, 1, 1).expand(3, 3, 176, 176)
    pairs = torch.tensor(list(itertools.combinations(range(3), 2)))
    values = ms_ssim(levels[pairs[:, 0]], levels[pairs[:, 1]], data_range=255)
    assert float(values.mean()) == pytest.approx(0.989989, abs=1e-5)


def test_agrees_with_scikit_image():
    theirs = independent("skimage.metrics", "structural_similarity")
    peak = independent("skimage.metrics", "peak_signal_noise_ratio")
    for channels, height, width in ((3, 40, 31), (1, 28, 28)):
        x, y = pair(4, channels, height, width)
        expected = [
            theirs(
                a.numpy(),
                b.numpy(),
                channel_axis=0,
                data_range=1.0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for a, b in zip(x, y, strict=True)
        ]
        assert ssim(x, y).numpy() == pytest.approx(expected, abs=1e-9)
        ratios = [peak(a.numpy(), b.numpy(), data_range=1.0) for a, b in zip(x, y, strict=True)]
        assert psnr(x, y).numpy() == pytest.approx(ratios, abs=1e-9)


def test_agrees_with_torchmetrics(golden):
    functional = "torchmetrics.functional.image"
    # Apart from their mirrored borders, which matter less the larger the image is.
    similarity = independent(functional, "structural_similarity_index_measure")
    assert float(ssim(*golden).mean()) == pytest.approx(
        float(similarity(*golden, data_range=1.0)), abs=2e-6
    )
    multiscale = independent(functional, "multiscale_structural_similarity_index_measure")
    assert float(ms_ssim(*golden).mean()) == pytest.approx(
        float(multiscale(*golden, data_range=1.0)), abs=2e-4
    )
    peak = independent(functional, "peak_signal_noise_ratio")
    x, y = pair(1, 3, 20, 20)
    assert float(psnr(x, y)) == pytest.approx(float(peak(x, y, data_range=1.0)), abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (3, 4, 50, 45), (1, 2, 11, 200)])
def test_an_image_equals_itself(shape):
    x, _ = pair(*shape)
    assert mse(x, x).eq(0).all()
    assert psnr(x, x).eq(torch.inf).all()
    torch.testing.assert_close(ssim(x, x), torch.ones(shape[0]).double())
    scales = ms_ssim_scales(*shape[2:])
    torch.testing.assert_close(ms_ssim(x, x, scales=scales), torch.ones(shape[0]).double())


@pytest.mark.parametrize("measure", [mse, psnr, ssim, lambda *x: ms_ssim(*x, scales=2)])
def test_order_flips_and_turns_change_nothing(measure):
    x, y = pair(3, 3, 32, 24)
    expected = measure(x, y)
    torch.testing.assert_close(measure(y, x), expected)
    torch.testing.assert_close(measure(x.flip(3), y.flip(3)), expected)
    torch.testing.assert_close(measure(x.transpose(2, 3), y.transpose(2, 3)), expected)
    torch.testing.assert_close(measure(x.flip(0), y.flip(0)), expected.flip(0))
    torch.testing.assert_close(measure(x[1:2], y[1:2]), expected[1:2])


@pytest.mark.parametrize("measure", [psnr, ssim, lambda *x, **k: ms_ssim(*x, scales=2, **k)])
def test_the_unit_of_the_images_does_not_matter_if_it_is_told(measure):
    x, y = pair(2, 3, 32, 32)
    torch.testing.assert_close(measure(255 * x, 255 * y, data_range=255), measure(x, y))


def test_closed_forms():
    zero, half = torch.zeros(1, 1, 16, 16), torch.full((1, 1, 16, 16), 0.5)
    assert float(mse(zero, half)) == 0.25
    assert float(psnr(zero, half)) == pytest.approx(10 * np.log10(4))
    # Flat images: contrast and structure are perfect, luminance is C1 / (1/4 + C1).
    luminance = 1e-4 / (0.25 + 1e-4)
    assert float(ssim(zero, half)) == pytest.approx(luminance)
    weight = ms_ssim_weights(1)[0]
    assert float(ms_ssim(zero, half, scales=1)) == pytest.approx(luminance**weight)


def test_more_noise_and_more_blur_are_less_alike():
    x, _ = pair(4, 1, 64, 64)
    x = F.avg_pool2d(x, 3, 1, 1)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    for worse in (
        [x + s * noise for s in (0.01, 0.03, 0.1)],
        [F.avg_pool2d(x, k, 1, k // 2) for k in (3, 5, 9)],
    ):
        for measure in (psnr, ssim, lambda *x: ms_ssim(*x, scales=3)):
            values = [float(measure(x, y).mean()) for y in worse]
            assert values == sorted(values, reverse=True)


def test_a_negative_is_unlike_and_counts_as_nothing_over_scales():
    x, _ = pair(2, 1, 32, 32)
    assert bool((ssim(x, 1 - x) < -0.5).all())
    assert ms_ssim(x, 1 - x, scales=2).eq(0).all()


def test_blocks_change_nothing(monkeypatch):
    x, y = pair(5, 3, 24, 24)
    whole = [measure(x, y) for measure in (mse, ssim)]
    monkeypatch.setattr(image_quality, "VALUES", 1)
    for expected, measure in zip(whole, (mse, ssim), strict=True):
        torch.testing.assert_close(measure(x, y), expected)


def test_windows_and_scales_follow_the_size():
    assert [window_for(side, 200) for side in (5, 7, 8, 10, 11, 28)] == [None, 7, 7, 9, 11, 11]
    sides = (10, 11, 21, 22, 43, 44, 87, 88, 175, 176, 999)
    assert [ms_ssim_scales(200_000, s) for s in sides] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    for scales in range(1, 6):
        assert sum(ms_ssim_weights(scales)) == pytest.approx(sum(MS_SSIM_WEIGHTS))
    assert ms_ssim_weights(5) == pytest.approx(MS_SSIM_WEIGHTS)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: ssim(x[..., :8], x[..., :8]), "must be odd and fit into the images of 20 x 8"),
        (lambda x: ssim(x, x, window=4), "window of 4 pixels must be odd"),
        (lambda x: ms_ssim(x, x), "which are 1 at the coarsest scale"),
        (lambda x: ms_ssim(x, x, scales=6), "1 to 5 scales, not 6"),
        (lambda x: mse(x, x[:1]), r"equal shapes, not \(2, 1, 20, 20\) and \(1, 1, 20, 20\)"),
        (lambda x: mse(x, x / 0), "NaN or infinite"),
        (lambda x: mse(x, x * 255), "must lie in 0..1, but these reach from"),
        (lambda x: psnr(x, x, data_range=0), "range of image values must be above 0"),
        (lambda x: mse(x.byte(), x.byte()), "must be floats"),
        (lambda x: mse(x[0], x[0]), r"not float64 \(1, 20, 20\)"),
        (lambda x: mse(x[:0], x[:0]), r"not float64 \(0, 1, 20, 20\)"),
    ],
)
def test_what_cannot_be_compared_is_said(call, sentence):
    with pytest.raises(DataError, match=sentence):
        call(pair(2, 1, 20, 20)[0])
