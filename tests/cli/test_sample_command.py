"""`diptych sample`: any number of pictures into one file, whole or not at all."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from diptych import load
from diptych.models.drawing import to_bytes

SLOW = """
import time
from diptych.models.sampling import Sampler
decode = Sampler.decode
Sampler.decode = lambda *args, **kwargs: (time.sleep(0.05), decode(*args, **kwargs))[1]
from diptych.__main__ import main
main()
"""


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_the_first_of_many_are_those_of_few(ending, diptych, runs, tmp_path) -> None:
    arrays = []
    for count in (64, 1_100):
        ended = diptych("sample", runs["gan"], "-n", count, "-o", f"{count}.{ending}")
        assert ended.out == f"{count:,} samples: {count}.{ending}\n"
        loaded = np.load(tmp_path / f"{count}.{ending}")
        arrays.append(loaded if ending == "npy" else loaded["images"])
    few, many = arrays
    assert few.shape == (64, 12, 12, 1)
    # The last bit of a sum may depend on how many are summed beside it, and so one rounding.
    assert np.abs(few.astype(int) - many[:64]).max() <= 1
    assert (few == many[:64]).mean() > 0.999
    expected = to_bytes(load(runs["gan"]).model.sample(1_100, seed=0))
    assert np.abs(many.astype(int) - expected).max() <= 1


def test_half_precision_is_asked_for_and_near(diptych, runs, tmp_path) -> None:
    for name in ("auto", "fp32", "bf16"):
        ended = diptych("sample", runs["gan"], "-n", 20, "-o", f"{name}.npy", "--precision", name)
        assert ended.code == 0, ended
    auto, single, half = (np.load(f"{name}.npy").astype(int) for name in ("auto", "fp32", "bf16"))
    assert np.array_equal(auto, single)
    assert 0 < np.abs(half - single).max() <= 6


def test_what_cannot_be_written_is_told_first(refused, runs, tmp_path, monkeypatch) -> None:
    text = refused("sample", runs["gan"], "-n", 20_000)
    assert "20,000 images do not go into one picture, 10,000 do; write them to samples.npy" in text
    assert "must end in .png or .npz or .npy" in refused("sample", runs["gan"], "-o", "x.jpg")
    text = refused("sample", runs["gan"], "-n", 10**15, "-o", "many.npy")
    assert "many.npy would take 144,000,000.0 GB and" in text
    (tmp_path / "many.npy").mkdir()
    assert "cannot be read or written" in refused("sample", runs["gan"], "-o", "many.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["many.npy"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(number, runs, environment, tmp_path) -> None:
    out = tmp_path / "many.npy"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "sample", runs["gan"], "-n", "1000000", "-o", out],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for _ in range(3_000):
            if any(tmp_path.iterdir()):
                break
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(number)
        told, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, err
    assert told == ""
    assert err.splitlines()[-1] == (f"diptych: stopped by {number.name}; {out} was not written")
    assert not any(tmp_path.iterdir())
