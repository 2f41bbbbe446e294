"""`diptych compare` as a person meets it: the plan, the verdict first, going on, and failing."""

import json
from pathlib import Path

import pytest

from diptych.errors import InterruptedRun
from diptych.study import measured, stages
from diptych.study import study as study_room
from diptych.study.verdict.words import Answer, Comparison, Recommendation, Standing, Verdict

VERDICT = Verdict(
    headline="The VAE, narrowly.",
    standfirst="Two recipes, one seed.",
    answers=(
        Answer("blur", "How blurred?", "clear", "tiny-vae", "The VAE is blurred.", (
            Comparison(
                "sharpness-ratio", "sharpness ratio", "", "closer", 1.0,
                (Standing("tiny-vae", 0.5, 0.25, 0.75, (0.5,)),
                 Standing("tiny-gan", 3.0, None, None, (3.0,))),
                "tiny-vae", primary=True,
            ),
            Comparison("x", "secondary figure", "", "lower", None, (), None),
        )),
    ),
    recommendations=(
        Recommendation("look", "Samples to look at", "tiny-vae", "Sharper.", "More seeds."),
        Recommendation("anomaly", "Anomaly scores", None, "Nothing was measured.", ""),
    ),
    folklore=(),
    titles={"tiny-vae": "Tiny VAE", "tiny-gan": "Tiny GAN"},
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick_rooms(monkeypatch) -> None:
    """What has tests of its own."""
    monkeypatch.setattr(stages, "measure_baselines", lambda *_, **__: [])
    monkeypatch.setattr(stages, "choose_queries", lambda *_: None)
    monkeypatch.setattr(study_room, "judge", lambda table: VERDICT)
    monkeypatch.setattr(study_room, "write_report", lambda directory, *_, **__: directory)
    monkeypatch.setattr(
        measured, "write_evidence", lambda run, *_, **__: run.directory / "run.json"
    )
    monkeypatch.setattr(measured, "draw_member", lambda *_: {})


@pytest.fixture
def study(recipe_files, disc_file) -> tuple:
    return (
        "compare", recipe_files["vae"], recipe_files["gan"], "--data", disc_file,
        "--images", 160, "--metrics", "blur",
    )  # fmt: skip


def test_the_verdict_comes_first_and_the_figures_are_few(diptych, study) -> None:
    ended = diptych(*study, "--out", "s", "--seeds", 1)
    assert ended.code == 0
    lines = [line.rstrip() for line in ended.out.splitlines() if line.strip()]
    assert lines[:5] == [
        "The VAE, narrowly.",
        "Two recipes, one seed.",
        "How blurred? The VAE is blurred.",
        "Samples to look at: Tiny VAE. Sharper.",
        "Anomaly scores: cannot tell. Nothing was measured.",
    ]
    table = [" ".join(line.split()) for line in lines[5:7]]
    assert table == [
        "mean over seeds (95 % interval) Tiny VAE Tiny GAN floor",
        "≈ sharpness ratio 0.5 (0.25 … 0.75) 3 1",
    ]
    assert "secondary figure" not in ended.out
    assert "Tiny VAE: 1 of 1 finished; 160 images in " in ended.out
    assert f"page: {Path('s/report.html').resolve()}" in ended.out
    assert "next: diptych explore s/tiny-vae/seed-0 s/tiny-gan/seed-0" in ended.out
    assert "plan: 2 recipes x 1 seed (0) = 2 members, 160 images each: equal images" in ended.err
    assert "study: s; after an interruption go on with: diptych compare " in ended.err


def test_json_is_the_study(diptych, study) -> None:
    ended = diptych(*study, "--json")
    printed = json.loads(ended.out)
    place = Path(printed.pop("study"))
    assert place == Path("studies/0001-discs")
    assert printed == json.loads((place / "study.json").read_text())
    assert printed["command"].endswith("--json --out studies/0001-discs")
    assert ended.err == ""


def test_going_on(diptych, study, monkeypatch) -> None:
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(measured, "draw_member", stop)
        ended = diptych(*study)
    assert ended.code == InterruptedRun.exit_code == 130
    last = ended.err.splitlines()[-1]
    assert last.startswith("diptych: stopped; what was trained is saved; go on with: diptych comp")
    assert last.endswith("--out studies/0001-discs")
    ended = diptych(*study, "--out", "studies/0001-discs")
    assert ended.code == 0
    assert "going on: 0 of 2 members are finished, 1 more trained" in ended.err
    ended = diptych(*study, "--out", "studies/0001-discs")
    assert ended.code == 0
    assert "the study is finished already; its page is written again" in ended.err
    assert "The VAE, narrowly." in ended.out
    ended = diptych(*study, "--out", "studies/0001-discs", "--set", "training.batch_size=8")
    assert ended.code == 2
    assert "tiny-vae: training.batch_size 16 there, 8 asked" in ended.err


def test_what_failed_is_told(diptych, study, monkeypatch) -> None:
    def fail(model, *_):
        if model.family == "gan":
            raise RuntimeError("no such colour")
        return {}

    monkeypatch.setattr(measured, "draw_member", fail)
    ended = diptych(*study, "--out", "s")
    assert ended.code == 0
    assert "Tiny GAN, seed 0 crashed: RuntimeError: no such colour" in ended.out
    assert "next: diptych explore s/tiny-vae/seed-0\n" in ended.out


def test_nothing_finished(diptych, study, monkeypatch) -> None:
    monkeypatch.setattr(measured, "draw_member", None)
    ended = diptych(*study, "--out", "s", "--quiet")
    assert ended.code == 2
    assert ended.err == ("diptych: no member of s finished; study.json says why for each\n")
    assert ended.out.count("crashed: TypeError") == 2
