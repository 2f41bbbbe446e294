"""A study that was stopped, in whatever way, goes on and repeats nothing that is finished."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress

import pytest

from diptych import compare, load_data, open_study
from diptych.errors import InterruptedRun, RunError
from diptych.evaluation.figure import Figure
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.results import Evaluation
from diptych.recipes import load_recipe, recipe_yaml
from diptych.study import lock, measured, results, trained
from diptych.training import session
from diptych.training.signals import StopRequest

pytestmark = pytest.mark.usefixtures("quick_measures")

MEMBERS = ["tiny-vae/seed-0", "tiny-gan/seed-0", "tiny-vae/seed-1", "tiny-gan/seed-1"]
"""In the order in which they are trained."""
ASKED = {"images": 160, "seeds": 2, "metrics": ("blur",)}


@pytest.fixture
def quick_measures(engine_only, monkeypatch) -> None:
    """One figure that depends on every bit of the model, and one picture."""

    def evaluate(run, data, **_):
        value = float(run.model.sample(64, seed=0).double().sum())
        figure = Figure(
            key="sum", name="sum", value=value, unit="", better="higher", floor=None,
            n_real=None, n_fake=64, protocol=Protocol.of(metric="sum"),
        )  # fmt: skip
        return Evaluation({}, (figure,), ({"name": "none", "caveat": ""},), {}, {}, 0.0)

    def draw(model, data, folder):
        folder.mkdir(exist_ok=True)
        (folder / "samples.png").write_bytes(b"")
        return {"samples": "samples.png"}

    monkeypatch.setattr(measured, "evaluate", evaluate)
    monkeypatch.setattr(measured, "draw_member", draw)


@pytest.fixture
def work(quick_measures, monkeypatch) -> Counter:
    """Counts what is done, e.g. ("train", "tiny-vae/seed-0")."""
    done: Counter = Counter()

    def counted(module, name, place_of):
        function = getattr(module, name)

        def count(*arguments, **named):
            done[name, "/".join(place_of(arguments, named).parts[-2:])] += 1
            return function(*arguments, **named)

        monkeypatch.setattr(module, name, count)

    counted(trained, "train", lambda _, named: named["out"])
    counted(trained, "resume", lambda arguments, _: arguments[0])
    counted(measured, "evaluate", lambda arguments, _: arguments[0].directory)
    counted(measured, "draw_member", lambda arguments, _: arguments[2].parent)
    return done


@pytest.fixture(scope="session")
def undisturbed() -> dict:
    """study.json of the study that nothing interrupted; filled by the first test that asks."""
    return {}


@pytest.fixture
def whole(undisturbed, quick_measures, recipes, disc_data, tmp_path, settled):
    if not undisturbed:
        compare(recipes, disc_data, out=tmp_path / "undisturbed", **ASKED)
        undisturbed.update(settled(tmp_path / "undisturbed"))
    return undisturbed


class StopAfter(StopRequest):
    """A signal that comes after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def __bool__(self) -> bool:
        self.steps -= 1
        if self.steps < 0:
            self.signal = signal.SIGTERM
        return self.signal is not None


def once(monkeypatch, module, name, call: int) -> None:
    """Have Ctrl-C come at a call of a function, counted from 0, once."""
    function = getattr(module, name)
    calls = iter(range(1_000))

    def interrupt(*arguments, **named):
        if next(calls) == call:
            raise KeyboardInterrupt
        return function(*arguments, **named)

    monkeypatch.setattr(module, name, interrupt)


def at_steps(monkeypatch, member: int) -> None:
    calls = iter(range(1_000))

    @contextmanager
    def stop():
        yield StopAfter(4 if next(calls) == member else 1_000)

    monkeypatch.setattr(session, "graceful_stop", stop)


