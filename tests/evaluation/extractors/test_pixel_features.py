import numpy as np
import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.extractors.pixels import SHRINKAGE, PixelFeatures


def images(count=600, size=8, channels=1, seed=0):
    """Smooth noise: neighbours resemble each other, so that there is something to whiten."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(count, size, size, channels))
    smooth = noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)
    return (128 + 25 * smooth).clip(0, 255).astype(np.uint8)


def test_over_the_reference_the_features_are_centred_and_uncorrelated():
    reference = images()
    found = PixelFeatures(reference).features(reference).double()
    assert found.shape == (600, 60)  # ten images for each direction
    torch.testing.assert_close(found.mean(0), torch.zeros(60).double(), rtol=0, atol=1e-4)
    covariance = torch.cov(found.T)
    off = covariance - covariance.diag().diag()
    assert float(off.abs().max()) < 1e-3


def test_variances_are_shrunk_as_the_formula_says():
    reference = images()
    found = PixelFeatures(reference).features(reference).double()
    flat = torch.from_numpy(reference.reshape(600, 64) / 255)
    values = torch.linalg.eigvalsh(torch.cov(flat.T)).flip(0)
    expected = values / (values + SHRINKAGE * values.mean())
    torch.testing.assert_close(found.var(0), expected[:60], rtol=1e-3, atol=1e-4)


def test_few_images_give_the_same_directions_as_the_other_form():
    # 40 images in 64 dimensions go by inner products; the four directions must be principal.
    reference = images(40)
    found = PixelFeatures(reference).features(reference).double()
    assert found.shape == (40, 4)
    covariance = torch.cov(found.T)
    assert float((covariance - covariance.diag().diag()).abs().max()) < 1e-3
    flat = torch.from_numpy(reference.reshape(40, 64) / 255)
    values = torch.linalg.eigvalsh(torch.cov(flat.T)).flip(0)
    expected = values / (values + SHRINKAGE * values.sum() / 64)
    torch.testing.assert_close(found.var(0), expected[:4], rtol=1e-3, atol=1e-4)


def test_a_pixel_that_hardly_varies_does_not_explode():
    reference = images()
    reference[:, 0, 0] = 0
    reference[0, 0, 0] = 1
    strange = reference.copy()
    strange[:, 0, 0] = 255
    extractor = PixelFeatures(reference)
    distance = (extractor.features(strange) - extractor.features(reference)).norm(dim=1)
    # Whitened without shrinkage, 255 would be 6000 standard deviations.
    assert float(distance.max()) < 200


def test_larger_images_are_averaged_down():
    small = images(100, 32)
    large = small.repeat(2, 1).repeat(2, 2)
    one, two = PixelFeatures(small), PixelFeatures(large)
    assert torch.equal(one.features(small), two.features(large))


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (7, 40, 2), (2, 1, 1), (65, 130, 3)])
def test_any_size_smoke(shape):
    reference = np.random.default_rng(0).integers(0, 256, (30, *shape), dtype=np.uint8)
    found = PixelFeatures(reference).features(reference)
    assert found.shape[0] == 30
    assert found.isfinite().all()


def test_real_bytes_and_generated_floats_take_one_path():
    reference = images(50)
    extractor = PixelFeatures(reference)
    floats = torch.from_numpy(reference).permute(0, 3, 1, 2) / 255
    assert torch.equal(extractor.features(reference), extractor.features(floats + 0.3 / 255))


def test_the_protocol_names_the_images_it_was_fitted_on_and_no_last_bits():
    one, same, other = (PixelFeatures(images(50, seed=seed)).protocol for seed in (0, 0, 1))
    assert one == same
    assert one["fitted_on"] != other["fitted_on"]
    assert {**one, "fitted_on": ""} == {**other, "fitted_on": ""}


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        (images(1), "at least 2 reference images and got 1"),
        (np.full((9, 4, 4, 1), 7, np.uint8), "All reference images are equal"),
    ],
)
def test_what_cannot_be_whitened_is_said(reference, sentence):
    with pytest.raises(DataError, match=sentence):
        PixelFeatures(reference)


def test_another_size_is_refused():
    with pytest.raises(DataError, match=r"\[1, 8, 8\] and was given \[1, 9, 9\]"):
        PixelFeatures(images(9)).features(images(9, 9))


def test_a_large_reference_is_sampled_evenly(monkeypatch):
    monkeypatch.setattr("diptych.evaluation.extractors.pixels.MOST_FITTED", 50)
    every_third = images(150)
    one, other = PixelFeatures(every_third), PixelFeatures(every_third[::3])
    assert one.protocol == other.protocol
