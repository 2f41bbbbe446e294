"""What every test shares: one thread, a cache that is thrown away, and tiny pictures."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diptych import load_data
from diptych.data import Data
from diptych.evaluation.density.of_model import SETTINGS, Settings
from diptych.recipes.schema import TURNS


@pytest.fixture(scope="session", autouse=True)
def apart_from_the_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither the home, the network nor a second core is touched, by subprocesses neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIPTYCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("DIPTYCH_OFFLINE", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("DIPTYCH_DATA", raising=False)
        torch.set_num_threads(1)
        yield


@pytest.fixture(autouse=True)
def quick_likelihoods(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likelihoods are estimated on a few items, except where the estimates are what is tested."""
    if "density" not in request.path.parts:
        few = Settings(
            validation=2, images=2, simulated=2, chains=2, temperatures=5, leapfrogs=2, starts=2,
            search=20, samples=20, sampled=4,
        )  # fmt: skip
        monkeypatch.setitem(SETTINGS, "quick", few)


def discs(count: int = 200, size: int = 12) -> np.ndarray:
    """Grey discs (N, size, size), small ones and large ones in turn."""
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:size, :size]
    images = np.empty((count, size, size), np.uint8)
    for index in range(count):
        middle = rng.uniform(4, size - 4, 2)
        radius = (1.5, 3.5)[index % 2] + rng.uniform(-0.4, 0.4)
        distance = np.hypot(rows - middle[0], columns - middle[1])
        images[index] = np.clip(255 * (radius + 0.5 - distance), 0, 255 - rng.integers(40))
    return images


@pytest.fixture(scope="session")
def disc_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 grey pictures of 12 x 12 in two classes, as an .npz."""
    path = tmp_path_factory.mktemp("discs") / "discs.npz"
    images = discs()
    np.savez(path, images=images, labels=np.arange(len(images)) % 2)
    return path


@pytest.fixture(scope="session")
def disc_data(disc_file: Path, apart_from_the_home: None) -> Data:
    """The same, loaded: 160 to train, 20 to choose, 20 to test."""
    return load_data(disc_file)


def _recipe(kind: str) -> dict[str, Any]:
    network = {"kind": "conv", "width": 4}
    turns = TURNS[kind]
    model: dict[str, Any] = {"kind": kind, "latent_dim": 4, "network": network}
    if kind in ("gan", "vae-gan"):
        model |= {"r1_gamma": 0.5, "r1_interval": 4}
    return {
        "name": f"tiny-{kind}",
        "title": f"Tiny {kind.upper()}",
        "summary": "for tests",
        "model": model,
        "optimizers": {turn: {"learning_rate": 1e-3} for turn in turns},
        "training": {"batch_size": 16, "ema": {"half_life": 200}},
    }


@pytest.fixture(scope="session")
def tiny_recipe() -> Callable[[str], dict[str, Any]]:
    """A small convolutional recipe of a kind, "vae", "gan" or "vae-gan", as a mapping."""
    return _recipe


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment for a real subprocess that runs this very package."""
    source = Path(__file__).parent.parent / "src"
    return {**os.environ, "PYTHONPATH": str(source), "COLUMNS": "100", "NO_COLOR": "1"}
