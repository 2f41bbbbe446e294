"""Which runs are opened, what they are called, and where their pictures come from."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from diptych import load_data, train
from diptych.errors import DataError, RunError
from diptych.explorer import runs as rooms
from diptych.explorer.commands import reconstruct_command
from diptych.explorer.runs import named_runs, open_exhibits
from diptych.report.reading import SCHEMA
from diptych.training.rundir import RunDirectory


def member(directory: str, status: str = "finished", seed: int = 0) -> dict:
    return {
        "recipe": "tiny", "title": "Tiny", "seed": seed, "status": status, "directory": directory,
    }  # fmt: skip


@pytest.fixture
def study(tmp_path, run_directories) -> Path:
    """A study with one finished member, one that crashed, and two that lie outside of it."""
    folder = tmp_path / "study"
    shutil.copytree(run_directories["vae"], folder / "vae" / "seed-0")
    shutil.copytree(run_directories["gan"], tmp_path / "private")
    members = [
        member("vae/seed-0"), member("vae/seed-1", "crashed", 1), member("../private", seed=2),
        member(str(tmp_path / "private"), seed=3),
        {"recipe": "tiny", "title": "Tiny", "seed": 4, "status": "waiting"},
    ]  # fmt: skip
    content = {
        "schema": SCHEMA, "diptych": "0", "members": members,
        "data": {"name": "discs", "kind": "images", "shape": [1, 12, 12]},
        "budget": {"minutes": None, "images": 160, "equal": "images"},
    }  # fmt: skip
    (folder / "study.json").write_text(json.dumps(content))
    return folder


def test_a_study_stands_for_its_finished_members(study, run_directories) -> None:
    assert named_runs([study]) == [study / "vae/seed-0"]
    gan = run_directories["gan"]
    assert named_runs([gan, study, gan]) == [gan, study / "vae/seed-0"]


def test_of_each_recipe_the_first_finished_seed_is_shown(study, run_directories) -> None:
    content = json.loads((study / "study.json").read_text())
    others = [("vae", 0, "crashed"), ("vae", 1, "finished"), ("gan", 0, "finished")]
    content["members"] = []
    for recipe, seed, status in [*others, ("vae", 2, "finished")]:
        place = f"{recipe}/seed-{seed}"
        shutil.copytree(run_directories[recipe], study / place, dirs_exist_ok=True)
        content["members"].append({**member(place, status, seed), "recipe": recipe})
    (study / "study.json").write_text(json.dumps(content))
    assert named_runs([study]) == [study / "vae/seed-1", study / "gan/seed-0"]


def test_a_link_out_of_a_study_is_not_followed(study, run_directories) -> None:
    shutil.rmtree(study / "vae/seed-0")
    (study / "vae/seed-0").symlink_to(run_directories["gan"], target_is_directory=True)
    with pytest.raises(RunError, match="without a finished member"):
        named_runs([study])


def test_too_many_runs_for_a_page(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(rooms, "MOST_RUNS", 2)
    with pytest.raises(RunError, match="these are 3 runs, and at most 2 fit"):
        named_runs([tmp_path / name for name in "abc"])


def test_titles_tell_runs_apart(run_directories, tmp_path) -> None:
    vae = run_directories["vae"]
    other, third = tmp_path / "other", tmp_path / "third"
    for copy, seed in ((other, 7), (third, 7)):
        shutil.copytree(vae, copy)
        directory = RunDirectory.open(copy)
        directory.write_info({**directory.read_info(), "seed": seed})
    titles = [e.title for e in open_exhibits([vae, other, third, run_directories["gan"]])]
    assert titles == [
        "Tiny VAE, seed 0", f"Tiny VAE, seed 7, {other}", f"Tiny VAE, seed 7, {third}", "Tiny GAN",
    ]  # fmt: skip


def test_points_are_refused(tmp_path) -> None:
    ring = train("gan-mlp", load_data("ring", num_points=200), images=64, out=tmp_path / "ring")
    with pytest.raises(RunError, match=r"explore shows pictures, and .*ring makes points"):
        open_exhibits([ring.directory])


@pytest.fixture
def moved(tmp_path, disc_file, tiny_recipe) -> Path:
    """A run whose data have been moved away since, to `there.npz`."""
    here = tmp_path / "here.npz"
    shutil.copy(disc_file, here)
    run = train(tiny_recipe("vae"), load_data(here), images=16, out=tmp_path / "run")
    here.rename(tmp_path / "there.npz")
    return run.directory


def test_data_that_are_gone_do_not_stop_the_rest(moved) -> None:
    (exhibit,) = open_exhibits([moved])
    assert exhibit.data is None
    assert "no longer there" in exhibit.without


def test_own_data_are_known_again_in_another_place(moved, disc_data) -> None:
    there = moved.parent / "there.npz"
    (exhibit,) = open_exhibits(
        [moved], load_given=lambda size: load_data(there, size=size), given=f"--data {there}"
    )
    assert exhibit.is_own
    assert exhibit.data.fingerprint == disc_data.fingerprint
    assert len(exhibit.pictures(0)[0]) == 8
    assert reconstruct_command(exhibit) is None


def test_other_data_are_brought_to_the_model(run_directories, tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 20, 20), dtype=np.uint8)
    np.save(tmp_path / "other.npy", images)
    sizes = []

    def load_given(size):
        sizes.append(size)
        return load_data(tmp_path / "other.npy", size=size)

    exhibits = open_exhibits(
        list(run_directories.values()), load_given=load_given, given="--data other.npy"
    )
    assert sizes == [None, (12, 12)]
    for exhibit in exhibits:
        assert (exhibit.is_own, exhibit.data.shape) == (False, (1, 12, 12))
    text = reconstruct_command(exhibits[0])
    assert text == (
        f"diptych reconstruct {exhibits[0].directory} --data other.npy -n 8 --out pairs.png"
    )


def test_data_of_other_channels_are_refused(run_directories, tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 12, 12, 3), dtype=np.uint8)
    np.save(tmp_path / "colour.npy", images)
    with pytest.raises(DataError, match="name pictures that fit"):
        open_exhibits(
            [run_directories["vae"]],
            load_given=lambda size: load_data(tmp_path / "colour.npy", size=size),
            given="--data colour.npy",
        )