@pytest.mark.parametrize(
    ("stage", "member"),
    [
        *(("training", 0), ("training", 1), ("training", 3), ("measuring", 1), ("drawing", 2)),
        *(("before study.json", 0), ("before study.json", 3)),
    ],
)
def test_interrupted_anywhere(
    stage, member, whole, work, recipes, disc_data, tmp_path, settled, monkeypatch
) -> None:
    study = tmp_path / "study"
    with monkeypatch.context() as patch:
        if stage == "training":
            at_steps(patch, member)
        elif stage == "measuring":
            once(patch, measured, "evaluate", member)
        elif stage == "drawing":
            once(patch, measured, "draw_member", member)
        else:
            once(patch, results.Book, "put", member)
        with pytest.raises(InterruptedRun, match=rf"go on with: diptych compare .*--out {study}"):
            compare(recipes, disc_data, out=study, **ASKED)
    statuses = [m["status"] for m in open_study(study).results["members"]]
    assert statuses.count("finished") == member
    if stage == "training":
        assert statuses.count("interrupted") == 1
    compare(recipes, disc_data, out=study, **ASKED)
    assert settled(study) == whole
    for place in MEMBERS:
        assert work["train", place] == 1
        assert work["resume", place] == (stage == "training" and place == MEMBERS[member])
        assert work["evaluate", place] == 1


def test_a_finished_study_is_only_looked_at(recipes, disc_data, tmp_path, work, told) -> None:
    study = tmp_path / "study"
    first = compare(recipes, disc_data, out=study, **ASKED)
    (study / "report.html").unlink()
    work.clear()
    again = compare(recipes, disc_data, out=study, watcher=told, **ASKED)
    assert not work
    assert again.results == first.results
    assert (study / "report.html").is_file()
    assert any("finished already" in line for line in told.lines)
    assert "going on: 4 of 4 members are finished" in told.lines


def test_a_lost_study_json_is_written_again(
    recipes, disc_data, tmp_path, work, whole, settled
) -> None:
    study = tmp_path / "study"
    compare(recipes, disc_data, out=study, **ASKED)
    (study / "study.json").unlink()
    work.clear()
    compare(recipes, disc_data, out=study, **ASKED)
    assert {name for name, _ in work} == {"draw_member"}
    assert settled(study) == whole


def test_members_that_were_trained_one_by_one_are_taken(
    recipes, disc_data, tmp_path, work, whole, settled
) -> None:
    study = tmp_path / "study"
    for recipe, seed in ((recipes[0], 0), (recipes[1], 1)):
        trained.train(
            recipe, disc_data, images=160, seed=seed, out=study / recipe.name / f"seed-{seed}"
        )
    work.clear()
    compare(recipes, disc_data, out=study, **ASKED)
    assert [place for name, place in work if name == "train"] == [MEMBERS[1], MEMBERS[2]]
    assert settled(study) == whole


def test_a_run_that_only_lacks_its_last_word_is_not_trained_again(
    recipes, disc_data, tmp_path, work, whole, settled
) -> None:
    study = tmp_path / "study"
    compare(recipes, disc_data, out=study, **ASKED)
    for place in MEMBERS[:2]:
        file = study / place / "run.json"
        info = json.loads(file.read_text())
        file.write_text(json.dumps({**info, "status": "running", "spent": {}}))
        (study / place / "member.json").unlink()
    (study / "study.json").unlink()
    work.clear()
    compare(recipes, disc_data, out=study, **ASKED)
    assert not [place for name, place in work if name in ("train", "resume")]
    assert settled(study) == whole


def test_what_cannot_be_gone_on_with_is_moved_aside(
    recipes, disc_data, tmp_path, work, whole, settled, told
) -> None:
    study = tmp_path / "study"
    compare(recipes, disc_data, out=study, **ASKED)
    (study / "study.json").unlink()
    shutil.rmtree(study / MEMBERS[0] / "checkpoints")
    (study / MEMBERS[1] / "run.json").write_text("{")
    for file in (study / MEMBERS[2]).glob("checkpoints/*/players.safetensors"):
        file.write_bytes(b"cut")
    shutil.rmtree(study / MEMBERS[3])
    (study / MEMBERS[3]).mkdir()
    work.clear()
    compare(recipes, disc_data, out=study, watcher=told, **ASKED)
    assert settled(study) == whole
    assert {place for name, place in work if name == "train"} == set(MEMBERS)
    assert (study / "tiny-vae" / "aside-seed-0-1" / "metrics.jsonl").is_file()
    assert (study / "tiny-gan" / "aside-seed-0-1" / "checkpoints").is_dir()
    assert not (study / "tiny-gan" / "aside-seed-1-1").exists()
    assert any("was moved to" in line for line in told.lines)


