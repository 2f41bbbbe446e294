"""What a study consists of, and what becomes of members that do not finish."""

import csv
import json

import pytest

from diptych import compare, load, load_data, open_study
from diptych.errors import DiptychError
from diptych.recipes import load_recipe
from diptych.study import measured, plan, probe, stages, telling

pytestmark = pytest.mark.usefixtures("engine_only")

BAD_GAN = {"optimizers": {"discriminator": {"learning_rate": 1e30}}}
BLUR = ("blur",)


def test_members_are_measured_alike(recipes, disc_data, tmp_path) -> None:
    study = compare(
        recipes, disc_data, images=160, out=tmp_path / "study",
        metrics=("fid", "kid", "prdc", "blur", "reconstruction"),
    )  # fmt: skip
    results = json.loads((study.directory / "study.json").read_text())
    assert results == study.results == open_study(study.directory).results
    vae, gan = results["members"]
    assert vae["images_seen"] == gan["images_seen"] == 160
    assert (vae["family"], gan["family"]) == ("vae", "gan")
    protocols = [{f["name"]: f["protocol"] for f in m["figures"]} for m in (vae, gan)]
    shared = protocols[0].keys() & protocols[1].keys()
    unlike = {name for name in shared if protocols[0][name] != protocols[1][name]}
    assert {"FD (classifier)", "KID (classifier)", "recall (classifier)", "sharpness ratio"} <= (
        shared - unlike
    )
    # A VAE's encoder finds the code that a GAN has to search for: not the same measurement.
    searched = {"reconstruction error", "PSNR", "SSIM", "reconstruction FD (classifier)"}
    assert unlike <= searched
    assert "reconstruction error" in unlike
    assert vae["reconstruction_sentence"].startswith("the encoder finds the code; ")
    assert gan["reconstruction_sentence"].startswith("the code is searched for; ")
    shared -= unlike
    assert results["protocols"].keys() >= {*protocols[0].values(), *protocols[1].values()}
    floors = [{f["name"]: f["floor"] for f in m["figures"]} for m in (vae, gan)]
    assert all(floors[0][name] == floors[1][name] for name in shared)
    page = study.report()
    assert page == study.directory / "report.html"


def test_recipes_and_seeds_make_members(recipes, disc_data, tmp_path, told) -> None:
    study = compare(
        recipes, disc_data, images=160, seeds=2, seed=3, metrics=BLUR,
        out=tmp_path / "study", watcher=told,
    )  # fmt: skip
    members = study.results["members"]
    # Listed recipe by recipe, trained seed by seed: an interruption leaves a comparison.
    assert [(m["recipe"], m["seed"]) for m in members] == [
        ("tiny-vae", 3), ("tiny-vae", 4), ("tiny-gan", 3), ("tiny-gan", 4),
    ]  # fmt: skip
    assert told.begun == [
        f"Tiny {kind}, seed {seed}" for seed in (3, 4) for kind in ("VAE", "GAN")
    ]
    assert study.results["seeds"] == [3, 4]
    assert study.results["budget"] == {"minutes": None, "images": 160, "equal": "images"}
    for member in members:
        assert member["directory"] == f"{member['recipe']}/seed-{member['seed']}"
        run = load(study.directory / member["directory"])
        assert run.info["seed"] == member["seed"]
        assert run.info["data"]["fingerprint"] == study.results["data"]["fingerprint"]
        assert member["parameters"] == run.model.count_parameters()
        for drawn in (*member["pictures"].values(), member["evidence"]):
            assert (study.directory / drawn).is_file()
    sharpness = {
        (m["recipe"], m["seed"]): f["value"]
        for m in members
        for f in m["figures"]
        if f["name"] == "sharpness ratio"
    }
    assert len(set(sharpness.values())) == 4
    with (study.directory / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["recipe"], int(row["seed"])) for row in rows} == sharpness.keys()


def test_the_same_seed_sees_the_same_images(recipes, disc_data, tmp_path, monkeypatch) -> None:
    from diptych.training import session

    seen: list[list[list[float]]] = []

    class Watched(session.Batches):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            seen.append([])

        def __getitem__(self, step):
            batch = super().__getitem__(step)
            seen[-1].append(batch.flatten(1).sum(1).tolist())
            return batch

    monkeypatch.setattr(session, "Batches", Watched)
    compare(recipes, disc_data, images=160, seeds=2, metrics=BLUR, out=tmp_path / "study")
    vae_0, gan_0, vae_1, gan_1 = (batches[:10] for batches in seen)
    assert vae_0 == gan_0
    assert vae_1 == gan_1
    assert vae_0 != vae_1


