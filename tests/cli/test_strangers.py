"""What a stranger did to the command line once, and must not be able to do again."""

import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import diptych as package
from diptych.errors import DataError
from diptych.recipes import load_recipe


def test_two_recipes_of_one_title_are_told_apart(diptych, recipe_files, disc_file, tmp_path):
    twin = tmp_path / "twin.yaml"
    twin.write_text(recipe_files["vae"].read_text().replace("name: tiny-vae", "name: twin"))
    ended = diptych(
        "compare", recipe_files["vae"], twin, "--data", disc_file, "--images", 32, "--out", "s"
    )
    assert ended.code == 0
    assert "Tiny VAE (tiny-vae)" in ended.out
    assert "Tiny VAE (twin)" in ended.out
    page = (tmp_path / "s" / "report.html").read_text()
    assert "Tiny VAE (twin)" in page


def test_a_diverged_member_is_explained_and_never_suggested(
    diptych, recipe_files, disc_file, tmp_path
):
    bad = tmp_path / "bad.yaml"
    text = recipe_files["gan"].read_text().replace("name: tiny-gan", "name: bad")
    bad.write_text(text.replace("learning_rate: 0.001", "learning_rate: 1.0e+30"))
    ended = diptych(
        "compare", recipe_files["vae"], bad, "--data", disc_file, "--images", 1600, "--out", "s"
    )
    assert ended.code == 0
    assert "diverged" in ended.out
    assert "s/bad/seed-0: training diverged" in ended.out
    assert "diptych sample s/tiny-vae/seed-0" in ended.out
    assert "diptych sample s/bad" not in ended.out


def test_a_study_is_not_a_run_and_names_its_runs(refused, diptych, recipe_files, disc_file):
    diptych("compare", recipe_files["vae"], "--data", disc_file, "--images", 32, "--out", "s")
    assert "s is a study; its runs are s/tiny-vae/seed-0" in refused("evaluate", "s")


def test_brackets_in_names_are_only_brackets(diptych, recipe_files, disc_file, tmp_path):
    ended = diptych(
        "train", recipe_files["vae"], "--data", disc_file, "--images", 32, "--out", "[bold]x[/y]"
    )
    assert ended.code == 0
    assert "diptych sample [bold]x[/y] -n 64" in ended.out
    images = np.random.default_rng(0).integers(0, 255, (20, 8, 8), dtype=np.uint8)
    for name in ("[red]", "[/x]"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index, image in enumerate(images):
            from PIL import Image

            Image.fromarray(image).save(tmp_path / "data" / name / f"{index}.png")
    ended = diptych("data", "data", "--out", "sheet.png")
    assert ended.code == 0
    assert "[red] 20" in ended.out


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    diptych, recipe_files, disc_file, monkeypatch, tmp_path
):
    from diptych.training import session

    monkeypatch.setattr(session, "SAVE_EVERY_SECONDS", 0.0)
    diptych("train", recipe_files["vae"], "--data", disc_file, "--images", 1600, "--out", "run")
    older, newer = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))
    (newer / "players.safetensors").write_bytes(b"cut")
    ended = diptych("resume", "run", "--images", 32)
    assert ended.code == 0
    assert f"going on from {older.name} instead" in ended.err


def test_only_damaged_checkpoints_is_a_sentence_about_the_newest(
    refused, diptych, recipe_files, disc_file, tmp_path
):
    diptych("train", recipe_files["vae"], "--data", disc_file, "--images", 32, "--out", "run")
    (newest,) = (tmp_path / "run" / "checkpoints").glob("step-*")
    (newest / "average.safetensors").write_bytes(b"cut")
    assert "average.safetensors is missing or damaged" in refused("sample", "run")


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize("budget", [("--minutes", "0"), ("--minutes", "nan"), ("--images", "0")])
def test_an_impossible_budget_is_refused_before_data_are_read(command, budget, refused):
    sentence = refused(command, "vae", "--data", "nowhere", *budget)
    assert "nowhere" not in sentence


def test_a_seed_too_large_for_torch(refused):
    assert "--seed" in refused("train", "vae", "--seed", 2**64, "--images", 32)


def test_too_much_memory_is_a_sentence(refused, runs):
    assert "not enough memory" in refused(
        "sample", runs["vae"], "-n", 10_000, "--out", "big.png", "--scale", 500
    )


def test_any_picture_of_other_data_may_be_reconstructed(diptych, runs, tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (12, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "other.npz", images=images)
    ended = diptych("reconstruct", runs["vae"], "--data", "other.npz", "-n", 9, "--out", "p.png")
    assert ended.out.startswith("9 pairs")


def test_points_cannot_be_reconstructed_as_images(refused, runs):
    assert "ring holds points" in refused("reconstruct", runs["vae"], "--data", "ring")


def test_moved_data_are_missed_by_the_runs_name(
    refused, diptych, recipe_files, disc_file, tmp_path
):
    shutil.copy(disc_file, tmp_path / "here.npz")
    diptych("train", recipe_files["vae"], "--data", "here.npz", "--images", 32, "--out", "run")
    (tmp_path / "here.npz").unlink()
    assert "the data of run is no longer there" in refused("evaluate", "run")


def test_recipes_that_name_each_other_as_base(refused, tmp_path):
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    assert "'base' is" in refused("recipes", "a.yaml")


def test_a_base_lies_beside_the_file_that_names_it(recipe_files, tmp_path, monkeypatch):
    folder = tmp_path / "deep"
    folder.mkdir()
    shutil.copy(recipe_files["vae"], folder / "base.yaml")
    (folder / "child.yaml").write_text("base: base.yaml\ntitle: Child\n")
    monkeypatch.chdir(tmp_path)
    assert load_recipe(folder / "child.yaml").title == "Child"


def test_a_reader_that_leaves_does_not_stop_training(
    environment, recipe_files, disc_file, tmp_path
):
    process = subprocess.Popen(
        [
            sys.executable, "-m", "diptych", "train", recipe_files["vae"], "--data", disc_file,
            "--images", "3200", "--out", tmp_path / "run",
        ],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(timeout=120) == 0
    assert package.load(tmp_path / "run").info["status"] == "finished"


def test_a_closed_terminal_saves(environment, recipe_files, disc_file, tmp_path):
    process = subprocess.Popen(
        [
            sys.executable, "-m", "diptych", "train", recipe_files["vae"], "--data", disc_file,
            "--images", "320000", "--out", tmp_path / "run",
        ],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for _ in range(3_000):
        if (tmp_path / "run" / "metrics.jsonl").exists():
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped by SIGHUP and saved" in err


def test_tensors_are_data_and_lists_are_told_no():
    import torch

    data = package.load_data(torch.randint(0, 255, (20, 8, 8), dtype=torch.uint8))
    assert data.shape == (1, 8, 8)
    with pytest.raises(DataError, match="this is a list"):
        package.load_data([1, 2])
