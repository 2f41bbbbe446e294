"""The idx format: known bytes, labels beside images, and every kind of damage."""

import gzip
import struct

import numpy as np
import pytest

from diptych.data import load_data
from diptych.data.idx import read_idx
from diptych.errors import DataError, MissingData


def idx_bytes(array, code=0x08):
    return (
        bytes([0, 0, code, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (12, 5, 7), dtype=np.uint8)


@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, "u1"), (0x0B, ">i2"), (0x0D, ">f4"), (0x0E, ">f8")]
)
def test_known_bytes_come_back(tmp_path, code, dtype):
    array = np.arange(6, dtype=dtype).reshape(2, 3)
    (tmp_path / "a").write_bytes(idx_bytes(array, code))
    (tmp_path / "b").write_bytes(
        gzip.compress(idx_bytes(array, code))
    )  # told by bytes, not by name
    for name in "ab":
        read = read_idx(tmp_path / name)
        assert np.array_equal(read, array)
        assert read.dtype.isnative


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_file_of_images_finds_its_labels(tmp_path, images, ending):
    pack = gzip.compress if ending else bytes
    path = tmp_path / f"my-images-idx3-ubyte{ending}"
    path.write_bytes(pack(idx_bytes(images)))
    assert load_data(path).labels is None
    (tmp_path / "my-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(12, dtype=np.uint8) % 3))
    data = load_data(path)
    assert np.array_equal(data.array[..., 0], images)
    assert data.labels.tolist() == [0, 1, 2] * 4


def test_a_folder_of_idx_files_keeps_its_official_test_set(tmp_path, images):
    for name, rows in (("train", images), ("t10k", images[:4] ^ 1)):
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx_bytes(rows))
        (tmp_path / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(rows)))
    data = load_data(tmp_path)
    assert np.array_equal(data.take("test")[..., 0], images[:4] ^ 1)
    assert len(data.array) == 16
    (tmp_path / "more-images-idx3-ubyte").write_bytes(idx_bytes(images))
    with pytest.raises(DataError, match="holds several idx files of images"):
        load_data(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda b: b"\1" + b[1:],
            "does not begin like an idx file: its first bytes are 01 00 08 03",
        ),
        (lambda b: b"", "its first bytes are missing"),
        (lambda b: b[:9], "ends inside its own header"),
        (lambda b: b[:-1], "should hold 436 bytes for shape (12, 5, 7) and holds 435"),
        (lambda b: b + b"x", "and holds 437"),
        (lambda b: gzip.compress(b)[:-20], "is a damaged or unfinished gzip file"),
        (lambda b: gzip.compress(b)[:30] + b"junk" * 20, "is a damaged or unfinished gzip file"),
    ],
)
def test_damage_is_named(tmp_path, images, change, words):
    path = tmp_path / "my-images-idx3-ubyte"
    path.write_bytes(change(idx_bytes(images)))
    with pytest.raises(DataError) as caught:
        load_data(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_labels_of_another_length_and_a_missing_file(tmp_path, images):
    (tmp_path / "my-images-idx3-ubyte").write_bytes(idx_bytes(images))
    (tmp_path / "my-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(5, np.uint8)))
    with pytest.raises(DataError, match=r"have shape \(5,\), and one per row"):
        load_data(tmp_path / "my-images-idx3-ubyte")
    with pytest.raises(MissingData):
        read_idx(tmp_path / "none")
