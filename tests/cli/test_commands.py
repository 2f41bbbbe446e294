"""Every command from end to end on tiny data."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diptych.cli.console import format_number


def picture(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size


@pytest.fixture
def run_copy(runs, tmp_path) -> Path:
    return Path(shutil.copytree(runs["vae"], tmp_path / "copy"))


def test_train_and_resume(diptych, recipe_files, disc_file, tmp_path) -> None:
    ended = diptych(
        "train", recipe_files["gan"], "--data", disc_file, "--images", 160, "-o", "run"
    )
    assert ended.code == 0, ended
    assert "160 images in 10 steps" in ended.out
    assert "next: diptych sample run" in ended.out
    assert "diptych evaluate run" in ended.out
    assert "data: " in ended.err
    assert "200 12 x 12 x 1 images (160 train, 20 validation, 20 test)" in ended.err
    assert "Tiny GAN: 160 images, seed 0, cpu" in ended.err
    assert "\r" not in ended.err
    assert "\x1b" not in ended.err + ended.out
    ended = diptych("resume", "run", "--images", 32, "--json")
    assert ended.code == 0, ended
    assert ended.err == ""
    result = json.loads(ended.out)
    assert result.keys() == {"run", "steps", "images", "seconds", "images_per_second"}
    assert (result["run"], result["steps"], result["images"]) == ("run", 12, 192)


def test_train_json_and_quiet(diptych, recipe_files, disc_file) -> None:
    base = ("train", recipe_files["vae"], "--data", disc_file, "--images", 32, "--seed", 3)
    ended = diptych(*base, "--json", "--set", "model.latent_dim=2")
    assert ended.err == ""
    result = json.loads(ended.out)
    assert result["images"] == 32
    info = json.loads((Path(result["run"]) / "run.json").read_text())
    assert info["seed"] == 3
    recipe = (Path(result["run"]) / "recipe.yaml").read_text()
    assert "latent_dim: 2" in recipe
    ended = diptych(*base, "--quiet")
    assert ended.err == ""
    assert "32 images in 2 steps" in ended.out


def test_progress_off_a_terminal_is_plain_lines(
    diptych, recipe_files, disc_file, monkeypatch
) -> None:
    monkeypatch.setattr("diptych.cli.console.PLAIN_EVERY_SECONDS", 0.0)
    monkeypatch.setattr("diptych.training.loop.LOG_EVERY", 5)
    ended = diptych("train", recipe_files["gan"], "--data", disc_file, "--images", 160)
    lines = [line for line in ended.err.splitlines() if "images/s" in line]
    assert len(lines) == 2
    assert lines[0].startswith("Tiny GAN   50%")
    assert "0:0" in lines[0]
    assert "left" in lines[0]
    assert "D:loss" in lines[0]
    assert "G:loss" in lines[0]
    assert "100%" in lines[1]


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_pictures_from_a_run(kind, diptych, runs) -> None:
    run = runs[kind]
    assert "9 samples: grid.png" in diptych("sample", run, "-n", 9, "--out", "grid.png").out
    wide, high = picture(Path("grid.png"))
    assert wide == high >= 36
    assert diptych("sample", run, "-n", 9, "-o", "again.png", "--seed", 0).code == 0
    assert Path("grid.png").read_bytes() == Path("again.png").read_bytes()
    assert diptych("sample", run, "-n", 9, "-o", "other.png", "--seed", 1).code == 0
    assert Path("grid.png").read_bytes() != Path("other.png").read_bytes()
    ended = diptych("interpolate", run, "-n", 2, "--steps", 5, "--scale", 1)
    assert "2 strips of 5: strip.png" in ended.out
    wide, high = picture(Path("strip.png"))
    assert wide > 2 * high
    ended = diptych("reconstruct", run, "-n", 3, "--out", "pairs.png")
    assert "3 pairs, mean squared error 0." in ended.out
    picture(Path("pairs.png"))


def test_reconstruct_pictures_of_another_size(diptych, runs, tmp_path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (20, 20), dtype=np.uint8)).save(
            folder / f"{number}.png"
        )
    ended = diptych("reconstruct", runs["vae"], "--data", folder, "-n", 1)
    assert ended.code == 0, ended
    assert "1 pair, mean" in ended.out


def test_evaluate(diptych, run_copy) -> None:
    ended = diptych("evaluate", run_copy, "--json", "-n", 10)
    assert ended.err == ""
    result = json.loads(ended.out)
    assert result == json.loads((run_copy / "evaluation.json").read_text())
    assert result["metrics"]["fd-classifier"].keys() >= {
        "value", "low", "high", "floor", "n_real", "n_fake", "protocol",
    }  # fmt: skip
    assert {figure["protocol"] for figure in result["metrics"].values()} == set(
        result["protocols"]
    )
    names = {figure["name"] for figure in result["metrics"].values()}
    assert {"FD (classifier)", "precision (classifier)", "negative ELBO"} <= names
    assert {"bits per dimension", "reconstruction error", "sharpness ratio"} <= names
    assert "membership AUC by log-density" in names  # a VAE has a bound for every image
    ended = diptych("evaluate", run_copy, "-n", 10)
    assert ended.code == 0
    for name in names:
        assert name.removesuffix(" (classifier)").removesuffix(" (pyramid)") in ended.out
    assert "floor" in ended.out
    assert "it is not FID" in ended.out


def test_recipes(diptych) -> None:
    ended = diptych("recipes")
    assert ended.code == 0
    assert {"vae", "gan", "vae-mlp", "gan-mlp"} <= {
        line.split()[0] for line in ended.out.splitlines()
    }
    listed = json.loads(diptych("recipes", "--json").out)["recipes"]
    assert {"name", "summary"} == listed[0].keys()
    whole = diptych("recipes", "vae", "--set", "model.latent_dim=7").out
    Path("mine.yaml").write_text(whole)
    assert json.loads(diptych("recipes", "mine.yaml", "--json").out)["model"]["latent_dim"] == 7


def test_data(diptych, disc_file) -> None:
    ended = diptych("data", disc_file, "--json")
    assert ended.err == ""
    result = json.loads(ended.out)
    assert (result["count"], result["shape"]) == (200, [1, 12, 12])
    assert result["splits"] == {"train": 160, "validation": 20, "test": 20}
    picture(Path(result["contact_sheet"]))
    ended = diptych("data", disc_file, "--out", "sheet.png", "--size", "8x10", "--crop")
    assert "contact sheet: sheet.png" in ended.out
    assert "8 x 10" in ended.err
    picture(Path("sheet.png"))


def test_doctor(diptych, monkeypatch) -> None:
    monkeypatch.setattr("diptych.cli.doctor.PEAK_SECONDS", 0.0)
    facts = json.loads(diptych("doctor", "--json").out)
    assert {"diptych", "python", "torch", "processor", "cache", "plan"} <= facts.keys()
    plan = facts["plan"]
    for name in ("device", "precision", "threads", "allocator", "linear", "compile"):
        assert plan[name]
        assert plan["reasons"][name]
    threads = torch.get_num_threads()
    assert [peaks["threads"] for peaks in facts["peaks_gflops"]] == sorted({1, threads})
    assert all(peaks["gemm_fp32"] > 0 < peaks["conv_fp32"] for peaks in facts["peaks_gflops"])
    ended = diptych("doctor")
    assert ended.code == 0
    assert ended.err == ""
    assert facts["torch"] in ended.out
    assert "peak, GFLOP/s" in ended.out
    for name in plan["reasons"].keys() - {"threads", "linear"}:  # which tell what was timed
        assert plan["reasons"][name] in ended.out


def test_version(diptych) -> None:
    from diptych import __version__

    assert diptych("--version").out == f"diptych {__version__}\n"


def test_no_evaluation_is_ever_lost(diptych, run_copy) -> None:
    def kept() -> dict:
        return json.loads((run_copy / "evaluation.json").read_text())["metrics"]

    small = ("-n", 10, "--features", "pixels")
    assert diptych("evaluate", run_copy, *small, "--metrics", "fid").code == 0
    assert diptych("evaluate", run_copy, *small, "--metrics", "blur").code == 0
    assert {"fd-pixels", "sharpness-ratio"} <= kept().keys()  # of one state of the run: together
    first = (run_copy / "evaluation.json").read_text()
    assert diptych("evaluate", run_copy, *small, "--metrics", "fid", "--seed", 1).code == 0
    assert kept().keys() == {"fd-pixels"}
    assert (run_copy / "evaluation-1.json").read_text() == first
    (run_copy / "evaluation.json").write_text("{")
    assert diptych("evaluate", run_copy, *small, "--metrics", "fid").code == 0
    assert (run_copy / "evaluation-2.json").read_text() == "{"
    ended = diptych("evaluate", run_copy, *small, "--metrics", "factors")
    assert ended.code == 2
    assert "nothing that was asked for" in ended.err
    assert kept().keys() == {"fd-pixels"}


def test_diff(diptych, run_copy, tmp_path) -> None:
    alone = ("--features", "pixels", "--metrics", "fid,blur", "--json")
    for name, n in (("a", 10), ("b", 10), ("c", 12)):
        (tmp_path / name).write_text(diptych("evaluate", run_copy, "-n", n, *alone).out)
    ended = diptych("diff", "a", "b")
    assert (ended.code, ended.err) == (0, "")
    assert "refused" not in ended.out
    ended = diptych("diff", "a", "c")
    assert ended.code == 2
    assert "size: 10 against 12" in ended.err
    ended = diptych("diff", "a", "c", "--force", "--json")
    assert not any(entry["same_protocol"] for entry in json.loads(ended.out).values())
    ended = diptych("diff", "a", "nowhere")
    assert ended.code == 2
    assert "nowhere has no evaluation" in ended.err


def test_two_sets_of_images(diptych, disc_file) -> None:
    ended = diptych(
        "evaluate", "--real", disc_file, "--fake", disc_file, "--features", "pixels",
        "--metrics", "fid,prdc", "--json",
    )  # fmt: skip
    result = json.loads(ended.out)
    assert result["metrics"]["fd-pixels"]["n_fake"] == 100
    assert "exact copies" in result["remarks"][1]
    for arguments in ((), ("--real", disc_file), ("run", "--real", disc_file)):
        assert diptych("evaluate", *arguments).code == 2


def test_points_from_end_to_end(diptych) -> None:
    ended = diptych(
        "train", "vae-mlp", "--data", "ring", "--images", 256, "--out", "points", "--json",
        "--set", "model.network.width=8",
    )  # fmt: skip
    assert ended.code == 0, ended
    assert diptych("sample", "points", "-n", 50, "--out", "points.png").code == 0
    picture(Path("points.png"))
    assert diptych("interpolate", "points", "--out", "paths.png").code == 0
    ended = diptych("evaluate", "points", "-n", 100, "--json")
    names = {figure["name"] for figure in json.loads(ended.out)["metrics"].values()}
    assert {"modes found", "high-quality share", "negative ELBO"} <= names
    ended = diptych("reconstruct", "points")
    assert ended.code == 2
    assert "makes points" in ended.err


def test_compare(diptych, recipe_files, disc_file) -> None:
    ended = diptych(
        "compare", recipe_files["vae"], recipe_files["gan"], "--data", disc_file,
        "--images", 160, "--out", "study",
    )  # fmt: skip
    assert ended.code == 0, ended
    assert "page: " in ended.out
    assert Path("study/report.html").is_file()
    assert str(Path("study/report.html").resolve()) in ended.out
    assert "Tiny VAE" in ended.out
    assert "Tiny GAN" in ended.out
    assert "next: diptych explore study/tiny-vae/seed-0 study/tiny-gan/seed-0" in ended.out
    assert "diptych sample study/tiny-gan/seed-0 -n 64" in ended.out
    study = json.loads(Path("study/study.json").read_text())
    assert [member["recipe"] for member in study["members"]] == ["tiny-vae", "tiny-gan"]
    for member in study["members"]:
        assert member["status"] == "finished"
        assert member["images_seen"] == 160
        assert member["figures"]
        for drawn in member["pictures"].values():
            picture(Path("study") / drawn)
    assert study["budget"] == {"minutes": None, "images": 160, "equal": "images"}
    assert study["command"].startswith("diptych compare ")
    assert study["verdict"]["headline"] in ended.out
    for answer in study["verdict"]["answers"]:
        assert answer["sentence"] in ended.out
    picture(Path("study") / study["real"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.123456, "0.1235"),
        (12.0, "12"),
        (12345.6, "12,346"),
        (-1234.5, "-1,234"),
    ],
)
def test_numbers_for_people(value, text) -> None:
    assert format_number(value) == text