def test_a_member_that_diverges_does_not_end_the_study(tiny_recipe, recipes, disc_data, tmp_path):
    bad = load_recipe({**tiny_recipe("gan"), **BAD_GAN})
    study = compare([bad, recipes[0]], disc_data, images=160, metrics=BLUR, out=tmp_path / "study")
    gan, vae = study.results["members"]
    assert (gan["status"], vae["status"]) == ("diverged", "finished")
    assert "training diverged" in gan["reason"]
    assert gan["figures"] == []
    assert vae["figures"]
    assert study.results["verdict"] is not None


def test_all_members_may_diverge(tiny_recipe, disc_data, tmp_path) -> None:
    bad = load_recipe({**tiny_recipe("gan"), **BAD_GAN})
    study = compare([bad], disc_data, images=160, metrics=BLUR, out=tmp_path / "study")
    assert study.results["features"] is None
    assert study.results["verdict"] is None
    assert study.verdict is None
    assert (study.directory / "report.html").is_file()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ZeroDivisionError("all pixels alike\nmore"), "ZeroDivisionError: all pixels alike"),
        (MemoryError(), "not enough memory (MemoryError)"),
        (RuntimeError("CUDA out of memory."), "not enough memory (CUDA out of memory.)"),
    ],
)
def test_a_member_that_crashes_does_not_end_the_study(
    error, reason, recipes, disc_data, tmp_path, monkeypatch
):
    draw = measured.draw_member

    def draw_vaes(model, data, folder):
        if model.family == "gan":
            raise error
        return draw(model, data, folder)

    monkeypatch.setattr(measured, "draw_member", draw_vaes)
    asked = {"images": 160, "metrics": BLUR, "out": tmp_path / "study"}
    study = compare(recipes[::-1], disc_data, **asked)
    gan, vae = study.results["members"]
    assert (gan["status"], gan["reason"], vae["status"]) == ("crashed", reason, "finished")
    crash = study.directory / "tiny-gan" / "seed-0" / "crash.txt"
    assert "Traceback" in crash.read_text()
    assert "draw_vaes" in crash.read_text()
    # What was wrong is mended: only what crashed is done again.
    monkeypatch.setattr(measured, "draw_member", draw)
    again = compare(recipes[::-1], disc_data, **asked)
    assert [m["status"] for m in again.results["members"]] == ["finished", "finished"]
    assert again.results["members"][1] == vae
    assert not crash.exists()


def test_without_evidence_a_member_still_counts(recipes, disc_data, tmp_path, monkeypatch) -> None:
    def fail(*_, **__):
        raise KeyError("codes")

    monkeypatch.setattr(measured, "write_evidence", fail)
    study = compare(recipes[:1], disc_data, images=160, metrics=BLUR, out=tmp_path / "study")
    (member,) = study.results["members"]
    assert (member["status"], member["evidence"]) == ("finished", None)
    assert "KeyError" in member["remarks"][-1]
    assert "Traceback" in (tmp_path / "study/tiny-vae/seed-0/page/failure.txt").read_text()


def test_points_are_compared_too(tmp_path) -> None:
    data = load_data("ring", num_points=500)
    small = [
        load_recipe(name, ["model.network.width=8", "training.batch_size=32"])
        for name in ("vae-mlp", "gan-mlp")
    ]
    study = compare(small, data, images=160, metrics=("collapse",), out=tmp_path / "study")
    for member in study.results["members"]:
        assert member["status"] == "finished"
        assert "modes found" in {figure["name"] for figure in member["figures"]}


def test_two_recipes_of_one_title_are_told_apart(tiny_recipe, disc_data, tmp_path) -> None:
    both = [load_recipe({**tiny_recipe("vae"), "name": name}) for name in ("one", "two")]
    study = compare(both, disc_data, images=32, metrics=BLUR, out=tmp_path / "study")
    assert [m["title"] for m in study.results["members"]] == ["Tiny VAE (one)", "Tiny VAE (two)"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"minutes": 1, "images": 5}, "exactly one of them"),
        ({"images": 5, "equal": "time"}, "5 images take each recipe a time of its own"),
        ({"images": 5, "equal": "luck"}, "members can have equal 'time' or 'images'"),
        ({"images": 5, "seeds": 0}, "seeds must be at least 1, not 0"),
        ({"images": 5, "seeds": (1, 1)}, "seeds must be different numbers, not: 1, 1"),
        ({"images": 5, "seeds": (-1,)}, "-1 is not a seed"),
        ({"images": 5, "jobs": 0}, "jobs must be a whole number of at least 1, not 0"),
        ({"images": 5, "trials": -1}, "trials must be a whole number of at least 0, not -1"),
        ({"images": 5, "metrics": ("fidd",)}, "no metric or panel called 'fidd'; did you mean"),
        ({"images": 5, "n": 2}, "must be a whole number of at least 6"),
        ({"images": 5, "device": "tpu"}, "device 'tpu' is unknown"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    asked, says, recipes, disc_data, tmp_path
):
    with pytest.raises(DiptychError, match=says):
        compare(recipes, disc_data, out=tmp_path / "study", **asked)
    assert not (tmp_path / "study").exists()


