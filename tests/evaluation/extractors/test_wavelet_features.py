import numpy as np
import pytest
import torch

from diptych.evaluation.extractors.wavelets import WaveletFeatures, haar_packets, level_for
from diptych.evaluation.fidelity.frechet import frechet_between


def noise(count=64, size=16, channels=1, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def test_one_split_by_hand():
    picture = torch.tensor([[1.0, 3.0], [5.0, 11.0]]).reshape(1, 1, 2, 2)
    # Half of: the sum, left minus right, top minus bottom, and the diagonal difference.
    assert haar_packets(picture, 1).flatten().tolist() == [10, -4, -6, 2]


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_packets_are_orthonormal(level):
    picture = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    bands = haar_packets(picture, level)
    assert bands.shape == (2, 3, 4**level, 16 >> level, 24 >> level)
    torch.testing.assert_close(bands.square().sum(), picture.square().sum())
    other = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close((bands * haar_packets(other, level)).sum(), (picture * other).sum())


def test_a_constant_lives_in_the_coarsest_band_alone():
    bands = haar_packets(torch.full((1, 1, 8, 8), 3.0), 2)
    assert torch.equal(bands[0, 0, 0], torch.full((2, 2), 12.0))
    assert float(bands[0, 0, 1:].abs().max()) == 0


def test_stripes_live_in_one_band():
    stripes = torch.zeros(1, 1, 8, 8)
    stripes[..., ::2] = 1
    power = haar_packets(stripes, 1).square().sum((0, 1, 3, 4))
    assert power.tolist() == [16, 16, 0, 0]


@pytest.mark.parametrize(
    ("size", "level"),
    [((28, 28), 2), ((32, 32), 3), ((256, 256), 3), ((64, 9), 1), ((7, 7), 0), ((1, 1), 0)],
)
def test_the_level_fits_the_size(size, level):
    assert level_for(*size) == level
    images = np.zeros((3, *size, 2), np.uint8)
    found = WaveletFeatures().features(images)
    assert found.shape == (3, 2 * (2 * 4**level + 1))
    assert found.isfinite().all()


def test_statistics_of_white_noise_are_known():
    # The variance of bytes drawn evenly is (256² − 1)/12; every band but the first has it.
    found = WaveletFeatures().features(noise(400)).mean(0)
    deviation = ((256**2 - 1) / 12) ** 0.5 / 255
    bands = 4 ** level_for(16, 16)
    assert found[1:bands].exp().mean() == pytest.approx(deviation, rel=0.04)
    # |c| of a near-Gaussian: √(2/π) of its deviation.
    assert found[bands + 1 : 2 * bands].mean() == pytest.approx((2 / np.pi) ** 0.5, rel=0.03)
    assert float(found[-1]) == pytest.approx(0.5, abs=0.01)


def test_places_do_not_matter_and_blur_does():
    images = noise(200, seed=1)
    moved = np.roll(images, (4, 8), (1, 2))
    extractor = WaveletFeatures()
    torch.testing.assert_close(extractor.features(moved), extractor.features(images))
    blurred = (images / 2 + np.roll(images, 1, 1) / 2).astype(np.uint8)
    near = frechet_between(extractor.features(noise(200, seed=2)), extractor.features(images))
    far = frechet_between(extractor.features(blurred), extractor.features(images))
    assert far > 5 * near


def test_channels_are_described_one_by_one():
    images = noise(5, channels=3)
    extractor = WaveletFeatures()
    one = [extractor.features(images[..., c : c + 1]) for c in range(3)]
    torch.testing.assert_close(extractor.features(images), torch.cat(one, 1))
