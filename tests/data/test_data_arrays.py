"""Arrays in memory and in .npy and .npz files: layouts, ranges, labels, and every refusal."""

import re

import numpy as np
import pytest

from diptych.data import images_to_uint8, load_data
from diptych.errors import DataError, MissingData


def refused(match, source, **options):
    with pytest.raises(DataError, match=match) as caught:
        load_data(source, **options)
    assert caught.value.exit_code == 2


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (12, 6, 9, 3), dtype=np.uint8)


def test_all_layouts_give_the_same_pixels(images):
    grey = images[..., 0]
    assert np.array_equal(load_data(images).array, images)
    assert np.array_equal(load_data(grey).array, grey[..., None])
    moved = load_data(np.moveaxis(images, -1, 1))
    assert np.array_equal(moved.array, images)
    assert moved.notes == ("channels were moved from the second axis to the last",)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((28, 28, 3), "looks like one picture"),
        ((12, 3, 32, 4), "could be the second axis or the last"),
        ((12, 5, 32, 32), "no axis can be 1 to 4 channels"),
        ((12, 3, 8, 8, 8), "is not one of pictures"),
        ((0, 8, 8), "so it is empty"),
        ((12, 784), "reshape flattened pictures first"),
        ((12,), "reshape flattened pictures first"),
    ],
)
def test_shapes_that_are_no_pictures(shape, words):
    refused(rf"has shape {re.escape(str(shape))}.*{words}", np.zeros(shape, np.uint8))


def test_scales_are_those_of_the_table(rng):
    unit = rng.random((12, 5, 5))
    unit[0, 0, :2] = 0, 1
    deep = rng.integers(0, 65536, (12, 5, 5), dtype=np.uint16)
    flags = rng.integers(0, 2, (12, 5, 5))
    small = rng.integers(0, 256, (12, 5, 5), dtype=np.int64)
    for given, expected, note in [
        (unit, np.rint(unit * 255), "floats in 0..1"),
        (
            unit.astype(np.float16),
            np.rint(unit.astype(np.float16).astype(float) * 255),
            "floats in 0..1",
        ),
        (deep, deep >> 8, "16-bit values"),
        (flags.astype(bool), flags * 255, "white and black"),
        (flags.astype(np.uint8), flags * 255, "only values are 0 and 1"),
        (small, small, "int64 values within 0..255"),
    ]:
        result, notes = images_to_uint8(given)
        assert result.dtype == np.uint8
        assert np.array_equal(result[..., 0], expected)
        assert note in notes[0]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-1.0, 1.0, r"floats from -1 to 1, and 0 to 1 was expected; .* give \(x \+ 1\) / 2"),
        (0.0, 255.0, r"floats from 0 to 255, .* give x / 255"),
        (-4.0, 300.0, r"floats from -4 to 300, .* scale them to 0..1"),
        (-1, 3, r"int64 values from -1 to 3, and 0 to 255 was expected"),
    ],
)
def test_ranges_that_are_refused_say_what_was_found(low, high, words):
    values = np.full((12, 5, 5), low)
    values[4] = high
    refused(words, values)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_first_row_that_is_not_finite_is_named(bad):
    values = np.zeros((12, 5, 5), np.float32)
    values[7, 1, 1] = bad
    refused(r"the array holds NaN or infinite values, the first of them in row 7", values)


def test_types_that_are_no_numbers():
    refused("holds values of type complex128; numbers are needed", np.ones((12, 5, 5), complex))


def test_labels_become_numbers_from_zero_and_keep_their_names(images):
    data = load_data(images, labels=[7, 3] * 6)
    assert data.labels.tolist() == [1, 0] * 6
    assert data.class_names == ("3", "7")
    assert load_data(images, labels=["cat", "ant"] * 6).class_names == ("ant", "cat")
    assert load_data(images, labels=np.array([2.0, 1.0] * 6)).class_names == ("1", "2")


