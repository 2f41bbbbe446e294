import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from diptych.errors import DataError
from diptych.training import batches as room
from diptych.training.batches import Batches, images_from_bytes

CPU = torch.device("cpu")


def numbered_images(count: int) -> np.ndarray:
    """Pictures whose every pixel is the picture's number."""
    return np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 3, 5, 2)
    ).copy()


def numbers(batch: torch.Tensor) -> list[int]:
    return (batch[:, 0, 0, 0] * 255).round().int().tolist()


def make(count: int = 12, *, batch_size: int = 4, seed: int = 0) -> Batches:
    rows = np.arange(0, 2 * count, 2)  # every second row is another split's
    return Batches(numbered_images(2 * count), rows, batch_size=batch_size, seed=seed, device=CPU)


def test_an_epoch_shows_every_image_of_the_split_once() -> None:
    batches = make(12, batch_size=4)
    for epoch in range(3):
        shown = [n for step in range(3) for n in numbers(batches[3 * epoch + step])]
        assert sorted(shown) == list(range(0, 24, 2))


def test_what_fills_no_batch_is_left_out_and_drawn_anew() -> None:
    batches = make(11, batch_size=4)
    assert batches.per_epoch == 2
    left_out = set()
    for epoch in range(30):
        shown = {n for step in range(2) for n in numbers(batches[2 * epoch + step])}
        assert len(shown) == 8
        left_out |= set(range(0, 22, 2)) - shown
    assert left_out == set(range(0, 22, 2))


def test_a_batch_is_a_function_of_seed_and_step_alone() -> None:
    once, again = make(seed=3), make(seed=3)
    forwards = [numbers(once[step]) for step in range(12)]
    torch.randn(5)  # the ambient stream has no say
    backwards = [numbers(again[step]) for step in reversed(range(12))]
    assert forwards == backwards[::-1]


def test_epochs_and_seeds_differ() -> None:
    orders = {
        tuple(make(40, seed=seed).order(epoch).tolist()) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len(orders) == 4


def test_a_split_smaller_than_the_batch_is_one_batch() -> None:
    batches = make(5, batch_size=64)
    assert batches.batch_size == 5
    assert sorted(numbers(batches[7])) == [0, 2, 4, 6, 8]


def test_mapped_data_give_the_batches_of_resident_data(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = make(30, batch_size=7)
    monkeypatch.setattr(room, "RESIDENT_BYTES", 10)
    mapped = make(30, batch_size=7)
    assert resident._resident is not None
    assert mapped._resident is None
    for step in range(9):
        assert numbers(mapped[step]) == numbers(resident[step])


def test_read_only_memory_maps_are_read_without_a_warning(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(room, "RESIDENT_BYTES", 10)
    np.save(tmp_path / "x.npy", numbered_images(8))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    batch = Batches(mapped, np.arange(8), batch_size=8, seed=0, device=CPU)[0]
    assert sorted(numbers(batch)) == list(range(8))


def mapped_pages(path) -> int:
    """Kilobytes of a mapped file that this process holds in memory."""
    held, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            ours = line.endswith(str(path))
        elif ours and line.startswith("Rss:"):
            held += int(line.split()[1])
    return held


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_mapped_file_does_not_become_memory_of_this_process(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(room, "RESIDENT_BYTES", 10)
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((4096, 32, 32, 1), np.uint8))
    mapped = np.load(path, mmap_mode="r")
    batches = Batches(mapped, np.arange(4096), batch_size=64, seed=0, device=CPU)
    before = mapped_pages(path)
    for step in range(64):
        batches[step]
    assert mapped_pages(path) == before
    np.asarray(mapped).sum()  # the law itself: a read through the mapping does
    assert mapped_pages(path) >= before + 4000


def test_a_part_of_a_mapped_file_is_read_from_where_it_begins(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(room, "RESIDENT_BYTES", 10)
    np.save(tmp_path / "x.npy", numbered_images(8))
    part = np.load(tmp_path / "x.npy", mmap_mode="r")[3:]
    batch = Batches(part, np.arange(5), batch_size=5, seed=0, device=CPU)[0]
    assert sorted(numbers(batch)) == [3, 4, 5, 6, 7]


def test_a_file_that_became_shorter_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(room, "RESIDENT_BYTES", 10)
    path = tmp_path / "x.npy"
    np.save(path, numbered_images(8))
    batches = Batches(np.load(path, mmap_mode="r"), np.arange(8), batch_size=8, seed=0, device=CPU)
    os.truncate(path, 200)
    with pytest.raises(DataError, match=r"x\.npy has become shorter"):
        batches[0]


def test_bytes_become_channels_last_values_over_255() -> None:
    array = np.random.default_rng(0).integers(0, 256, (6, 3, 5, 2), dtype=np.uint8)
    images = images_from_bytes(torch.from_numpy(array))
    assert images.is_contiguous(memory_format=torch.channels_last)
    expected = torch.from_numpy(np.moveaxis(array, 3, 1).astype(np.float32)) / 255
    assert torch.equal(images, expected)


def test_points_are_delivered_as_they_are() -> None:
    points = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    batch = Batches(points, np.arange(9), batch_size=9, seed=0, device=CPU)[0]
    assert torch.equal(batch.sort(0).values, torch.from_numpy(points).sort(0).values)