def test_names_must_differ_and_be_free(recipes, tiny_recipe, disc_data, tmp_path) -> None:
    for chosen in ([recipes[0], recipes[0]], []):
        with pytest.raises(DiptychError, match="compare needs recipes of different names"):
            compare(chosen, disc_data, images=16, out=tmp_path / "study")
    taken = load_recipe({**tiny_recipe("vae"), "name": "pictures"})
    with pytest.raises(DiptychError, match="cannot be called 'pictures'"):
        compare([taken], disc_data, images=16, out=tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_the_plan_is_told_first(recipes, disc_data, tmp_path, told, monkeypatch) -> None:
    monkeypatch.setattr(stages.Stages, "do", lambda self: self.book.write())
    compare(
        recipes, disc_data, minutes=20, seeds=3, metrics=BLUR, out=tmp_path / "s", watcher=told
    )
    text = "\n".join(told.lines)
    assert "2 recipes x 3 seeds (0, 1, 2) = 6 members, 20 minutes each: equal time" in text
    assert "Tiny VAE  encoder " in text
    assert "measured: blur" in text
    assert f"go on with: diptych compare tiny-vae tiny-gan --data {disc_data.name}" in text
    assert told.lines[-1].endswith(f"--out {tmp_path / 's'}")


def test_searched_recipes_are_trained_at_every_seed(
    recipes, disc_data, tmp_path, monkeypatch, told
) -> None:
    from diptych.study.search import SearchResult

    asked = []

    def search(recipe, data, directory, *, trials, images, seed, **_):
        asked.append((recipe.name, directory, trials, images))
        assert seed not in range(1_000), "a setting must not win by the luck of a member's seed"
        better = load_recipe(recipe, ["training.batch_size=8"])
        return SearchResult(better, {"recipe": recipe.name, "chosen": 1})

    monkeypatch.setattr(stages, "search_recipe", search)
    for module in (plan, telling):
        monkeypatch.setattr(module, "describe_space", lambda recipe: ["batch_size: 8, 16"])
    study = compare(
        recipes, disc_data, images=160, seeds=2, trials=3, metrics=BLUR,
        out=tmp_path / "study", watcher=told,
    )  # fmt: skip
    assert asked == [
        (name, tmp_path / "study" / name / "trials", 3, 160) for name in ("tiny-vae", "tiny-gan")
    ]
    assert [m["steps"] for m in study.results["members"]] == [20] * 4
    assert [r["recipe"] for r in study.results["search"]] == ["tiny-vae", "tiny-gan"]
    asked_for = study.results["settings"]["recipes"]["tiny-vae"]
    assert asked_for["training"]["batch_size"] == 16
    assert any("batch_size: 8, 16" in line for line in told.lines)


def test_equal_images_are_those_of_the_slowest(recipes, disc_data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        stages, "probe_speeds", lambda *_, **__: {"tiny-vae": 100.0, "tiny-gan": 40.26}
    )
    asked = {"minutes": 0.1, "equal": "images", "metrics": BLUR, "out": tmp_path / "study"}
    study = compare(recipes, disc_data, **asked)
    assert study.results["budget"] == {
        "minutes": None, "images": 241, "equal": "images", "asked_minutes": 0.1,
        "probe": {"tiny-vae": 100.0, "tiny-gan": 40.3},
    }  # fmt: skip
    assert [m["images_seen"] for m in study.results["members"]] == [256, 256]  # whole batches
    # The probe belongs to the study: it is not taken again.
    monkeypatch.setattr(stages, "probe_speeds", None)
    assert compare(recipes, disc_data, **asked).results["budget"] == study.results["budget"]


def test_a_probe_trains_for_seconds_and_leaves_nothing(
    recipes, tiny_recipe, disc_data, told, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.3)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bad = load_recipe({**tiny_recipe("gan"), **BAD_GAN, "name": "bad"})
    some = {"seed": 0, "device": "cpu", "precision": "auto", "threads": 1, "watcher": told}
    rates = probe.probe_speeds([*recipes, bad], disc_data, **some)
    assert rates.keys() == {"tiny-vae", "tiny-gan"}
    assert min(rates.values()) > 16
    assert not list(tmp_path.iterdir())
    with pytest.raises(DiptychError, match="every recipe diverged"):
        probe.probe_speeds([bad], disc_data, **some)


def test_the_rate_leaves_the_warming_up_out() -> None:
    rows = [
        {"images": 100, "seconds": 10.0},
        {"images": 200, "seconds": 11.0},
        {"images": 300, "seconds": 12.0},
    ]
    assert probe._rate(rows, {"images": 300, "seconds": 12.0}) == 100.0
    assert probe._rate(rows[:1], {"images": 100, "seconds": 10.0}) == 10.0
