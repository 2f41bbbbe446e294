"""Every mistake of the person's: one sentence on stderr, exit code 2, nothing written."""

from pathlib import Path

import numpy as np
import pytest


def untouched(directory: Path) -> bool:
    return not any(directory.iterdir())


@pytest.mark.parametrize("command", [("train", "vae"), ("compare", "vae", "gan")])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--minutes", 0), "minutes must be a positive number, not 0"),
        (("--minutes", 1, "--images", 5), "give exactly one of them"),
        (("--images", 0), "images must be at least 1, not 0"),
        (("--size", "big"), "'big' is not a size; give pixels like 32, or height x width"),
        (("--size", "0"), "is not a size"),
        (("--size", "8x"), "is not a size"),
        (("--device", "tpu"), "device 'tpu' is unknown; allowed: auto, cpu, cuda, mps"),
        (("--set", "model.latent_dims=3"), "unknown key 'model.latent_dims'; did you mean"),
        (("--set", "latent_dim"), "must look like key.sub-key=value"),
        (("--precision", "fp16"), "fp16"),
        (("--seed", -1), "greater than or equal to 0"),
        (("--nonsense",), "No such option"),
    ],
)
def test_options(command, options, says, refused, disc_file, tmp_path) -> None:
    assert says in refused(*command, "--data", disc_file, *options)
    assert untouched(tmp_path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--threads", 0), "greater than or equal to 1"),
        (("--devices", 0), "greater than or equal to 1"),
        (("--nodes", -2), "greater than or equal to 1"),
        (("--compile", "yes"), "'yes' is not one of"),
        (("--memory-format", "nchw"), "'nchw' is not one of"),
        (("--allocator", "mallopt"), "allocator 'mallopt' cannot be had: DIPTYCH_MALLOPT=0"),
        (("--compile", "default"), "compile 'default' cannot be had: it needs a C++ compiler"),
    ],
)
def test_options_of_execution(options, says, refused, disc_file, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DIPTYCH_MALLOPT", "0")
    monkeypatch.setenv("CXX", "/no/such/compiler")
    here = ("--device", "cpu", "-q")
    assert says in refused("train", "vae", "--data", disc_file, *here, *options)
    assert untouched(tmp_path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--equal", "time"), "32 images take each recipe a time of its own"),
        (("--equal", "luck"), "luck"),
        (("--metrics", "fid,blurr"), "no metric or panel called 'blurr'; did you mean blur?"),
        (("--seeds", 0), "greater than or equal to 1"),
        (("--jobs", 0), "greater than or equal to 1"),
        (("--trials", -1), "greater than or equal to 0"),
    ],
)
def test_options_of_a_study(options, says, refused, disc_file, tmp_path) -> None:
    text = refused("compare", "vae", "gan", "--data", disc_file, "--images", 32, "-q", *options)
    assert says in text
    assert untouched(tmp_path)


def test_unknown_recipes(refused, tmp_path) -> None:
    assert "there is no recipe 'vea'. Did you mean 'vae'?" in refused("train", "vea")
    assert "Did you mean 'gan'?" in refused("compare", "vae", "gann")
    assert "Did you mean 'vae'?" in refused("recipes", "vea")
    assert "different names, not: vae, vae" in refused(
        "compare", "vae", "vae", "--data", "fashion-mini"
    )
    assert "Missing argument" in refused("compare")
    assert untouched(tmp_path)


def test_unknown_data(refused, tmp_path) -> None:
    for command in (("train", "vae", "--data"), ("compare", "vae", "--data"), ("data",)):
        text = refused(*command, "fashion-minn")
        assert "'fashion-minn' is neither a file or folder here nor a data set known by" in text
        assert "Did you mean fashion-mini?" in text
    assert untouched(tmp_path)


def test_recipes_that_do_not_fit_the_data(refused, disc_file, tmp_path) -> None:
    assert "holds points of 2 dimensions; use vae-mlp" in refused("train", "vae", "--data", "ring")
    text = refused("train", "vae", "--data", disc_file, "--set", "model.likelihood.kind=bernoulli")
    assert "is for pixels that are 0 or 1" in text
    assert "continuous-bernoulli" in text
    assert untouched(tmp_path)


def test_data_too_few_to_compare_on(refused, tmp_path_factory, tmp_path) -> None:
    file = tmp_path_factory.mktemp("few") / "few.npz"
    np.savez(file, images=np.random.default_rng(0).integers(0, 256, (40, 12, 12), np.uint8))
    text = refused("compare", "vae", "gan", "--data", file, "--images", 64)
    assert "measuring needs at least 6" in text
    assert untouched(tmp_path)


@pytest.mark.parametrize("command", ["resume", "sample", "reconstruct", "interpolate", "evaluate"])
def test_no_run(command, refused, tmp_path) -> None:
    assert "there is no run directory missing" in refused(command, "missing")
    (tmp_path / "file").write_text("x")
    assert "file is a file, not the directory of a run" in refused(command, "file")
    (tmp_path / "empty").mkdir()
    assert "empty is not a run: it has no run.json" in refused(command, "empty")


@pytest.mark.parametrize("command", ["sample", "reconstruct", "interpolate"])
def test_where_pictures_go(command, refused, runs, tmp_path) -> None:
    assert "grid.jpg must end in .png" in refused(command, runs["vae"], "--out", "grid.jpg")
    text = refused(command, runs["vae"], "--out", "nowhere/grid.png")
    assert "there is no directory nowhere" in text
    assert untouched(tmp_path)


def test_counts(refused, runs) -> None:
    for arguments in (("sample", "-n", 0), ("interpolate", "--steps", 1), ("evaluate", "-n", 5)):
        command, *options = arguments
        assert "greater than or equal to" in refused(command, runs["vae"], *options)


def test_a_directory_that_holds_something(refused, disc_file, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("x")
    for command in (("train", "vae"), ("compare", "vae", "gan")):
        text = refused(*command, "--data", disc_file, "--images", 16, "--out", "mine", "--quiet")
        assert "mine already exists and is not an empty directory; name a new one" in text
    text = refused(
        "train", "vae", "--data", disc_file, "--images", 16, "--out", "mine/precious/run", "-q"
    )
    assert "cannot be made" in text
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious"]


def test_a_spent_budget(refused, runs) -> None:
    text = refused("resume", runs["vae"])
    assert "has spent its budget of 160 images; add more with --minutes or --images" in text
    assert "positive" in refused("resume", runs["vae"], "--minutes", 0)
    assert "exactly one" in refused("resume", runs["vae"], "--minutes", 1, "--images", 5)
    assert "is unknown" in refused("resume", runs["vae"], "--images", 5, "--device", "tpu")


def test_divergence(diptych, recipe_files, disc_file, tmp_path) -> None:
    ended = diptych(
        "train", recipe_files["vae"], "--data", disc_file, "--images", 320, "--out", "run",
        "--quiet", "--set", "optimizers.autoencoder.learning_rate=1e30",
    )  # fmt: skip
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("diptych: run: training diverged: ")
    assert "try a smaller learning rate with --set" in ended.err
    assert ended.err.count("\n") == 1
