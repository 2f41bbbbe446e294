import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from diptych import load, train
from diptych.errors import RunError
from diptych.recipes import load_recipe
from diptych.training.checkpoint import Checkpoint, latest_checkpoint, write_checkpoint
from diptych.training.run import Run
from diptych.training.rundir import RunDirectory, new_directory, numbered, write_text

FILES = {".safetensors", ".json", ".jsonl", ".yaml", ".png"}


@pytest.fixture(scope="module")
def trained(tiny_recipe, disc_data, tmp_path_factory) -> Run:
    out = tmp_path_factory.mktemp("trained") / "run"
    return train(tiny_recipe("gan"), disc_data, images=320, seed=5, out=out)


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(trained.directory, tmp_path / "run"))


def test_nothing_in_a_run_can_execute(trained) -> None:
    files = [path for path in trained.directory.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == FILES
    for path in files:
        start = path.read_bytes()[:2]
        assert not start.startswith((b"\x80", b"PK")), f"{path} looks like a pickle or an archive"


def test_the_recipe_of_a_run_can_be_trained_again(trained, disc_data, tmp_path) -> None:
    file = trained.directory / "recipe.yaml"
    assert load_recipe(file) == trained.recipe
    again = train(file, disc_data, images=320, seed=5, out=tmp_path / "again")
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, trained.model.state_dict()[name]), name


def test_another_seed_is_another_run(trained, disc_data, tmp_path) -> None:
    other = train(trained.recipe, disc_data, images=320, seed=6, out=tmp_path / "other")
    assert not torch.equal(other.model.sample(2, seed=0), trained.model.sample(2, seed=0))


def test_run_json_says_what_where_and_how_far(trained, disc_data) -> None:
    info = json.loads((trained.directory / "run.json").read_text())
    assert {
        "schema", "diptych", "recipe", "family", "created", "seed", "data", "turns",
        "parameters", "machine", "status", "budget", "spent",
    } <= info.keys()  # fmt: skip
    assert info["status"] == "finished"
    assert info["data"]["fingerprint"] == disc_data.fingerprint
    assert info["data"]["shape"] == [1, 12, 12]
    assert info["budget"] == {"minutes": None, "images": 320}
    assert (info["spent"]["steps"], info["spent"]["images"]) == (20, 320)
    assert {"device", "precision", "threads", "processor", "torch"} <= info["machine"].keys()
    assert info["parameters"].keys() == {"generator", "discriminator"}


def test_every_term_of_every_turn_is_saved(trained) -> None:
    (row,) = trained.history  # 20 steps: one interval, the last
    assert row["step"] == 20
    assert row["progress"] == 1.0
    terms = {name for name in row if "/" in name}
    assert {"discriminator/loss", "discriminator/r1", "generator/loss"} <= terms


def test_pictures_are_of_the_same_codes(trained, disc_data, tmp_path, monkeypatch) -> None:
    (picture,) = (trained.directory / "samples").glob("*.png")
    assert picture.stem == f"{320:012d}"
    with Image.open(picture) as image:
        assert min(image.size) >= 8 * 12


def test_load_needs_no_data_and_gives_the_same_model(run, trained) -> None:
    loaded = load(run)
    assert not loaded.model.training
    assert torch.equal(loaded.model.sample(4, seed=1), trained.model.sample(4, seed=1))
    assert loaded.recipe == trained.recipe
    assert loaded.history == trained.history


