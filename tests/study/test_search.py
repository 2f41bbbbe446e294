"""A search is fair, never looks at the test split, and loses nothing when it is stopped."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from diptych import load_data
from diptych.data import Data
from diptych.errors import DiptychError, InterruptedRun, RecipeError, RunError, TrainingDiverged
from diptych.evaluation.fidelity.frechet import frechet_between
from diptych.models.build import build
from diptych.recipes import Recipe, builtin_names, load_recipe, recipe_yaml, with_settings
from diptych.recipes.schema import Dimension
from diptych.study.search import claims, describe_space, search_recipe, trials, work
from diptych.study.search.judge import Judge
from diptych.study.search.space import own_settings, space_of
from diptych.training.run import load

SPACE = {
    "model.beta": {"low": 0.1, "high": 10, "log": True},
    "model.latent_dim": {"low": 1, "high": 6, "integer": True},
    "optimizers.autoencoder.learning_rate": {"low": "1e-4", "high": 1e-2, "log": True},
    "model.likelihood.mode": {"choices": ["learned", "optimal"]},
}


def searched(**more: Any) -> Recipe:
    """A tiny fully connected VAE with a space of all kinds of dimensions."""
    settings: dict[str, Any] = {
        "name": "tiny",
        "title": "Tiny",
        "summary": "for tests",
        "model": {"kind": "vae", "latent_dim": 2, "network": {"kind": "mlp", "width": 8}},
        "training": {"batch_size": 32},
        "search": SPACE,
    }
    return load_recipe(settings | more)


@pytest.fixture(scope="module")
def ring(apart_from_the_home: None) -> Data:
    """The eight Gaussians."""
    return load_data("ring", num_points=600)


Value = Callable[[Mapping[str, Any], int], float]


def bowl(settings: Mapping[str, Any], number: int) -> float:
    """A smooth value with its minimum at beta 2 and rate 0.003."""
    rate = settings["optimizers.autoencoder.learning_rate"]
    return math.log(settings["model.beta"] / 2) ** 2 + math.log(rate / 0.003) ** 2


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Value], list[dict[str, Any]]]:
    """Have trials cost nothing: their value is a function of their settings and number."""

    def install(value: Value) -> list[dict[str, Any]]:
        begun: list[dict[str, Any]] = []

        def train(task: work.TrialTask, *_: Any, **__: Any) -> None:
            settings = own_settings(task.recipe)
            begun.append({"number": task.number, **settings})
            task.directory.mkdir(parents=True, exist_ok=True)
            text = json.dumps(value(settings, task.number))
            (task.directory / "value").write_text(text)

        def measure(_: Judge, directory: Path) -> SimpleNamespace:
            return SimpleNamespace(value=json.loads((directory / "value").read_text()))

        monkeypatch.setattr(work, "train_member", train)
        monkeypatch.setattr(
            work, "load", lambda directory, device: SimpleNamespace(model=directory)
        )
        monkeypatch.setattr(Judge, "measure", measure)
        return begun

    return install


# The space --------------------------------------------------------------------------------------

SPACES = [name for name in builtin_names() if load_recipe(name).search]


def test_the_families_have_spaces_of_one_size_and_of_equal_capacity() -> None:
    assert {"vae", "gan", "vae-mlp", "gan-mlp"} <= set(SPACES)
    sizes = {name: len(load_recipe(name).search) for name in SPACES}
    assert len(set(sizes.values())) == 1, sizes
    for name in SPACES:
        assert not [key for key in load_recipe(name).search if ".network." in key]


@pytest.mark.parametrize("name", SPACES)
def test_every_corner_of_a_space_that_comes_with_the_package_is_a_recipe(name: str) -> None:
    recipe = load_recipe(name)
    assert space_of(recipe) == recipe.search  # its own settings lie within
    shape = (2,) if recipe.model.kind != "custom" and "mlp" in name else (1, 28, 28)
    corners = [dimension.corners() for dimension in recipe.search.values()]
    for values in product(*corners):
        settings = dict(zip(recipe.search, values, strict=True))
        found = with_settings(recipe, settings)
        assert own_settings(found) == settings
    assert build(found, shape).count_parameters()


@pytest.mark.parametrize("name", [*SPACES, "tiny"])
def test_a_recipe_with_a_space_survives_its_yaml(name: str) -> None:
    recipe = searched() if name == "tiny" else load_recipe(name)
    again = load_recipe(yaml.safe_load(recipe_yaml(recipe)))
    assert again == recipe
    assert again.search == recipe.search


def test_a_recipe_written_before_there_were_spaces_is_read() -> None:
    old = {key: value for key, value in searched().to_dict().items() if key != "search"}
    assert load_recipe(old).search == {}
    assert load_recipe(old) == searched(search={})


@pytest.mark.parametrize(
    ("key", "entry", "words"),
    [
        (
            "model.bta",
            {"low": 1, "high": 2},
            "unknown key 'model.bta'; did you mean 'beta'?",
        ),
        ("name", {"choices": ["a", "b"]}, "begins with model, optimizers, training"),
        ("optimizers.generator.learning_rate", {"low": 1, "high": 2}, "no turn 'generator'"),
        ("model.beta", {"low": -1, "high": 2}, "search.model.beta may choose -1.0"),
        ("model.kl_warmup", {"low": 0, "high": 1}, "may choose 1.0"),
        ("model.latent_dim", {"low": 1, "high": 8}, "'model.latent_dim' is 5.3"),
        ("model.latent_dim", {"choices": [4, "many"]}, "may choose 'many'"),
        ("model.beta", {"low": 2, "high": 1}, "goes from 2 to 1; low must be below high"),
        ("model.beta", {"low": 0, "high": 1, "log": True}, "must begin above 0"),
        ("model.beta", {"low": 0.5, "high": 1, "integer": True}, "needs whole numbers"),
        ("model.beta", {"low": 1}, "needs low and high, or choices"),
        ("model.beta", {"low": 1, "high": 2, "choices": [1, 2]}, "give one of the two"),
        ("model.beta", {"choices": [1]}, "at least two different values"),
        ("model.beta", {"choices": [2, 2]}, "at least two different values"),
        ("model.beta", {"lo": 1}, "unknown key 'search.model.beta.lo'; did you mean 'low'?"),
        ("model.beta", {"low": "small", "high": 2}, "'search.model.beta.low' is 'small'"),
        ("model.beta", 3, "'search.model.beta' is 3; it must be a mapping"),
    ],
)
def test_a_space_that_cannot_be_is_refused_in_words(key: str, entry: Any, words: str) -> None:
    with pytest.raises(RecipeError) as refusal:
        searched(search={key: entry})
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_choices_take_the_place_of_the_range_of_a_base() -> None:
    derived = load_recipe(
        {"base": "vae", "name": "mine", "search": {"model.beta": {"choices": ["1e0", 4]}}}
    )
    assert derived.search["model.beta"] == Dimension(choices=(1.0, 4))
    assert derived.search["model.latent_dim"] == load_recipe("vae").search["model.latent_dim"]


def test_a_value_from_outside_widens_the_space() -> None:
    recipe = load_recipe("vae", ["model.latent_dim=24", "model.beta=1.5"])
    space = space_of(recipe)
    assert space["model.latent_dim"].choices == (8, 16, 32, 64, 24)
    assert (space["model.beta"].low, space["model.beta"].high) == (1.5, 35.0)
    with pytest.raises(RecipeError, match=r"model.beta is 0.0, which no logarithmic range"):
        space_of(load_recipe("vae", ["model.beta=0"]))


def test_the_space_is_told_with_the_own_values() -> None:
    lines = describe_space(searched())
    assert "4 settings" in lines[0]
    assert lines[1] == "  model.beta: 0.1 to 10 (log scale); its own is 1"
    assert lines[2] == "  model.latent_dim: 1 to 6 (whole numbers); its own is 2"
    assert lines[4] == "  model.likelihood.mode: one of learned, optimal; its own is learned"
    with pytest.raises(RecipeError, match="says nothing of what may be searched"):
        describe_space(searched(search={}))


# The trials -------------------------------------------------------------------------------------


def settings_of(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [trial["settings"] for trial in record["trials"]]


def test_the_seed_decides_the_settings_and_the_first_are_the_recipe_s_own(
    pretend: Callable[..., Any], ring: Data, tmp_path: Path
) -> None:
    pretend(bowl)
    records = [
        search_recipe(searched(), ring, tmp_path / name, trials=9, images=64, seed=seed).record
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert settings_of(records[0]) == settings_of(records[1])
    assert settings_of(records[0])[1:] != settings_of(records[2])[1:]
    for record in records:
        assert len(record["trials"]) == 9
        assert settings_of(record)[0] == own_settings(searched())
        for settings in settings_of(record):
            assert with_settings(searched(), settings)
        different = {json.dumps(settings) for settings in settings_of(record)}
        assert len(different) == 9


def test_the_best_on_validation_is_chosen_and_trains_again(
    pretend: Callable[..., Any], ring: Data, tmp_path: Path
) -> None:
    pretend(bowl)
    told: list[str] = []
    found = search_recipe(
        searched(), ring, tmp_path / "tiny" / "trials", trials=12, images=64, announce=told.append
    )
    record = found.record
    values = [trial["value"] for trial in record["trials"]]
    assert record["chosen"] == values.index(min(values))
    assert values == [bowl(settings, 0) for settings in settings_of(record)]
    assert (
        own_settings(found.recipe) == record["settings"] == settings_of(record)[record["chosen"]]
    )
    assert load_recipe(yaml.safe_load(recipe_yaml(found.recipe))) == found.recipe
    assert record["trials"][3]["directory"] == "tiny/trials/0003"
    assert set(record["space"]) == set(SPACE)
    assert (record["metric"], record["split"]) == ("sliced-w2-coordinates", "validation")
    assert "is the best (12 finished)" in told[-1]
    json.dumps(record, allow_nan=False)
    # The estimator has learned something: late trials are better than early ones.
    assert sum(values[8:]) / 4 < sum(values[1:5]) / 4


def test_of_equal_trials_the_earlier_is_chosen(
    pretend: Callable[..., Any], ring: Data, tmp_path: Path
) -> None:
    pretend(lambda settings, number: float(number in (0, 3)))
    found = search_recipe(searched(), ring, tmp_path, trials=5, images=64)
    assert found.record["chosen"] == 1


@pytest.mark.parametrize("stop", [0, 2, 6])
def test_a_search_that_was_stopped_goes_on_with_the_same_settings(
    pretend: Callable[..., Any], ring: Data, tmp_path: Path, stop: int
) -> None:
    pretend(bowl)
    whole = search_recipe(searched(), ring, tmp_path / "whole", trials=8, images=64).record
    cut = {stop}

    def interrupt(settings: Mapping[str, Any], number: int) -> float:
        if number in cut:
            cut.remove(number)
            raise InterruptedRun("stopped by SIGTERM and saved")
        return bowl(settings, number)

    begun = pretend(interrupt)
    with pytest.raises(InterruptedRun):
        search_recipe(searched(), ring, tmp_path / "cut", trials=8, images=64)
    record = search_recipe(searched(), ring, tmp_path / "cut", trials=8, images=64).record
    numbers = [each["number"] for each in begun]
    assert numbers == sorted([*range(8), stop])  # only the one that was cut is begun twice
    assert settings_of(record) == settings_of(whole)
    assert [t["value"] for t in record["trials"]] == [t["value"] for t in whole["trials"]]
    begun.clear()
    assert search_recipe(searched(), ring, tmp_path / "cut", trials=8, images=64).record == record
    assert begun == []


def test_more_trials_may_be_asked_for_and_fewer_choose_among_the_first(
    pretend: Callable[..., Any], ring: Data, tmp_path: Path
) -> None:
    begun = pretend(lambda settings, number: -float(number))
    short = search_recipe(searched(), ring, tmp_path, trials=3, images=64).record
    begun.clear()
    long = search_recipe(searched(), ring, tmp_path, trials=6, images=64).record
    assert [each["number"] for each in begun] == [3, 4, 5]
    assert settings_of(long)[:3] == settings_of(short)
    assert (short["chosen"], long["chosen"]) == (2, 5)
    again = search_recipe(searched(), ring, tmp_path, trials=3, images=64).record
    assert again["chosen"] == 2  # what was tried beyond gives no advantage
    assert len(again["trials"]) == 6


def test_what_fails_is_kept_with_its_reason_and_counts(
    pretend: Callable[..., Any], ring: Data, tmp_path: Path
) -> None:
    def fail(settings: Mapping[str, Any], number: int) -> float:
        if number == 0:
            raise TrainingDiverged("training diverged: autoencoder/loss is nan")
        if number == 1:
            raise MemoryError("cannot allocate 8 GiB\nsecond line")
        return 1.0

    begun = pretend(fail)
    record = search_recipe(searched(), ring, tmp_path, trials=4, images=64).record
    assert len(begun) == 4
    assert [t["status"] for t in record["trials"]] == [
        "diverged",
        "crashed",
        "finished",
        "finished",
    ]
    assert record["trials"][0]["reason"] == "training diverged: autoencoder/loss is nan"
    assert record["trials"][1]["reason"] == "not enough memory (cannot allocate 8 GiB)"
    assert [t["value"] for t in record["trials"][:2]] == [None, None]
    assert record["chosen"] == 2
    assert "cannot allocate" in (tmp_path / "0001" / "crash.txt").read_text()


def test_where_nothing_comes_to_an_end_the_recipe_stays(
    pretend: Callable[..., Any], ring: Data, tmp_path: Path
) -> None:
    def diverge(settings: Mapping[str, Any], number: int) -> float:
        raise TrainingDiverged("nan")

    pretend(diverge)
    told: list[str] = []
    found = search_recipe(searched(), ring, tmp_path, trials=3, images=64, announce=told.append)
    assert found.recipe == searched()
    assert found.record["chosen"] is None
    assert found.record["settings"] is None
    assert told[-1] == "Tiny: no trial can be used (3 diverged); it stays as it is"


def test_a_directory_with_another_search_is_refused(
    pretend: Callable[..., Any], ring: Data, tmp_path: Path
) -> None:
    pretend(bowl)
    search_recipe(searched(), ring, tmp_path, trials=1, images=64)
    with pytest.raises(RunError, match=r"holds another search: budget.images 64 there, 65 asked"):
        search_recipe(searched(), ring, tmp_path, trials=1, images=65)
    with pytest.raises(RunError, match=r"seed 0 there, 1 asked"):
        search_recipe(searched(), ring, tmp_path, trials=1, images=64, seed=1)
    wider = searched(search=SPACE | {"model.latent_dim": {"low": 1, "high": 7, "integer": True}})
    with pytest.raises(RunError, match=r"space.model.latent_dim.high 6 there, 7 asked"):
        search_recipe(wider, ring, tmp_path, trials=1, images=64)


def test_a_journal_cut_short_or_spoilt(
    pretend: Callable[..., Any], ring: Data, tmp_path: Path
) -> None:
    pretend(bowl)
    before = search_recipe(searched(), ring, tmp_path, trials=2, images=64).record
    journal = tmp_path / "journal.log"
    with journal.open("a") as file:
        file.write('{"op_code":4,"worker_id":"x","stu')  # killed while it wrote
    after = search_recipe(searched(), ring, tmp_path, trials=3, images=64).record
    assert after["trials"][:2] == before["trials"]
    assert len(after["trials"]) == 3
    journal.write_text("nonsense\nmore of it\n")
    with pytest.raises(RunError, match=r"journal.log cannot be read"):
        search_recipe(searched(), ring, tmp_path, trials=3, images=64)


def test_what_is_asked_is_checked_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, ring: Data, tmp_path: Path
) -> None:
    with pytest.raises(DiptychError, match="trials must be a whole number of at least 1, not 0"):
        search_recipe(searched(), ring, tmp_path / "x", trials=0, images=64)
    with pytest.raises(DiptychError, match="exactly one"):
        search_recipe(searched(), ring, tmp_path / "x", trials=1, images=64, minutes=1)
    monkeypatch.setattr(trials, "find_spec", lambda name: None)
    with pytest.raises(DiptychError, match=r"pip install 'diptych\[search\]'"):
        search_recipe(searched(), ring, tmp_path / "x", trials=1, images=64)
    assert not (tmp_path / "x").exists()


def test_a_claim_is_one_s_own_until_it_is_given_back(tmp_path: Path) -> None:
    first = claims.Claim.attempt(tmp_path / "new" / "0001")
    assert first is not None
    assert claims.Claim.attempt(tmp_path / "new" / "0001") is None
    assert claims.Claim.attempt(tmp_path / "new" / "0002") is not None
    first.release()
    assert claims.Claim.attempt(tmp_path / "new" / "0001") is not None


# Real runs --------------------------------------------------------------------------------------


def test_trials_on_images_are_runs_judged_on_validation_and_never_see_the_test_split(
    disc_data: Data,
    tiny_recipe: Callable[[str], dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = Data.rows

    def watched(data: Data, split: Any, limit: int | None = None) -> Any:
        assert split != "test", "the search looks at what is reported"
        return rows(data, split, limit)

    monkeypatch.setattr(Data, "rows", watched)  # what take and labels_of go through
    space = {"optimizers.generator.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    recipe = load_recipe({**tiny_recipe("gan"), "search": space})
    place = tmp_path / "tiny-gan" / "trials"
    record = search_recipe(recipe, disc_data, place, trials=2, images=64, seed=3).record
    assert record["metric"] == "fd-classifier"
    for trial in record["trials"]:
        run = load(tmp_path / trial["directory"])
        assert run.info["status"] == "finished"
        assert run.info["seed"] == 3
        assert own_settings(run.recipe) == trial["settings"]
        assert run.info["spent"]["images"] == trial["images_seen"] == 64
        assert trial["seconds"] == run.info["spent"]["seconds"]
    # The value is the distance between the classifier's features of samples and of validation
    # images, here once more from its parts.
    judge = Judge(disc_data, seed=3)
    figure = judge.measure(run.model)
    assert figure.key == judge.key
    assert figure.value == record["trials"][1]["value"]
    assert figure.protocol.parts["split"] == "validation"
    extractor, described = judge._reference
    validation = disc_data.array[disc_data.splits["validation"]]
    assert torch.equal(described, extractor.features(validation))
    samples = extractor.features(run.model.sample(len(validation), seed=3))
    assert frechet_between(described, samples) == pytest.approx(figure.value, rel=1e-6)


RUN = """
import json, os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_search import searched
from diptych import load_data
from diptych.study.search import search_recipe
from diptych.training import session

