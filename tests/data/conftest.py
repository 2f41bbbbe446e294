"""Every test of the data room has its own cache, no network and no data of the machine's."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("DIPTYCH_CACHE", str(folder))
    monkeypatch.setenv("DIPTYCH_OFFLINE", "1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("DIPTYCH_DATA", raising=False)
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def save(rng):
    """Write one random picture of a mode and size (width, height) to a path."""

    def write(path: Path, mode: str = "RGB", size: tuple[int, int] = (8, 8)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        channels = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}[mode]
        pixels = rng.integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def folder(tmp_path, save):
    """Twenty RGB pictures of 8 x 8 in two classes."""
    for number in range(20):
        save(tmp_path / "pictures" / "ab"[number % 2] / f"{number:02}.png")
    return tmp_path / "pictures"
