import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from diptych.errors import DataError
from diptych.evaluation.blur import sharpness
from diptych.evaluation.blur.spectrum import (
    high_frequency_share,
    power_spectra,
    spectral_distance,
    spectral_slope,
)


def noise(n, height, width, exponent=0.0, seed=0):
    """Noise of amplitude 1/f^exponent, sigma 0.12 around 0.5, in 0..1, (N, 1, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(n, height, width, generator=generator, dtype=torch.float64)
    f = torch.hypot(
        torch.fft.fftfreq(height).double()[:, None], torch.fft.fftfreq(width).double()[None]
    )
    f[0, 0] = math.inf if exponent else 1
    coloured = torch.fft.ifft2(torch.fft.fft2(white) * f**-exponent).real
    return (0.5 + 0.12 * coloured / coloured.std()).clamp(0, 1)[:, None]


def blurred(images, sigma):
    places = torch.arange(-6, 7, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (places / sigma).square())
    kernel = kernel / kernel.sum()
    edged = F.pad(images.double(), (6, 6, 6, 6), mode="reflect")
    return F.conv2d(F.conv2d(edged, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))


def slope(images):
    spectra = power_spectra(images)
    return float(spectral_slope(spectra.frequencies, spectra.power.mean(0)))


def share(images):
    spectra = power_spectra(images)
    return float(high_frequency_share(spectra.high.sum(), spectra.total.sum()))


@pytest.mark.parametrize("size", [(8, 8), (9, 12), (28, 28), (48, 64), (65, 33)])
def test_white_noise_has_its_variance_in_every_ring_and_no_slope(size):
    spectra = power_spectra(noise(3000 if min(size) < 20 else 400, *size))
    variance = (0.12 * 255) ** 2
    torch.testing.assert_close(
        spectra.power.mean(0), torch.full_like(spectra.frequencies, variance), rtol=0.05, atol=0
    )
    assert float(spectral_slope(spectra.frequencies, spectra.power.mean(0))) == pytest.approx(
        0, abs=0.05
    )


@pytest.mark.parametrize("size", [(128, 128), (100, 140)])
def test_noise_of_amplitude_one_over_f_has_slope_minus_two(size):
    assert slope(noise(100, *size, exponent=1)) == pytest.approx(-2, abs=0.05)
    assert slope(noise(100, *size, exponent=0.5)) == pytest.approx(-1, abs=0.05)


def test_small_images_keep_the_slope_roughly():
    assert slope(noise(500, 28, 28, exponent=1)) == pytest.approx(-2, abs=0.15)


def test_white_noise_has_what_lies_outside_the_circle_in_high_frequencies():
    assert share(noise(100, 128, 128)) == pytest.approx(1 - math.pi / 16, abs=0.005)


@pytest.mark.parametrize("size", [(16, 16), (15, 16), (16, 15), (15, 15)])
def test_all_of_the_power_is_counted_once(size):
    # Parseval: the mean square of a signal is the mean of its power over all frequencies.
    images = noise(5, *size, exponent=1)
    spectra = power_spectra(images)
    g = (images[:, 0] * 255).round().double()
    window = torch.from_numpy(np.outer(*(np.hanning(n) for n in size)))
    g = g - (g * window).sum((1, 2), keepdim=True) / window.sum()
    energy = (g * window).square().sum((1, 2)) / window.square().sum()
    torch.testing.assert_close(spectra.total / (size[0] * size[1]), energy)


def test_rings_agree_with_numpy_frequency_by_frequency():
    height, width = 12, 17
    image = np.random.default_rng(0).integers(0, 256, (1, height, width, 1), dtype=np.uint8)
    window = np.outer(np.hanning(height), np.hanning(width))
    g = image[0, :, :, 0].astype(float)
    g -= (g * window).sum() / window.sum()
    power = np.abs(np.fft.fft2(g * window)) ** 2 / (window**2).sum()
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    ring = np.round(f * height).astype(int)
    spectra = power_spectra(image)
    for k, (frequency, mean) in enumerate(
        zip(spectra.frequencies, spectra.power[0], strict=True), start=2
    ):
        assert float(frequency) == pytest.approx(f[ring == k].mean())
        assert float(mean) == pytest.approx(power[ring == k].mean())
    assert len(spectra.frequencies) == height // 2 - 1
    assert float(spectra.high[0]) == pytest.approx(power[f > 0.25].sum())


def test_blur_lowers_slope_and_share_step_by_step():
    images = noise(60, 64, 64, exponent=1)
    series = [images, *(blurred(images, sigma) for sigma in (0.4, 0.6, 0.8))]
    slopes, shares = [slope(x) for x in series], [share(x) for x in series]
    assert slopes == sorted(slopes, reverse=True)
    assert shares == sorted(shares, reverse=True)
    assert slopes[-1] < slopes[0] - 2


def test_contrast_and_brightness_change_nothing():
    images = (noise(30, 32, 32, exponent=1) * 100).round() / 255  # bytes 0..100
    louder = (images * 255 * 2 + 40) / 255  # exactly twice the contrast, in bytes again
    assert slope(louder) == pytest.approx(slope(images), abs=1e-9)
    assert share(louder) == pytest.approx(share(images), abs=1e-9)
    first, second = (power_spectra(x).power.mean(0) for x in (images, louder))
    torch.testing.assert_close(second, 4 * first)
    assert float(spectral_distance(first, second)) == pytest.approx(0, abs=1e-9)


def test_turning_and_flipping_change_nothing():
    images = noise(4, 32, 32, exponent=0.5)
    assert slope(images.transpose(2, 3)) == pytest.approx(slope(images), abs=1e-9)
    assert slope(images.flip(3)) == pytest.approx(slope(images), abs=1e-9)


def test_distance_of_two_power_laws_in_closed_form():
    f = torch.linspace(0.05, 0.5, 10, dtype=torch.float64)
    expected = 10 * np.std(np.log10(f.numpy()))  # of slopes one apart
    assert float(spectral_distance(50 * f**-1, f**-2)) == pytest.approx(expected)


def test_a_flat_image_has_no_power():
    spectra = power_spectra(np.full((2, 16, 16, 3), 200, np.uint8))
    assert spectra.power.eq(0).all()
    assert spectra.total.eq(0).all()
    assert high_frequency_share(spectra.high, spectra.total).eq(0).all()


def test_blocks_change_nothing(monkeypatch):
    images = noise(7, 16, 16)
    whole = power_spectra(images)
    monkeypatch.setattr(sharpness, "PIXELS", 600)
    parts = power_spectra(images)
    torch.testing.assert_close(whole.power, parts.power, rtol=1e-12, atol=0)
    torch.testing.assert_close(whole.high, parts.high, rtol=1e-12, atol=0)


def test_images_too_small_for_a_spectrum_are_refused():
    with pytest.raises(DataError, match="8 x 8 pixels or more, not 7 x 20"):
        power_spectra(np.zeros((2, 7, 20, 1), np.uint8))
