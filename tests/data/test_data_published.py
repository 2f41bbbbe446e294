"""Named data sets: where they are found, how they are fetched, and what is said offline."""

import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest

from diptych.data import describe, load_data
from diptych.data.download import download
from diptych.data.find import ASSETS, fetch, find, places
from diptych.data.fitting import Fit
from diptych.data.idx_origin import published_origin
from diptych.data.origin import silent
from diptych.data.packed import open_or_pack
from diptych.data.published import PUBLISHED, Part, Published, PublishedFile
from diptych.errors import DataError, MissingData


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; the first `failures` answers are 503; `cut` bytes of a body stay behind."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.failures, self.cut, self.asked = {}, 0, 0, []
        self.address = f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        body = server.files.get(self.path[1:])
        if server.failures:
            server.failures -= 1
            self.send_error(503)
        elif body is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) - server.cut])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


BODY = bytes(range(256)) * 1000
MD5 = hashlib.md5(BODY).hexdigest()


def get(server, path, **options):
    download(server.address + "file", path, options.pop("md5", MD5), wait_seconds=0.01, **options)


def test_a_download_is_whole_and_told(server, tmp_path):
    server.files["file"] = BODY
    told = []
    get(server, tmp_path / "new" / "file", progress=lambda *what: told.append(what))
    assert (tmp_path / "new" / "file").read_bytes() == BODY
    assert told[-1] == ("fetching file", len(BODY), len(BODY))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_a_server_that_fails_twice_is_asked_a_third_time(server, tmp_path):
    server.files["file"], server.failures = BODY, 2
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("fault", "asked", "kind", "words"),
    [
        ({"failures": 9}, 3, MissingData, "could not be fetched (Service Unavailable)"),
        ({"cut": 100}, 3, MissingData, "the body ended after 255,900 of 256,000 bytes"),
        ({"md5": "0" * 32}, 3, DataError, f"not the published one (md5 {MD5} instead of 000"),
        ({"files": {}}, 1, MissingData, "could not be fetched (Not Found)"),
    ],
)
def test_what_fails_leaves_nothing_and_says_why(server, tmp_path, fault, asked, kind, words):
    server.files["file"] = BODY
    for name in fault.keys() - {"md5"}:
        setattr(server, name, fault[name])
    with pytest.raises(kind) as caught:
        get(server, tmp_path / "file", md5=fault.get("md5", MD5))
    assert words in str(caught.value)
    assert f"{server.address}file" in str(caught.value)
    assert caught.value.exit_code == 2
    assert len(server.asked) == asked
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_keeps_the_file_that_was_there(server, tmp_path):
    server.files["file"], server.cut = BODY, 1
    (tmp_path / "file").write_text("old")
    with pytest.raises(MissingData):
        get(server, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"


def test_no_server_and_no_place_to_write(tmp_path, server):
    server.files["file"] = BODY
    with pytest.raises(MissingData, match="could not be fetched"):
        download("http://127.0.0.1:1/file", tmp_path / "f", MD5, wait_seconds=0, attempts=2)
    (tmp_path / "wall").write_text("")
    with pytest.raises(DataError, match="wall/f cannot be written"):
        get(server, tmp_path / "wall" / "f")


@pytest.fixture
def small(server, rng):
    """A published set like MNIST in small, and the contents of its files."""
    contents, parts = {}, []
    for split, count in (("train", 30), ("t10k", 6)):
        pair = []
        for what, axes, values in (
            ("images-idx3", (count, 5, 7), rng.integers(0, 256, count * 35, dtype=np.uint8)),
            ("labels-idx1", (count,), np.arange(count, dtype=np.uint8) % 3),
        ):
            raw = bytes([0, 0, 8, len(axes)]) + struct.pack(f">{len(axes)}I", *axes)
            raw += values.tobytes()
            packed, name = gzip.compress(raw), f"{split}-{what}-ubyte.gz"
            contents[name] = packed
            md5, sha256 = hashlib.md5(packed).hexdigest(), hashlib.sha256(raw).hexdigest()
            pair.append(PublishedFile(name, md5, sha256, len(packed)))
        parts.append(Part(*pair, "test" if split == "t10k" else "train"))
    return Published("small", server.address, tuple(parts), ("a", "b", "c", "d")), contents


def load_small(published, cache, data_dir=None):
    return open_or_pack(published_origin(published, data_dir, cache, Fit(), silent), cache, silent)


def test_fetched_once_then_found(small, server, cache, monkeypatch):
    published, server.files = small
    monkeypatch.delenv("DIPTYCH_OFFLINE")
    packed = load_small(published, cache)
    assert len(server.asked) == 4
    assert packed.rows.shape == (36, 5, 7, 1)
    assert packed.class_names == ("a", "b", "c", "d")
    assert np.flatnonzero(packed.roles == 2).tolist() == list(range(30, 36))
    assert np.sum(packed.roles == 1) == 3
    monkeypatch.setenv("DIPTYCH_OFFLINE", "1")
    assert load_small(published, cache).content == packed.content
    assert len(server.asked) == 4


def test_only_missing_files_are_fetched(small, server, tmp_path):
    published, server.files = small
    fetch(published, tmp_path, silent)
    (tmp_path / published.files[2].name).unlink()
    server.asked.clear()
    fetch(published, tmp_path, silent)
    assert server.asked == ["/" + published.files[2].name]


@pytest.mark.parametrize("inner", ["", "small"])
@pytest.mark.parametrize("unpack", [False, True])
@pytest.mark.parametrize("way", ["option", "environment"])
def test_found_in_the_folder_or_below_it_packed_or_not(
    small, tmp_path, cache, monkeypatch, inner, unpack, way
):
    published, contents = small
    folder = tmp_path / "given" / inner
    folder.mkdir(parents=True)
    for name, content in contents.items():
        plain = folder / name.removesuffix(".gz")
        plain.write_bytes(gzip.decompress(content)) if unpack else (folder / name).write_bytes(
            content
        )
    if way == "environment":
        monkeypatch.setenv("DIPTYCH_DATA", str(tmp_path / "given"))
    packed = load_small(published, cache, tmp_path / "given" if way == "option" else None)
    assert packed.rows.shape == (36, 5, 7, 1)


def test_places_in_order(tmp_path):
    system = tmp_path / "system"
    given = places("x", tmp_path / "d", tmp_path / "c", {"DIPTYCH_DATA": "/e"}, system)
    assert [str(place) for place in given] == [
        f"{tmp_path}/d/x",
        f"{tmp_path}/d",
        "/e/x",
        "/e",
        f"{system}/x",
        f"{tmp_path}/c/downloads/x",
    ]
    assert find(PUBLISHED["mnist"], given) is None


def test_a_changed_file_is_not_the_published_one(small, cache):
    published, contents = small
    folder = cache / "downloads" / "small"
    folder.mkdir(parents=True)
    for name, content in contents.items():
        raw = bytearray(gzip.decompress(content))
        raw[-1] ^= 1
        (folder / name).write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(DataError, match="is not the published file: the sha256 of its content"):
        load_small(published, cache)


def test_offline_one_sentence_names_what_is_missing_and_the_ways_to_give_it(tmp_path):
    with pytest.raises(MissingData) as caught:
        load_data("mnist", data_dir=tmp_path)
    message = str(caught.value)
    assert message.startswith("mnist is not on this machine (looked in ")
    for part in (
        str(tmp_path / "mnist"), "DIPTYCH_OFFLINE forbids", "train-images-idx3-ubyte.gz", "12 MB",
        PUBLISHED["mnist"].address, "--data-dir", "DIPTYCH_DATA", "fashion-mini",
    ):  # fmt: skip
        assert part in message
    assert "\n" not in message
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, FileNotFoundError)


