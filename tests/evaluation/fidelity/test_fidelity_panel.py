import math

import numpy as np
import pytest
import torch

from diptych.data.dataset import Mixture
from diptych.errors import DataError
from diptych.evaluation import NOT_FID, PointFeatures, measure, train_classifier

ANGLES = np.arange(8) * math.pi / 4
TRUTH = Mixture(2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1), 0.02)


def ring(n, seed, modes=8):
    generator = np.random.default_rng(seed)
    centers = TRUTH.centers[generator.integers(0, modes, n)]
    return (centers + TRUTH.sigma * generator.normal(size=(n, 2))).astype(np.float32)


def points(samples, truth=None, n=400):
    figures = measure(
        samples,
        ring(n, 1),
        ring(n, 2),
        features=PointFeatures(),
        truth=truth,
        data_kind="points",
    )
    return {figure.name: figure for figure in figures}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier(images):
    return train_classifier(images, None, steps=5)


def test_the_floor_set_as_samples_scores_the_floor():
    for truth in (None, TRUTH):
        for figure in points(ring(400, 2), truth).values():
            assert figure.value == figure.floor


def test_points_of_known_truth_have_their_modes_counted():
    figures = points(ring(400, 3, modes=4), TRUTH)
    assert list(figures) == [
        "precision",
        "recall",
        "density",
        "coverage",
        "modes found",
        "high-quality share",
        "mode KL",
    ]
    assert (figures["modes found"].value, figures["modes found"].floor) == (4, 8)
    assert figures["mode KL"].value == pytest.approx(math.log(2), abs=0.02)
    assert figures["recall"].value < 0.6 < figures["recall"].floor
    assert "98.9%" in figures["high-quality share"].note


def test_points_of_unknown_truth_have_a_frechet_distance():
    figures = points(ring(400, 3) + 5)
    assert figures["FD (coordinates)"].value == pytest.approx(50, rel=0.1)
    assert figures["FD (coordinates)"].floor < 0.1
    assert figures["precision"].value == 0


def test_all_sets_are_cut_to_one_size_repeatably():
    figures = points(ring(300, 3))
    assert {(figure.n_real, figure.n_fake) for figure in figures.values()} == {(300, 300)}
    assert points(ring(300, 3)) == figures


def test_the_cut_is_not_the_head_of_a_sorted_set():
    halves = np.concatenate([ring(400, 4) - 9, ring(400, 5)])
    assert points(halves)["precision"].value == pytest.approx(0.5, abs=0.1)


def test_protocols_differ_with_size_metric_reference_and_seed():
    one, smaller = points(ring(400, 3)), points(ring(300, 3))
    same = points(ring(400, 4))
    assert len({figure.protocol for figure in one.values()}) == len(one)
    assert all(one[name].protocol == same[name].protocol for name in one)
    assert all(one[name].protocol != smaller[name].protocol for name in one)


def test_images_panel(images, classifier):
    floats = torch.from_numpy(images[100:]).permute(0, 3, 1, 2) / 255
    figures = {
        figure.name: figure
        for figure in measure(
            floats * 0.5, images[:100], images[100:], features=classifier, data_kind="images"
        )
    }
    assert list(figures) == [
        "FD (classifier)",
        "precision",
        "recall",
        "density",
        "coverage",
        "sharpness ratio",
    ]
    assert figures["sharpness ratio"].value == pytest.approx(0.25, rel=0.1)
    assert figures["FD (classifier)"].value > figures["FD (classifier)"].floor
    assert figures["FD (classifier)"].note.startswith("N=100 < 2x128 features: biased upward")
    assert "N=100" in figures["precision"].note


def test_flat_images_have_no_sharpness_to_compare_with(images, classifier):
    flat = np.full_like(images, 7)
    figures = measure(images, flat, images, features=classifier, data_kind="images")
    assert "sharpness ratio" not in {figure.name for figure in figures}


def test_nothing_is_called_fid():
    assert "not FID" in NOT_FID
    assert not any("FID" in name for name in points(ring(400, 3)))


def test_global_generators_are_left_alone():
    before = torch.get_rng_state()
    points(ring(300, 3))
    assert torch.equal(torch.get_rng_state(), before)


def test_memory_maps_are_welcome(tmp_path, images, classifier):
    np.save(tmp_path / "a.npy", images)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    mapped_figures = measure(mapped, mapped, mapped, features=classifier, data_kind="images")
    assert mapped_figures == measure(
        images, images, images, features=classifier, data_kind="images"
    )


def test_what_cannot_be_measured_is_said(images, classifier):
    with pytest.raises(DataError, match="5 nearest neighbours cannot be found among 5 items"):
        points(ring(5, 3))
    with pytest.raises(DataError, match="at least one"):
        points(ring(0, 3))
    with pytest.raises(DataError, match="NaN"):
        points(ring(400, 3) * np.nan)
    with pytest.raises(DataError, match="images or points, not 'text'"):
        measure(images, images, images, features=classifier, data_kind="text")
