"""The packed cache: made once, remade when anything changed, whole or absent, safe to share."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from diptych.data import cache_root, is_offline, load_data
from diptych.data import packed as packed_module
from diptych.data.origin import Origin, Prepared, silent
from diptych.data.packed import open_or_pack
from diptych.errors import DataError


def entries(cache):
    return sorted(path.name for path in (cache / "packed").iterdir())


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)


def origin_of(pixels, prepared, name="it"):
    """An origin that counts how often it is prepared."""

    def prepare(allocate, progress):
        rows = allocate(pixels.shape)
        rows[:] = pixels
        prepared.append(name)
        return Prepared(rows, np.arange(len(rows)) % 2, ("a", "b"), None, ("a note",))

    return Origin(name, f"identity of {name}", prepare)


def test_prepared_once_and_the_same_after(pixels, cache):
    count = []
    first, again = (open_or_pack(origin_of(pixels, count), cache, silent) for _ in range(2))
    assert count == ["it"]
    for packed in (first, again):
        assert np.array_equal(packed.rows, pixels)
        assert isinstance(packed.rows, np.memmap)
        assert packed.notes == ("a note",)
        assert packed.class_names == ("a", "b")
    assert np.array_equal(first.roles, again.roles)
    assert first.content == again.content
    assert len(entries(cache)) == 1


def damage_cut(entry):
    with (entry / "images.npy").open("r+b") as file:
        file.truncate(300)


def damage_longer(entry):
    with (entry / "images.npy").open("ab") as file:
        file.write(b"more")


def damage_shape(entry):
    meta = json.loads((entry / "meta.json").read_text())
    meta["shape"][0] += 1
    (entry / "meta.json").write_text(json.dumps(meta))


@pytest.mark.parametrize(
    "damage",
    [
        damage_cut,
        damage_shape,
        damage_longer,
        lambda entry: (entry / "roles.npy").unlink(),
        lambda entry: (entry / "labels.npy").write_bytes(b""),
        lambda entry: (entry / "meta.json").write_text("{"),
        lambda entry: (entry / "meta.json").write_text("[]"),
        lambda entry: np.save(entry / "roles.npy", np.zeros(3, np.int8)),
    ],
)
def test_a_damaged_entry_is_made_anew(pixels, cache, damage):
    count = []
    first = open_or_pack(origin_of(pixels, count), cache, silent)
    del first
    (entry,) = (cache / "packed").iterdir()
    damage(entry)
    packed = open_or_pack(origin_of(pixels, count), cache, silent)
    assert np.array_equal(packed.rows, pixels)
    assert len(count) == 2
    assert entries(cache) == [entry.name]


def test_many_writers_at_once_agree_and_leave_one_entry(pixels, cache):
    count = []
    with ThreadPoolExecutor(8) as pool:
        work = [
            pool.submit(open_or_pack, origin_of(pixels, count), cache, silent) for _ in range(8)
        ]
    contents = {future.result().content for future in work}
    assert len(contents) == 1
    assert len(entries(cache)) == 1


def test_an_interruption_leaves_nothing(pixels, cache):
    def prepare(allocate, progress):
        allocate(pixels.shape)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_or_pack(Origin("it", "x", prepare), cache, silent)
    assert entries(cache) == []


def test_a_cache_that_cannot_be_written_is_no_obstacle(pixels, tmp_path):
    (tmp_path / "wall").write_text("")
    packed = open_or_pack(origin_of(pixels, []), tmp_path / "wall" / "cache", silent)
    assert np.array_equal(packed.rows, pixels)
    assert (
        "cannot be written (Not a directory), so the pictures are held in memory"
        in packed.notes[1]
    )


def test_a_full_disk_is_noticed_before_it_is_written(pixels, cache, monkeypatch):
    full = shutil.disk_usage(cache.parent)._replace(free=100)
    monkeypatch.setattr(packed_module.shutil, "disk_usage", lambda path: full)
    packed = open_or_pack(origin_of(pixels, []), cache, silent)
    assert np.array_equal(packed.rows, pixels)
    assert "No space left on device" in packed.notes[1]
    assert entries(cache) == []


def test_what_killed_processes_left_is_swept_after_a_day(pixels, cache):
    old, new = cache / "packed" / ".a.1.tmp", cache / "packed" / ".b.2.tmp"
    for path in (old, new):
        path.mkdir(parents=True)
    os.utime(old, (0, 0))
    open_or_pack(origin_of(pixels, []), cache, silent)
    assert not old.exists()
    assert new.exists()


def test_fewer_rows_than_asked_for_are_kept(pixels, cache):
    def prepare(allocate, progress):
        rows = allocate(pixels.shape)
        rows[:] = pixels
        return Prepared(rows[:25])

    packed = open_or_pack(Origin("it", "x", prepare), cache, silent)
    assert np.array_equal(packed.rows, pixels[:25])


def test_a_changed_file_or_option_is_packed_again(folder, cache, save):
    first = load_data(folder)
    assert load_data(folder, size=4).fingerprint != first.fingerprint
    save(folder / "a" / "00.png")
    changed = load_data(folder)
    assert changed.fingerprint != first.fingerprint
    assert len(entries(cache)) == 3
    save(folder / "a" / "98.png")
    assert len(load_data(folder).array) == 21


def test_moved_data_keep_their_fingerprint_and_splits(folder, tmp_path):
    first = load_data(folder)
    shutil.copytree(folder, tmp_path / "elsewhere")
    second = load_data(tmp_path / "elsewhere")
    assert second.fingerprint == first.fingerprint
    assert all(np.array_equal(first.splits[s], second.splits[s]) for s in first.splits)


def test_a_refusal_is_not_cached(folder, cache):
    (folder / "a" / "bad.png").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(DataError, match=r"bad.png: is empty"):
            load_data(folder)
    assert entries(cache) == []
    load_data(folder, skip_bad=True)
    with pytest.raises(DataError):
        load_data(folder)


def test_cache_dir_is_obeyed(folder, tmp_path, cache):
    load_data(folder, cache_dir=tmp_path / "mine")
    assert len(entries(tmp_path / "mine")) == 1
    assert not cache.exists()


def test_cache_root_in_order(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    every = {"DIPTYCH_CACHE": "/a", "XDG_CACHE_HOME": "/b", "LOCALAPPDATA": "/c"}
    assert str(cache_root(every)) == "/a"
    del every["DIPTYCH_CACHE"]
    assert str(cache_root(every)) == "/b/diptych"
    del every["XDG_CACHE_HOME"]
    assert str(cache_root(every, "win32")) == "/c/diptych"
    assert cache_root(every, "darwin") == tmp_path / "Library" / "Caches" / "diptych"
    assert cache_root({}, "linux") == cache_root({}, "win32") == tmp_path / ".cache" / "diptych"


@pytest.mark.parametrize(
    ("value", "offline"), [("1", True), ("yes", True), ("0", False), ("", False)]
)
def test_offline_by_environment(value, offline):
    assert is_offline({"DIPTYCH_OFFLINE": value}) is offline
    assert not is_offline({})
