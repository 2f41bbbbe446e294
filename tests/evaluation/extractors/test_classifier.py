import json

import numpy as np
import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.extractors.classifier import FEATURES, train_classifier
from diptych.evaluation.extractors.features import PointFeatures


def bars(n=400, size=8, channels=1, seed=0):
    """Noisy images of one bar, lying (0) or standing (1)."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, (n, size, size, channels), dtype=np.uint8)
    labels = generator.integers(0, 2, n)
    for image, label, where in zip(images, labels, generator.integers(0, size, n), strict=True):
        image[(where, slice(None)) if label == 0 else (slice(None), where)] = 200
    return images, labels


def corners(n=400):
    """Unlabelled images whose upper left is bright: every flip shows."""
    images = np.random.default_rng(0).integers(0, 60, (n, 8, 8, 1), dtype=np.uint8)
    images[:, :3, :3] += 150
    return images


@pytest.fixture(scope="module")
def trained():
    return train_classifier(*bars(), num_classes=2, steps=80)


def test_learns_bars_and_tells_fresh_ones(trained):
    images, labels = bars(seed=1)
    assert trained.accuracy > 0.95
    assert np.mean(trained.logits(images).argmax(1).numpy() == labels) > 0.95


def test_features_have_unit_scale_and_one_type(trained):
    features = trained.features(bars()[0])
    assert features.shape == (400, FEATURES)
    assert features.dtype == torch.float32
    assert float(features.mean()) == pytest.approx(0, abs=0.1)
    assert float(features.var(0).mean()) == pytest.approx(1, abs=0.25)


def test_real_bytes_and_generated_floats_take_one_path(trained):
    images, _ = bars()
    floats = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    assert torch.equal(trained.features(images), trained.features(floats + 0.3 / 255))
    assert torch.equal(trained.features(images), trained.features(torch.from_numpy(images)))


def test_features_of_an_image_do_not_depend_on_its_neighbours(trained):
    images, _ = bars(n=40)
    one = trained.features(images[7:8])
    torch.testing.assert_close(trained.features(images)[7:8], one, rtol=1e-4, atol=1e-4)


def test_same_seed_same_weights_other_seed_others():
    first, again, other = (
        train_classifier(*bars(), num_classes=2, steps=5, seed=seed) for seed in (0, 0, 1)
    )
    assert first.protocol == again.protocol
    assert first.accuracy == again.accuracy
    assert first.protocol["weights"] != other.protocol["weights"]


def test_global_generators_are_left_alone():
    torch.manual_seed(3)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    train_classifier(*bars(), num_classes=2, steps=2)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_without_labels_it_learns_the_flips():
    trained = train_classifier(corners(), None, steps=80)
    assert trained.protocol["task"] == "flips"
    assert trained.accuracy > 0.95
    turned = np.ascontiguousarray(corners()[:, :, ::-1])
    assert trained.logits(turned).argmax(1).eq(1).float().mean() > 0.95


def test_one_class_is_no_task_and_becomes_the_flips():
    images = corners(40)
    labels = np.zeros(40, np.int64)
    assert train_classifier(images, labels, num_classes=1, steps=2).protocol["classes"] == 4


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (7, 40, 2), (1, 1, 1), (150, 260, 3)])
def test_any_size_smoke(shape):
    images = np.random.default_rng(0).integers(0, 256, (24, *shape), dtype=np.uint8)
    features = train_classifier(images, None, steps=2).features(images)
    assert features.shape == (24, FEATURES)
    assert features.isfinite().all()


def test_cache_round_trip(tmp_path):
    seen = []

    def train(**extra):
        return train_classifier(
            *bars(),
            num_classes=2,
            steps=5,
            cache_dir=tmp_path,
            progress=lambda step, steps: seen.append((step, steps)),
            **extra,
        )

    first = train()
    assert seen == [(step, 5) for step in range(1, 6)]
    again = train()
    assert len(seen) == 5
    assert first.protocol == again.protocol
    assert first.accuracy == again.accuracy
    images, _ = bars(seed=2)
    assert torch.equal(first.features(images), again.features(images))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]
    train(seed=1)
    train(fingerprint="another")
    assert len(seen) == 15


@pytest.mark.parametrize("harm", ["truncate", "swap", "text", "remove"])
def test_a_damaged_cache_is_made_again(tmp_path, harm):
    first = train_classifier(*bars(), num_classes=2, steps=5, cache_dir=tmp_path)
    (weights,), (record,) = tmp_path.glob("*.safetensors"), tmp_path.glob("*.json")
    if harm == "truncate":
        weights.write_bytes(weights.read_bytes()[:100])
    elif harm == "swap":
        content = weights.read_bytes()
        weights.write_bytes(content[:-4] + b"\0\0\0\1")
    elif harm == "text":
        record.write_text("{")
    else:
        weights.unlink()
    again = train_classifier(*bars(), num_classes=2, steps=5, cache_dir=tmp_path)
    assert again.protocol == first.protocol
    assert json.loads(record.read_text())["weights"] == first.protocol["weights"]


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    trained = train_classifier(*bars(), num_classes=2, steps=2, cache_dir=tmp_path / "file")
    assert trained.features(bars()[0]).isfinite().all()


def test_read_only_arrays_are_welcome():
    images, labels = bars(40)
    images.flags.writeable = False
    assert train_classifier(images, labels, num_classes=2, steps=2).features(images).shape[0] == 40


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (bars(19)[0], None, r"at least 20 training images.*\(19, 8, 8, 1\)"),
        (bars(30)[0] / 255, None, "uint8.*not float64"),
        (bars(30)[0], np.zeros(29, np.int64), r"each of the 30 images; got \(29,\)"),
        (bars(30)[0], np.full(30, 2), "label in 0..1 .* from 2 to 2"),
    ],
)
def test_what_cannot_be_trained_on_is_said(images, labels, sentence):
    with pytest.raises(DataError, match=sentence):
        train_classifier(images, labels, num_classes=2, steps=2)


def test_another_size_is_refused(trained):
    with pytest.raises(DataError, match=r"\[1, 8, 8\] and was given \[1, 9, 9\]"):
        trained.features(bars(size=9)[0])


def test_points_are_their_own_features():
    points = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    assert np.array_equal(PointFeatures().features(points).numpy(), points)
    with pytest.raises(DataError, match="must be a matrix"):
        PointFeatures().features(points[0])
    with pytest.raises(DataError, match="NaN or infinite"):
        PointFeatures().features(points * np.nan)


def test_the_caveat_says_what_was_learned():
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    flips = train_classifier(images, None, steps=2)
    classes = train_classifier(images, np.arange(40) % 2, num_classes=2, steps=2)
    assert "which of four flips" in flips.caveat
    assert "to tell the classes" in classes.caveat