def test_a_member_that_diverged_is_not_tried_again(tiny_recipe, disc_data, tmp_path, work) -> None:
    bad = load_recipe(
        {**tiny_recipe("gan"), "optimizers": {"discriminator": {"learning_rate": 1e30}}}
    )
    asked = {"images": 160, "metrics": ("blur",), "out": tmp_path / "study"}
    first = compare([bad], disc_data, **asked)
    (tmp_path / "study" / "study.json").unlink()
    work.clear()
    again = compare([bad], disc_data, **asked)
    assert not work
    (before,), (after,) = first.results["members"], again.results["members"]
    assert after["status"] == before["status"] == "diverged"
    assert after["steps"] == before["steps"]
    assert "training diverged: discriminator/loss became nan" in after["reason"]


def test_a_study_grows(recipes, disc_data, tmp_path, work, whole, settled) -> None:
    study = tmp_path / "study"
    compare(recipes[:1], disc_data, images=160, metrics=("blur",), out=study, command="first")
    compare(recipes, disc_data, images=160, metrics=("blur",), out=study, command="second")
    assert open_study(study).results["command"] == f"second --out {study}"
    compare(recipes, disc_data, out=study, **ASKED)
    assert settled(study) == whole
    assert all(count == 1 for count in work.values())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": 320}, "images 160 there, 320 asked"),
        ({"images": None, "minutes": 2}, "minutes none there, 2 asked"),
        ({"seeds": 1}, "seeds 0, 1 there, 0 asked"),
        ({"metrics": ("kid",)}, "metrics blur there, kid asked"),
        ({"n": 10}, "n none there, 10 asked"),
        ({"precision": "fp32"}, "precision bf16 there, fp32 asked"),
        ({"recipes": [0]}, "recipe tiny-gan there and not asked for"),
        ({"overrides": ["model.latent_dim=3"]}, "tiny-vae: model.latent_dim 4 there, 3 asked"),
        ({"data": "ring"}, "there, ring .* asked"),
    ],
)
def test_other_settings_are_another_study(
    change, says, recipes, disc_data, tmp_path, monkeypatch
) -> None:
    study = tmp_path / "study"
    monkeypatch.setattr("diptych.study.stages.run_member", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr("diptych.study.plan.check_fit", lambda *_: None)
    monkeypatch.setattr("diptych.study.plan.build", lambda *_: Uncounted())
    monkeypatch.setattr("diptych.study.stages.Stages._run", lambda *_: None)
    monkeypatch.setattr("diptych.training.choices.cpu_has_bf16", lambda: True)
    compare(recipes, disc_data, out=study, **ASKED)
    before = (study / "study.json").read_bytes()
    asked = {**ASKED, **change}
    data = load_data("ring", num_points=500) if asked.pop("data", None) else disc_data
    chosen = [recipes[index] for index in asked.pop("recipes", [0, 1])]
    with pytest.raises(RunError, match=says):
        compare(chosen, data, out=study, **asked)
    assert (study / "study.json").read_bytes() == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("members", [1]),
        ("members", [{"recipe": "tiny-vae"}]),
        ("seeds", None),
        ("baselines", None),
    ],
)
def test_a_damaged_study_is_refused_and_says_the_way_out(
    key, value, recipes, disc_data, tmp_path, settled, whole
) -> None:
    study = tmp_path / "study"
    compare(recipes, disc_data, out=study, **ASKED)
    file = study / "study.json"
    for damaged in ({key: value}, {"real": ...}):
        content = {**json.loads(file.read_text()), **damaged}
        kept = {name: each for name, each in content.items() if each is not ...}
        broken = json.dumps(kept)
        file.write_text(broken)
        with pytest.raises(RunError, match=r"is damaged: it has no .*; move it away and compare"):
            compare(recipes, disc_data, out=study, **ASKED)
        assert file.read_text() == broken
        file.unlink()
        compare(recipes, disc_data, out=study, **ASKED)
        assert settled(study) == whole


