"""Members in real processes of their own: the same figures, and nobody pulls the others down."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest

from diptych import compare, load, load_data, open_study
from diptych.errors import InterruptedRun
from diptych.recipes import recipe_yaml
from diptych.study import measured, side_by_side, worker
from diptych.study.watching import Watcher

pytestmark = pytest.mark.usefixtures("engine_only")

METRICS = ("blur",)


QUICK = """
import sys
from functools import partial
from diptych.evaluation.extractors import choose
from diptych.evaluation.extractors.classifier import train_classifier
choose.train_classifier = partial(train_classifier, steps=15)
from diptych.study import measured
measured.write_evidence = lambda run, *_, **__: run.directory / "run.json"
measured.draw_member = lambda *_: {}
from diptych.study.worker import main
sys.exit(main())
"""
"""A worker that leaves out what has tests of its own, as this process does."""


@pytest.fixture(autouse=True)
def quick_workers(monkeypatch) -> None:
    monkeypatch.setattr(side_by_side, "WORKER", ("-c", QUICK))
    monkeypatch.setattr(measured, "draw_member", lambda *_: {})


def figures(results) -> list:
    return [(m["recipe"], m["seed"], m["status"], m["figures"]) for m in results["members"]]


class StopWhenBoth(Watcher):
    """Has SIGTERM come as soon as both members are in training."""

    def __init__(self) -> None:
        self.in_training: set[str] = set()

    def row(self, member, row) -> None:
        self.in_training.add(member)
        if len(self.in_training) == 2:
            os.kill(os.getpid(), signal.SIGTERM)


def test_two_at_a_time_find_what_one_finds(recipes, disc_data, tmp_path, told) -> None:
    # An array in memory: the workers cannot load it by a name.
    data = load_data(np.array(disc_data.array), labels=disc_data.labels)
    asked = {"images": 160, "metrics": METRICS}
    alone = compare(recipes, data, out=tmp_path / "alone", **asked)
    both = compare(recipes, data, out=tmp_path / "both", jobs=2, watcher=told, **asked)
    assert [m["status"] for m in both.results["members"]] == ["finished", "finished"]
    assert figures(both.results) == figures(alone.results)
    assert both.results["protocols"] == alone.results["protocols"]
    assert both.results["features"] == alone.results["features"]
    assert both.results["machine"]["threads"] == 1
    assert told.begun == ["Tiny VAE, seed 0", "Tiny GAN, seed 0"]
    assert any("2 members side by side, 1 thread each" in line for line in told.lines)
    assert any(line.startswith("Tiny GAN: 160 images, seed 0") for line in told.lines)


def test_stopped_and_gone_on_with(recipes, disc_data, tmp_path) -> None:
    asked = {"images": 16 * 20_000, "metrics": METRICS, "out": tmp_path / "study", "jobs": 2}
    with pytest.raises(InterruptedRun, match="go on with: diptych compare"):
        compare(recipes, disc_data, watcher=StopWhenBoth(), **asked)
    results = open_study(tmp_path / "study").results
    assert [m["status"] for m in results["members"]] == ["interrupted", "interrupted"]
    for member in results["members"]:
        run = load(tmp_path / "study" / member["directory"])
        assert run.info["status"] == "interrupted"
        assert 50 <= run.info["spent"]["steps"] == member["steps"] < 20_000


def test_a_worker_that_is_killed_is_a_crashed_member(recipes, disc_data, tmp_path, monkeypatch):
    started = []
    popen = subprocess.Popen

    def remember(*arguments, **named):
        process = popen(*arguments, **named)
        started.append(process)
        if len(started) == 1:
            process.kill()
        return process

    monkeypatch.setattr(side_by_side.subprocess, "Popen", remember)
    study = compare(
        recipes, disc_data, images=160, metrics=METRICS, out=tmp_path / "study", jobs=2
    )
    vae, gan = study.results["members"]
    assert (vae["status"], gan["status"]) == ("crashed", "finished")
    assert vae["reason"] == "its process was ended by SIGKILL; memory may have run out"
    assert (tmp_path / "study" / "tiny-vae" / "seed-0" / "crash.txt").is_file()
    again = compare(recipes, disc_data, images=160, metrics=METRICS, out=tmp_path / "study")
    assert [m["status"] for m in again.results["members"]] == ["finished", "finished"]


def test_workers_end_when_their_study_is_killed(recipes, disc_file, tmp_path, environment) -> None:
    files = []
    for recipe in recipes:
        files.append(tmp_path / f"{recipe.name}.yaml")
        files[-1].write_text(recipe_yaml(recipe))
    study = tmp_path / "study"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "diptych", "compare", *files, "--data", disc_file,
            "--images", str(16 * 50_000), "--metrics", "blur", "--out", study, "--jobs", "2",
        ],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    places = [study / recipe.name / "seed-0" for recipe in recipes]
    try:
        wait_for(lambda: all((place / "metrics.jsonl").exists() for place in places))
        assert process.poll() is None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
    # The lock is free only when the last worker has saved and ended.
    from diptych.study.lock import study_lock

    with study_lock(study):
        for place in places:
            assert load(place).info["status"] == "interrupted"


def wait_for(condition) -> None:
    for _ in range(3_000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("nothing happened for a minute")


def test_each_worker_has_its_share(monkeypatch) -> None:
    monkeypatch.setattr(side_by_side.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(side_by_side.torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    given = [side_by_side._environment(slot, 3) for slot in range(3)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in given] == ["0", "1", "0"]
    assert {each["OMP_NUM_THREADS"] for each in given} == {"3"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    assert side_by_side._environment(1, 3)["CUDA_VISIBLE_DEVICES"] == "GPU-b"


@pytest.mark.parametrize("source", ["array", "points"])
def test_data_survive_the_way_to_a_worker(source, disc_data, tmp_path) -> None:
    data = load_data("ring", num_points=100)
    if source == "array":
        data = load_data(np.array(disc_data.array), labels=disc_data.labels)
    again = worker._data_of(worker.describe_data(data, tmp_path))
    assert again.fingerprint == data.fingerprint
    assert (again.kind, again.class_names) == (data.kind, data.class_names)
    for split in data.splits:
        np.testing.assert_array_equal(again.take(split), data.take(split))
        np.testing.assert_array_equal(again.labels_of(split), data.labels_of(split))
    assert (again.truth is None) == (data.truth is None)