def test_an_unreachable_publisher_gives_the_same_sentence(small, server, cache, monkeypatch):
    published, _ = small
    monkeypatch.delenv("DIPTYCH_OFFLINE")
    with pytest.raises(MissingData, match=r"small is not on this machine.*Not Found.*--data-dir"):
        load_small(published, cache)


def test_a_data_folder_that_is_none(tmp_path):
    with pytest.raises(DataError, match=r"the data folder .* does not exist"):
        load_data("mnist", data_dir=tmp_path / "none")


def test_what_is_shipped_is_small_and_carries_its_licence():
    assert sum(path.stat().st_size for path in (ASSETS / "fashion-mini").iterdir()) <= 5_000_000
    assert "Copyright (c) 2017 Zalando SE" in (ASSETS / "fashion-mini" / "LICENSE").read_text()
    for part in PUBLISHED["fashion-mini"].parts:
        for file in (part.images, part.labels):
            content = (ASSETS / "fashion-mini" / file.name).read_bytes()
            assert hashlib.md5(content).hexdigest() == file.md5
            assert len(content) == file.num_bytes


def test_fashion_mini_is_the_official_test_set_and_needs_nothing():
    data = load_data("fashion-mini")
    summary = describe(data)
    assert summary["shape"] == [1, 28, 28]
    assert set(summary["classes"].values()) == {1000}
    assert summary["splits"] == {"train": 8000, "validation": 1000, "test": 1000}
    assert data.class_names[data.labels[0]] == "Ankle boot"
    # Frozen: another fingerprint means that published figures no longer hold for these splits.
    assert data.fingerprint.startswith("bb872bb9f2eb5beb")
    assert load_data(**data.request).fingerprint == data.fingerprint