def test_what_was_measured_and_drawn_is_made_again_where_it_is_lost(
    recipes, disc_data, tmp_path, work, whole, settled
) -> None:
    study = tmp_path / "study"
    compare(recipes, disc_data, out=study, **ASKED)
    work.clear()
    shutil.rmtree(study / MEMBERS[0] / "pictures")
    (study / MEMBERS[1] / "page" / "evidence.json").unlink()
    compare(recipes, disc_data, out=study, **ASKED)
    assert work == {("draw_member", place): 1 for place in MEMBERS[:2]}
    (study / "study.json").unlink()
    for place, damage in ((MEMBERS[0], {"figures": [{}]}), (MEMBERS[1], {"protocols": None})):
        notes = study / place / "member.json"
        notes.write_text(json.dumps({**json.loads(notes.read_text()), **damage}))
    notes = study / MEMBERS[2] / "member.json"
    notes.write_text(json.dumps({"asked": json.loads(notes.read_text())["asked"]}))
    work.clear()
    compare(recipes, disc_data, out=study, **ASKED)
    measured_again = {place for name, place in work if name == "evaluate"}
    assert measured_again == set(MEMBERS[:3])
    assert settled(study) == whole


def test_stopped_before_the_first_step_nothing_is_left_lying(
    recipes, disc_data, tmp_path, whole, settled
) -> None:
    study = tmp_path / "study"
    place = study / MEMBERS[0]
    place.mkdir(parents=True)
    (place / "recipe.yaml").write_text(recipe_yaml(recipes[0]))
    compare(recipes, disc_data, out=study, **ASKED)
    assert not list(study.glob("*/aside-*"))
    assert settled(study) == whole


def test_a_round_whose_page_fails_does_not_end_the_study(
    recipes, disc_data, tmp_path, monkeypatch, told
) -> None:
    rounds = iter([OSError("no room"), None])

    def write(table, directory):
        if (error := next(rounds)) is not None:
            raise error
        return []

    monkeypatch.setattr("diptych.study.stages.write_tables", write)
    study = compare(recipes, disc_data, out=tmp_path / "study", watcher=told, **ASKED)
    assert {member["status"] for member in study.results["members"]} == {"finished"}
    assert any("could not be written: OSError: no room" in line for line in told.lines)


class Uncounted:
    def count_parameters(self) -> dict[str, int]:
        return {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 5}, r"its seed is 5"),
        ({"images": 320}, r"its budget is 320 images and not 160 images"),
        ({"overrides": ["training.batch_size=8"]}, r"training.batch_size is 8 there and 16 here"),
    ],
)
def test_another_run_in_a_members_place_is_not_touched(
    change, says, recipes, disc_data, tmp_path
) -> None:
    place = tmp_path / "study" / "tiny-vae" / "seed-0"
    trained.train(recipes[0], disc_data, **{"images": 160, **change}, out=place)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    with pytest.raises(RunError, match=says):
        compare(recipes, disc_data, out=tmp_path / "study", **ASKED)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert not (tmp_path / "study" / "study.json").exists()


def test_a_directory_of_something_else_is_refused(recipes, disc_data, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match=r"not an empty directory; .*thesis\.tex is no part"):
        compare(recipes, disc_data, out=tmp_path / "mine", **ASKED)
    (tmp_path / "folder" / "tiny-vae").mkdir(parents=True)
    (tmp_path / "folder" / "tiny-vae" / "run.json").write_text("{}")
    with pytest.raises(RunError, match="tiny-vae is no part"):
        compare(recipes, disc_data, out=tmp_path / "folder", **ASKED)
    with pytest.raises(RunError, match=r"thesis\.tex already exists"):
        compare(recipes, disc_data, out=tmp_path / "mine" / "thesis.tex", **ASKED)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["tiny-vae"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ('{"schema": 1, "members": []}', "has schema 1, and this Diptych reads"),
        ("[]", "has schema None"),
        ('{"schema": 2, "members": []}', "is damaged: it has no settings"),
    ],
)
def test_a_study_json_that_is_none(text, says, recipes, disc_data, tmp_path) -> None:
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(RunError, match=says):
        compare(recipes, disc_data, out=tmp_path, **ASKED)
    with pytest.raises(RunError, match=says):
        open_study(tmp_path)
    assert (tmp_path / "study.json").read_text() == text
    with pytest.raises(RunError, match="is not a study"):
        open_study(tmp_path / "nowhere")