def test_labels_of_another_length_or_kind(images):
    refused(
        r"the labels of the array have shape \(3,\).*one per row.*\(12,\)",
        images,
        labels=[1, 2, 3],
    )
    refused("are of type float64; whole numbers or texts", images, labels=[0.5] * 12)


def test_resizing_keeps_a_flat_picture_flat_in_every_channel():
    flat = np.tile(np.array([10, 200], np.uint8), (12, 8, 8, 1))
    flat += np.arange(12, dtype=np.uint8)[:, None, None, None]
    data = load_data(flat, size=4)
    assert np.array_equal(data.array, flat[:, :4, :4])
    assert data.shape == (2, 4, 4)
    assert data.notes == ("pictures were resized from 8 x 8 to 4 x 4",)


def test_another_aspect_is_refused_or_cropped(images):
    refused(
        "every picture in the array is 6 x 9, whose aspect is not that of 4 x 4", images, size=4
    )
    assert load_data(images, size=4, crop=True).shape == (3, 4, 4)


@pytest.mark.parametrize("keys", [("images", "labels"), ("x", "y"), ("arr_0", None)])
def test_npz_and_npy_are_the_array_they_hold(tmp_path, images, keys):
    labels = np.arange(12) % 3
    content = dict(zip(keys, (images, labels), strict=True))
    np.savez_compressed(tmp_path / "a.npz", **{k: v for k, v in content.items() if k})
    np.save(tmp_path / "a.npy", np.asfortranarray(images))
    data = load_data(tmp_path / "a.npz")
    assert np.array_equal(data.array, images)
    assert (data.labels is not None) == (keys[1] is not None)
    bare = load_data(tmp_path / "a.npy", labels=labels)
    assert np.array_equal(bare.array, images)
    assert np.array_equal(bare.labels, labels)
    assert load_data(tmp_path / "a.npy").fingerprint == load_data(images).fingerprint


def test_a_pickle_is_never_loaded(tmp_path):
    objects = np.array([{"a": 1}] * 12, object)
    np.save(tmp_path / "o.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "o.npz", images=objects)
    np.savez(tmp_path / "l.npz", images=np.zeros((12, 8, 8), np.uint8), labels=objects)
    for name in ("o.npy", "o.npz", "l.npz"):
        refused("holds Python objects .a pickle., which could run code", tmp_path / name)


def test_damaged_array_files_are_named(tmp_path, images):
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "a.npz", images=images)
    for name in ("a.npy", "a.npz"):
        whole = (tmp_path / name).read_bytes()
        for cut in (0, 5, len(whole) // 2):
            path = tmp_path / f"cut{cut}-{name}"
            path.write_bytes(whole[:cut])
            refused(f"{re.escape(str(path))} is damaged or no array file", path)
    flipped = bytearray((tmp_path / "a.npz").read_bytes())
    flipped[1000] ^= 255
    (tmp_path / "flipped.npz").write_bytes(flipped)
    refused("flipped.npz is damaged", tmp_path / "flipped.npz")


def test_entries_we_do_not_know_are_listed(tmp_path, images):
    np.savez(tmp_path / "a.npz", train=images, test=images)
    refused(
        r"holds the entries train, test; exactly one called images, x, points", tmp_path / "a.npz"
    )
    with pytest.raises(MissingData):
        load_data(tmp_path / "none.npz")


def test_data_access(images):
    data = load_data(
        np.repeat(images, 10, axis=0) + np.arange(120, dtype=np.uint8)[:, None, None, None]
    )
    train = data.splits["train"]
    assert np.array_equal(data.take("train"), data.array[train])
    few = data.take("train", 7)
    assert len(few) == 7
    assert np.all(np.diff(data.rows("train", 7)) >= len(train) // 7)
    assert data.labels_of("train", 7) is None
    assert len(data.take("test", 10_000)) == len(data.splits["test"])
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        data.take("train", 0)