def test_a_filled_directory_is_refused_and_left_alone(tiny_recipe, disc_data, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RunError, match="already exists and is not an empty directory; name a new"):
        train(tiny_recipe("vae"), disc_data, images=16, out=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(RunError, match="already exists and is not an empty directory"):
        new_directory(tmp_path / "mine.txt")
    with pytest.raises(RunError, match="cannot be made"):
        new_directory(tmp_path / "mine.txt" / "below")
    (tmp_path / "empty").mkdir()
    assert new_directory(tmp_path / "empty").is_dir()


def test_numbers_are_never_used_again(tmp_path) -> None:
    parent = tmp_path / "runs"
    assert numbered(parent, "VAE on My Pictures!").name == "0001-vae-on-my-pictures"
    assert numbered(parent, "gan").name == "0002-gan"
    (parent / "0001-vae-on-my-pictures").rmdir()
    (parent / "0041-old").mkdir()
    (parent / "notes.txt").write_text("")
    assert numbered(parent, "gan").name == "0042-gan"


def test_without_out_a_run_gets_a_number(tiny_recipe, disc_data, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = train(tiny_recipe("vae"), disc_data, images=16)
    assert run.directory == Path("runs/0001-tiny-vae-discs")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    file = tmp_path / "run.json"
    write_text(file, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_text(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
    write_text(file, "new")
    assert file.read_text() == "new"


def checkpoint(step: int, **more: object) -> Checkpoint:
    tensors = {"a": torch.full((2,), float(step))}
    state = {"step": step, "images": 0, "seconds": 0.0, "budget": {}}
    return Checkpoint(tensors, tensors, {}, tensors, {}, {**state, **more})


def test_two_checkpoints_are_kept_and_partial_ones_never_count(tmp_path) -> None:
    for step in (10, 9_999_999_999, 20, 30):
        write_checkpoint(tmp_path, checkpoint(min(step, 40)))
    (tmp_path / ".step-0000000050.partial").mkdir()
    assert latest_checkpoint(tmp_path).name == "step-0000000040"
    write_checkpoint(tmp_path, checkpoint(50))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-0000000040", "step-0000000050"]


def test_a_crash_while_writing_leaves_the_last_checkpoint(tmp_path, monkeypatch) -> None:
    write_checkpoint(tmp_path, checkpoint(10))

    def crash(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    for step in (10, 20):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", crash)
            patch.setattr(Path, "replace", crash)
            with pytest.raises(KeyboardInterrupt):
                write_checkpoint(tmp_path, checkpoint(step))
        assert latest_checkpoint(tmp_path).name == "step-0000000010"


def newest(run: Path) -> Path:
    return latest_checkpoint(run / "checkpoints")


def test_a_cut_file_is_named(run) -> None:
    weights = newest(run) / "average.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"average\.safetensors is missing or damaged"):
        load(run)
    weights.unlink()
    with pytest.raises(RunError, match=r"average\.safetensors is missing or damaged"):
        load(run)


def test_weights_of_another_recipe_are_refused(run) -> None:
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["model"]["latent_dim"] = 5
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(RunError, match="does not fit its recipe: size mismatch"):
        load(run)


def test_a_run_that_was_never_saved(run) -> None:
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(RunError, match="holds no checkpoint: the run ended before its first"):
        load(run)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", r"run\.json cannot be read"),
        ("[]", "does not have schema 1"),
        ('{"schema": 99}', "does not have schema 1"),
        ('{"schema": 1}', "is damaged: it has no seed"),
        ('{"schema": 1, "seed": 0, "data": 3}', r"is damaged: it has no data\.shape"),
    ],
)
def test_a_strangers_run_json(run, text, says) -> None:
    (run / "run.json").write_text(text)
    with pytest.raises(RunError, match=says):
        load(run)


def test_a_strangers_recipe_and_state(run, disc_data) -> None:
    from diptych import resume
    from diptych.errors import RecipeError

    state = newest(run) / "state.json"
    state.write_text("{}")
    with pytest.raises(RunError, match=r"state\.json is damaged"):
        resume(run, images=16, data=disc_data)
    (run / "recipe.yaml").write_text("model: !!python/object/apply:os.system [echo]")
    with pytest.raises(RecipeError, match="not valid YAML at line 1"):
        load(run)
    (run / "recipe.yaml").unlink()
    with pytest.raises(RunError, match=r"is not a run: it has no recipe\.yaml"):
        load(run)


def test_metrics_of_a_crash_are_read_as_far_as_they_go(tmp_path) -> None:
    directory = RunDirectory(tmp_path)
    assert directory.read_metrics() == []
    for step in (5, 10, 15):
        directory.append_metrics({"step": step})
    with directory.metrics_file.open("a") as file:
        file.write('{"st')
    assert [row["step"] for row in directory.read_metrics()] == [5, 10, 15]
    directory.cut_metrics(10)
    directory.append_metrics({"step": 15})
    assert [row["step"] for row in directory.read_metrics()] == [5, 10, 15]