def test_one_process_at_a_time(recipes, disc_data, tmp_path) -> None:
    (tmp_path / "study").mkdir()
    with (
        lock.study_lock(tmp_path / "study"),
        pytest.raises(RunError, match=rf"another process \({os.getpid()}\) is working on"),
    ):
        compare(recipes, disc_data, out=tmp_path / "study", **ASKED)
    with lock.study_lock(tmp_path / "study"):
        pass


def test_the_lock_of_a_dead_process_is_free(tmp_path, environment) -> None:
    holder = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys, time; from pathlib import Path; from diptych.study import lock\n"
            "with lock.study_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)",
            tmp_path,
        ],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=str(holder.pid)), lock.study_lock(tmp_path):
            pytest.fail("two at a time")
    finally:
        holder.kill()
        holder.communicate()
    with lock.study_lock(tmp_path):
        assert int((tmp_path / ".lock").read_text()) == os.getpid()


SLOW = """
import sys, time
from functools import partial
from pathlib import Path
from diptych.evaluation.extractors import choose
from diptych.evaluation.extractors.classifier import train_classifier
choose.train_classifier = partial(train_classifier, steps=15)
from diptych.study import measured, stages
from diptych.training import session
session.FIRST_SAVE_SECONDS = session.SAVE_EVERY_SECONDS = 0.0
refresh = session._refresh
session._refresh = lambda *a, **k: (time.sleep(0.2), refresh(*a, **k))
measured.draw_member = lambda *a: {}
measured.write_evidence = lambda run, *a, **k: run.directory / "run.json"
stages.choose_queries = lambda *a: None
from diptych.__main__ import main
main()
"""
"""Saves slowly after every row, so that a kill meets it in the middle."""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_in_the_middle(
    number, recipes, disc_file, disc_data, tmp_path, environment, work
) -> None:
    study = tmp_path / "study"
    files = []
    for recipe in recipes:
        files.append(tmp_path / f"{recipe.name}.yaml")
        files[-1].write_text(recipe_yaml(recipe))
    process = subprocess.Popen(
        [
            sys.executable, "-c", SLOW, "compare", *files, "--data", disc_file,
            "--images", str(16 * 200), "--metrics", "blur", "--out", study,
        ],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        gan = study / "tiny-gan" / "seed-0" / "checkpoints"
        for _ in range(3_000):
            if len(list(gan.glob("step-*"))) >= 2:
                break
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()
    assert process.returncode == (130 if number == signal.SIGTERM else -number), err
    if number == signal.SIGTERM:
        last = err.splitlines()[-1]
        assert last.startswith("diptych: stopped; what was trained is saved; go on with: diptych ")
    results = open_study(study).results
    assert results["members"][0]["status"] == "finished"
    finished = compare(recipes, disc_data, images=16 * 200, metrics=("blur",), out=study)
    assert work == {
        ("resume", "tiny-gan/seed-0"): 1,
        ("evaluate", "tiny-gan/seed-0"): 1,
        ("draw_member", "tiny-gan/seed-0"): 1,
    }
    assert finished.results["members"][0] == results["members"][0]
    if number == signal.SIGKILL:
        straight = compare(
            recipes[1:], disc_data, images=16 * 200, metrics=("blur",), out=tmp_path / "straight"
        )
        figures = [s.results["members"][-1]["figures"] for s in (finished, straight)]
        assert figures[0] == figures[1]
