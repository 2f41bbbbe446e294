import json
from contextlib import contextmanager
from functools import partial
from signal import Signals

import pytest

from diptych import compare, load, load_data, resume
from diptych.errors import DiptychError, InterruptedRun
from diptych.evaluation.extractors import choose
from diptych.evaluation.extractors.classifier import train_classifier
from diptych.recipes import load_recipe
from diptych.training import session as training_room
from diptych.training.signals import StopRequest

BAD_GAN = {"optimizers": {"discriminator": {"learning_rate": 1e30}}}


@pytest.fixture(autouse=True)
def quick_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "train_classifier", partial(train_classifier, steps=15))


@pytest.fixture
def recipes(tiny_recipe):
    return [load_recipe(tiny_recipe("vae")), load_recipe(tiny_recipe("gan"))]


def test_members_are_measured_alike(recipes, disc_data, tmp_path) -> None:
    seen: list[str] = []
    study = compare(
        recipes, disc_data, images=160, out=tmp_path / "study",
        on_member=lambda recipe: seen.append(recipe.name),
    )  # fmt: skip
    assert seen == ["tiny-vae", "tiny-gan"]
    results = json.loads((study.directory / "study.json").read_text())
    assert results == study.results
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
    shared -= unlike
    assert results["protocols"].keys() >= {*protocols[0].values(), *protocols[1].values()}
    floors = [{f["name"]: f["floor"] for f in m["figures"]} for m in (vae, gan)]
    assert all(floors[0][name] == floors[1][name] for name in shared)
    for member in (vae, gan):
        run = load(study.directory / member["directory"])
        assert run.info["data"]["fingerprint"] == results["data"]["fingerprint"]
        assert run.info["seed"] == results["seed"]
        assert member["parameters"] == run.model.count_parameters()
        for drawn in member["pictures"].values():
            assert (study.directory / drawn).is_file()
    page = study.report()
    assert page == study.directory / "report.html"
    other = study.report(tmp_path / "elsewhere.html")
    assert other.read_text().startswith("<!")


def test_a_member_that_diverges_does_not_end_the_study(tiny_recipe, recipes, disc_data, tmp_path):
    bad = load_recipe({**tiny_recipe("gan"), **BAD_GAN})
    study = compare([bad, recipes[0]], disc_data, images=160, out=tmp_path / "study")
    gan, vae = study.results["members"]
    assert (gan["status"], vae["status"]) == ("diverged", "finished")
    assert "training diverged" in gan["reason"]
    assert gan["figures"] == []
    assert vae["figures"]
    page = (study.directory / "report.html").read_text()
    assert "Tiny GAN" in page
    assert "diverged" in page


def test_all_members_may_diverge(tiny_recipe, disc_data, tmp_path) -> None:
    bad = load_recipe({**tiny_recipe("gan"), **BAD_GAN})
    study = compare([bad], disc_data, images=160, out=tmp_path / "study")
    assert study.results["features"] is None
    assert (study.directory / "report.html").is_file()


def test_an_interruption_saves_the_member_in_training(recipes, disc_data, tmp_path, monkeypatch):
    asked = iter((None, Signals.SIGTERM))

    @contextmanager
    def stop_the_second():
        request = StopRequest()
        request.signal = next(asked)
        yield request

    monkeypatch.setattr(training_room, "graceful_stop", stop_the_second)
    with pytest.raises(InterruptedRun, match=r"diptych resume .*tiny-gan"):
        compare(recipes, disc_data, images=160, out=tmp_path / "study")
    results = json.loads((tmp_path / "study" / "study.json").read_text())
    assert [member["recipe"] for member in results["members"]] == ["tiny-vae"]
    monkeypatch.undo()
    assert resume(tmp_path / "study" / "tiny-gan", data=disc_data).info["status"] == "finished"


def test_points_are_compared_too(tiny_recipe, tmp_path) -> None:
    data = load_data("ring", num_points=500)
    small = [
        load_recipe(name, ["model.network.width=8", "training.batch_size=32"])
        for name in ("vae-mlp", "gan-mlp")
    ]
    study = compare(small, data, images=160, out=tmp_path / "study")
    for member in study.results["members"]:
        assert member["status"] == "finished"
        assert "modes found" in {figure["name"] for figure in member["figures"]}
    assert (study.directory / "report.html").is_file()


def test_names_must_differ(recipes, disc_data, tmp_path) -> None:
    for chosen in ([recipes[0], recipes[0]], []):
        with pytest.raises(DiptychError, match="compare needs recipes of different names"):
            compare(chosen, disc_data, images=16, out=tmp_path / "study")
    assert not (tmp_path / "study").exists()
