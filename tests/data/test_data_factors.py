"""Known factors of variation: read beside the pictures, split with them, and never guessed."""

import json
import re

import numpy as np
import pytest

from diptych.data import arrays, load_data
from diptych.data.dataset import describe
from diptych.errors import DataError


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (40, 6, 6), dtype=np.uint8)


@pytest.fixture
def factors(rng):
    drawn = rng.integers(0, 4, (40, 3))
    drawn[:, 0] = 7
    return drawn


@pytest.fixture
def save_npz(tmp_path):
    def write(name="a.npz", **entries):
        np.savez(tmp_path / name, **entries)
        return tmp_path / name

    return write


def test_factors_come_with_their_rows(save_npz, images, factors):
    path = save_npz(images=images, factors=factors, labels=factors[:, 1])
    for _ in range(2):  # packed, then from the cache
        data = load_data(path)
        assert data.factors.dtype == np.int64
        assert np.array_equal(data.factors, factors)
        assert data.factor_names == ("factor 0", "factor 1", "factor 2")
        rows = data.rows("train", 5)
        assert np.array_equal(data.factors_of("train", 5), factors[rows])
        assert np.array_equal(data.take("train", 5)[..., 0], images[rows])
        assert np.array_equal(data.labels, factors[:, 1])


def test_a_resized_picture_keeps_its_factors(save_npz, images, factors):
    data = load_data(save_npz(imgs=images, factors=factors), size=3)
    assert data.shape == (1, 3, 3)
    assert np.array_equal(data.factors, factors)


def test_the_layout_of_dsprites(save_npz, rng):
    pixels = rng.integers(0, 2, (40, 8, 8), dtype=np.uint8)
    classes = rng.integers(0, 3, (40, 6))
    classes[:, 0] = 0
    secrets = np.array({"latents_names": "a pickle"}, object)
    path = save_npz(
        metadata=secrets, imgs=pixels, latents_classes=classes, latents_values=classes * 0.5
    )
    data = load_data(path)
    assert data.is_binary
    assert np.array_equal(data.array[..., 0], pixels * 255)
    assert np.array_equal(data.factors, classes)
    assert data.factor_names == ("color", "shape", "scale", "orientation", "posX", "posY")
    assert describe(data)["factors"]["color"] == 1
    assert describe(data)["factors"]["posX"] == len(np.unique(classes[:, 4]))
    assert data.labels is None


def test_a_set_with_the_entries_of_dsprites_and_other_factors(save_npz, images, factors):
    path = save_npz(metadata=[1], imgs=images, latents_classes=factors, latents_values=factors)
    assert load_data(path).factor_names == ("factor 0", "factor 1", "factor 2")


def test_the_names_of_factors_are_read_with_them(save_npz, images, factors):
    names = ["hue", "size", "place"]
    data = load_data(save_npz(images=images, factors=factors, factor_names=names))
    assert data.factor_names == ("hue", "size", "place")
    assert list(describe(data)["factors"]) == names


def test_points_may_have_factors(save_npz, rng, factors):
    data = load_data(save_npz(x=rng.normal(size=(40, 2)), factors=factors.astype(float)))
    assert data.kind == "points"
    assert np.array_equal(data.factors, factors)


def test_factors_move_the_fingerprint_and_nothing_else(save_npz, images, factors):
    bare = load_data(save_npz("bare.npz", images=images))
    known = load_data(save_npz("known.npz", images=images, factors=factors))
    other = load_data(save_npz("other.npz", images=images, factors=factors[::-1]))
    assert len({bare.fingerprint, known.fingerprint, other.fingerprint}) == 3
    for split, rows in bare.splits.items():
        assert np.array_equal(rows, known.splits[split])
    assert bare.factors is None
    assert bare.factors_of("test") is None
    assert bare.factor_names == ()
    assert "factors" not in describe(bare)


def test_fingerprints_and_entries_from_before_factors_are_the_same(save_npz, cache):
    # Pinned to what version 1 of the cache gave before it knew of factors.
    pixels = (np.arange(40 * 8 * 8, dtype=np.uint32) * 2654435761 >> 24).astype(np.uint8)
    data = load_data(save_npz(images=pixels.reshape(40, 8, 8), labels=np.arange(40) % 3))
    assert data.fingerprint == ("fae808db8b2a8e893af43f74fdbcd1d2f3e74675631d90f8f6521a7fbac17dbe")
    (entry,) = (cache / "packed").iterdir()
    meta = json.loads((entry / "meta.json").read_text())
    assert sorted(meta) == ["class_names", "content", "labelled", "notes", "shape", "version"]
    assert not (entry / "factors.npy").exists()


def test_an_entry_packed_before_factors_were_read_is_not_taken(
    save_npz, images, factors, cache, monkeypatch
):
    path = save_npz(images=images, factors=factors)
    with monkeypatch.context() as patch:
        patch.setattr(arrays, "FACTOR_KEYS", ())
        assert load_data(path).factors is None
    assert np.array_equal(load_data(path).factors, factors)
    assert len(list((cache / "packed").iterdir())) == 2


def test_an_entry_that_lost_its_factors_is_made_anew(save_npz, images, factors, cache):
    path = save_npz(images=images, factors=factors)
    load_data(path)
    (entry,) = (cache / "packed").iterdir()
    np.save(entry / "factors.npy", factors[:5])
    assert np.array_equal(load_data(path).factors, factors)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"factors": np.zeros(40, int)}, r"have shape \(40,\), and one row of them per row"),
        ({"factors": np.zeros((7, 3), int)}, r"have shape \(7, 3\).*\(40, F\)"),
        ({"factors": np.zeros((40, 0), int)}, r"have shape \(40, 0\)"),
        ({"factors": np.full((40, 2), 0.5)}, "are of type float64; whole numbers"),
        ({"factors": np.full((40, 2), np.nan)}, "are of type float64; whole numbers"),
        ({"latents_classes": np.full((40, 2), "a")}, "are of type <U1; whole numbers"),
        (
            {"factors": np.zeros((40, 2), int), "factor_names": ["a", "a"]},
            "has 2 factors and names them a, a; one name for each",
        ),
        (
            {"factors": np.zeros((40, 2), int), "factor_names": ["a"]},
            "has 2 factors and names them a;",
        ),
        ({"factors": np.array([{}] * 40, object)}, "holds Python objects .a pickle."),
    ],
)
def test_factors_that_cannot_be_used(save_npz, images, entries, sentence):
    path = save_npz(images=images, **entries)
    with pytest.raises(DataError, match=sentence) as caught:
        load_data(path)
    assert re.search(r"a\.npz", str(caught.value))


def test_images_win_over_imgs(save_npz, images):
    data = load_data(save_npz(images=images, imgs=images[:20]))
    assert len(data.array) == 40