session.FIRST_SAVE_SECONDS = 0.0  # a checkpoint after the first 50 steps
directory, trials, kill = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]

def announce(sentence):
    print(sentence, flush=True)

def listener(row):
    # A kill that nothing can catch, in the middle of the second trial, after it was saved once.
    if kill and (directory / "0001" / "run.json").exists() and row["images"] >= 3200:
        os.kill(os.getpid(), signal.SIGKILL)

data = load_data("ring", num_points=600)
found = search_recipe(
    searched(), data, directory, trials=trials, images=4800, announce=announce, listener=listener
)
print(json.dumps(found.record))
"""


def started(environment: dict[str, str], *arguments: Any) -> "subprocess.Popen[str]":
    script = RUN.format(tests=str(Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def record_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return dict(json.loads(out.splitlines()[-1]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL")
def test_a_kill_in_the_middle_loses_nothing_and_two_at_once_share_the_rest(
    environment: dict[str, str], ring: Data, tmp_path: Path
) -> None:
    killed = started(environment, tmp_path / "cut", 3, "kill")
    whole = search_recipe(searched(), ring, tmp_path / "whole", trials=3, images=4800).record
    killed.communicate(timeout=120)
    assert killed.returncode == -9
    assert len(load(tmp_path / "cut" / "0001").history) == 2
    record = search_recipe(searched(), ring, tmp_path / "cut", trials=3, images=4800).record
    told = [(t["number"], t["settings"], t["value"]) for t in record["trials"]]
    assert told == [(t["number"], t["settings"], t["value"]) for t in whole["trials"]]

    both = [started(environment, tmp_path / "cut", 5) for _ in range(2)]
    first, second = (record_of(process) for process in both)
    assert first == second  # both waited for the last trial
    assert [trial["number"] for trial in first["trials"]] == list(range(5))
    assert all(trial["status"] == "finished" for trial in first["trials"])
    assert first["trials"][:3] == record["trials"]
    runs = sorted(path.parent.name for path in (tmp_path / "cut").glob("*/run.json"))
    assert runs == [f"{number:04d}" for number in range(5)]
