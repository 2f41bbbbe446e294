"""Laws of the page for studies that are young, broken, strange or very large."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import latents_study
import made_up_study as made
import pytest
from reading_html import Page

from diptych.errors import RunError
from diptych.report import render_markdown, report_json, shedding, write_report
from diptych.report.latents import latents_section
from diptych.report.reading import REMEDY, Member, read_metrics, read_study
from diptych.report.words import brief, trouble


def text_of(study: Path) -> str:
    return Page(write_report(study)).text


def young(status: str, **more: Any) -> dict[str, Any]:
    """What study.json holds before anything is measured: null wherever nothing is known yet."""
    content = made.study_json(
        *(
            {"recipe": recipe, "title": made.TITLES[recipe], "seed": 0, "status": status, **more}
            for recipe in ("vae", "gan")
        )
    )
    unknown = ("machine", "features", "real", "real_grid", "queries", "verdict")
    return (
        content
        | dict.fromkeys(unknown)
        | {"seeds": [], "protocols": {}, "baselines": [], "search": [], "jobs": 1}
        | {"budget": {"minutes": 3.0, "images": None, "equal": "time", "asked_minutes": 3.0}}
    )


@pytest.mark.parametrize(
    ("status", "said"), [("waiting", "was not trained yet"), ("diverged", "diverged")]
)
def test_a_study_in_which_nothing_is_measured_yet_gives_a_page_that_says_so(
    tmp_path: Path, status: str, said: str
):
    directory = made.write_study(tmp_path, young(status))
    text = text_of(directory)
    assert "Nothing was measured yet, so there is no verdict." in text
    assert f"VAE {said}." in text
    assert f"No pictures: GAN {said}." in text
    assert "Nothing was measured." in text
    assert f"GAN {said}." in render_markdown(directory)
    assert report_json(directory)["verdict"] is None


def nulled(value: Any) -> Any:
    """The same JSON with null for everything a member or a study can be without."""
    needed = {"schema", "data", "name", "members", "recipe", "title", "status", "seed"}
    return {key: part if key in needed else None for key, part in value.items()}


def test_null_is_as_if_it_were_not_written(tmp_path: Path):
    content = nulled(made.whole_study())
    content["members"] = [nulled(entry) for entry in content["members"][:2]]
    content["data"] = nulled(content["data"])
    text = text_of(made.write_study(tmp_path, content))
    assert "VAE on fashion-mini" in text
    assert "Nothing was measured." in text


@pytest.mark.parametrize("title", ["VAE (2)", "VAE (β=4)", "VAE (a (3) b)"])
def test_a_title_keeps_its_brackets_and_the_numbers_go(title: str):
    text = (
        f"The {title} leads with FD 5.5 (1.5 to 9.4, and {title} 3 of 3), the GAN (2 seeds) not."
    )
    assert brief(text, names=[title, "GAN"]) == f"The {title} leads with FD 5.5, the GAN not."


def test_titles_with_numbers_stand_whole_on_the_page_and_in_markdown(study: Path):
    content = json.loads((study / "study.json").read_text())
    for entry in content["members"]:
        entry["title"] += " (β=4)"
    made.write_study(study, content)
    page, pasted = Page(write_report(study)), render_markdown(study)
    cards = re.findall(r'<p class="said">(.*?)</p>', page.source)
    rows = re.findall(r"^\| .*\?.*$", pasted, flags=re.MULTILINE)
    for said in (*cards, *rows):
        assert not re.search(r"the (VAE|GAN|VAE-GAN)(?! \(β=4\)|-)", said, re.IGNORECASE), said


REASON = (
    "wd2/gdiv/seed-0: training diverged: discriminator/loss became nan before step 4; "
    "nothing was saved before that; try a smaller learning rate with --set"
)


def test_a_member_that_diverged_is_said_to_once(study: Path):
    entry = made.diverged("gan", 0) | {"reason": REASON}
    said = trouble(Member.model_validate(entry))
    assert said == (
        "GAN diverged: discriminator/loss became nan before step 4; nothing was saved before "
        "that; try a smaller learning rate with --set. It was not measured."
    )
    content = json.loads((study / "study.json").read_text())
    made.write_study(study, content | {"members": [made.member("vae"), entry]})
    text = text_of(study)
    panels = text[text.index("The panels") : text.index("The evidence")]
    assert text.count(said) == 2  # over the pictures, and in the account of how it was done
    assert "No pictures: GAN diverged." in panels
    assert "became nan" not in panels
    assert "wd2/gdiv" not in text


UNSEEN = "\x00\x07\x08\x0b\x1b\x7f\x85\x9b\u202a\u202e\u2066\u2069\udfff\ud800"


def commanding(value: Any, kept: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {k: v if k in kept else commanding(v, kept) for k, v in value.items()}
    if isinstance(value, list):
        return [commanding(part, kept) for part in value]
    return f"{value}{UNSEEN}[31mred" if isinstance(value, str) else value


def test_no_character_that_a_terminal_or_a_reader_obeys_reaches_the_output(study: Path):
    names = ("recipe", "status", "key", "better", "kind", "family", "panel", "protocol", "equal")
    places = ("directory", "pictures", "evidence", "real", "picture", "metric", "split")
    kept = frozenset((*names, *places))
    content = commanding(json.loads((study / "study.json").read_text()), kept)
    content["machine"] = {f"device{UNSEEN}": UNSEEN}
    content["data"]["classes"] = {f"boot{UNSEEN}": 5}
    content["members"][3]["status"] = f"gone{UNSEEN}"
    made.write_study(study, content)
    for path in study.rglob("evidence.json"):
        path.write_text(json.dumps(commanding(json.loads(path.read_text()), kept)))
    rows = [{**row, f"term{UNSEEN}": 1.0} for row in made.vae_metrics()]
    made.write_lines(study / "vae/seed-0/metrics.jsonl", rows)
    assert all(
        not set(UNSEEN) & set(key)
        for row in read_metrics(study / "vae/seed-0/metrics.jsonl")
        for key in row
    )
    program = json.dumps(report_json(study), ensure_ascii=False)
    page = Page(write_report(study))
    seen = {"page": page.text, "charts": json.dumps(page.charts, ensure_ascii=False)}
    seen |= {"md": render_markdown(study), "json": program}
    for where, text in seen.items():
        assert not set(UNSEEN) & set(text), where
    assert "\N{REPLACEMENT CHARACTER}[31mred" in page.text


def a_figure(content: dict[str, Any]) -> dict[str, Any]:
    return content["members"][0]["figures"][0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: c.pop("data"),
        lambda c: c["members"].append(c["members"][0]),
        lambda c: c["data"].update(shape=[0, 28, 28]),
        lambda c: a_figure(c).update(better="sideways"),
        lambda c: c["members"][0].update(seed="first"),
        lambda c: c.update(members=3),
    ],
)
@pytest.mark.parametrize("form", ["html", "md", "json"])
def test_what_is_wrong_in_a_study_is_told_with_what_to_do(study: Path, damage: Any, form: Any):
    content = json.loads((study / "study.json").read_text())
    damage(content)
    made.write_study(study, content)
    with pytest.raises(RunError, match=re.escape(f"; {REMEDY}.") + "$") as raised:
        write_report(study, format=form)
    assert str(study) in str(raised.value)


@pytest.mark.parametrize("digits", [305, 400, 5000])
def test_an_absurd_integer_is_a_number_too_large(study: Path, digits: int):
    text = (study / "study.json").read_text().replace("391296", "1" + "0" * digits)
    (study / "study.json").write_text(text)
    wanted = rf"0… of {digits + 1} digits is a number too large; {re.escape(REMEDY)}\.$"
    with pytest.raises(RunError, match=wanted):
        write_report(study)


# -- latents --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("alive")
    latents_study.write(directory)
    return directory


@pytest.fixture
def live_study(alive: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(alive, tmp_path / "study"))


def test_a_model_with_neither_decoder_nor_atlas_has_a_sentence_and_no_stage(live_study: Path):
    (live_study / "vae/page/decoder.json").write_text("{")
    page = Page(write_report(live_study))
    assert (
        "VAE cannot be shown on the way from A to B: its decoder's file is missing or damaged, "
        "and there are no pictures made beforehand."
    ) in page.text
    assert "Pictures made beforehand, not decoded here" not in page.text
    stages = [a for a in page.all("canvas") if (a.get("class") or "") == "now"]
    assert len(stages) == 1
    assert "way" in [a.get("id") for a in page.all("input")]


def test_without_any_stage_there_is_nothing_to_drag(live_study: Path):
    for kind in ("vae", "gan"):
        (live_study / kind / "page/decoder.json").unlink()
    page = Page(write_report(live_study))
    assert page.text.count("cannot be shown on the way from A to B") == 2
    assert "way" not in [a.get("id") for a in page.all("input")]
    assert "Choose two ends" not in page.text
    assert len([a for a in page.all("canvas") if a.get("class") == "map"]) == 2


# -- weight ---------------------------------------------------------------------------------------


def test_a_page_sheds_in_a_fixed_order_and_says_what(study: Path, monkeypatch: Any):
    def lengths(page: Page) -> tuple[int, int]:
        alts = [a["alt"] or "" for a in page.all("img")]
        return sum("seed 2" in alt for alt in alts), sum(" after " in alt for alt in alts)

    seeds = "The samples of other seeds are left out here to keep the page small"
    films = "The pictures of training as it happened are left out here to keep the page small"
    whole = write_report(study).stat().st_size
    assert lengths(page := Page(study / "report.html")) == (3, 18)
    assert "left out here" not in page.text
    monkeypatch.setattr(shedding, "LARGEST_PAGE", whole - 1)
    assert lengths(page := Page(write_report(study))) == (0, 18)
    assert seeds in page.text
    assert films not in page.text
    monkeypatch.setattr(shedding, "LARGEST_PAGE", 1)
    assert lengths(page := Page(write_report(study))) == (0, 0)
    assert seeds in page.text
    assert page.text.count(films) == 2  # at the pictures, and where the films would be
    assert "No pictures were kept while training." not in page.text


def test_decoders_beyond_the_first_few_go_last(live_study: Path, monkeypatch: Any):
    study = read_study(live_study)
    section = latents_section(live_study, study, study.members)
    assert section is not None
    thin = section.thinned(1)
    assert [model.live for model in thin.models] == [True, False]
    assert [entry["decoder"] is None for entry in thin.payload["models"]] == [False, True]
    assert section.payload["models"][1]["decoder"] is not None
    whole = write_report(live_study).stat().st_size
    monkeypatch.setattr(shedding, "LARGEST_PAGE", whole - 1)
    text = text_of(live_study)
    assert "The decoders of 1 of 2 models are left out here" in text
    assert "GAN is not decoded here: that was left out to keep the page small." in text
    assert "VAE is not decoded here" not in text


def test_of_very_many_recipes_the_first_twelve_are_pictured_and_all_are_in_the_tables(
    study: Path,
):
    content = json.loads((study / "study.json").read_text())
    content["members"] = [
        made.member("gan") | {"recipe": f"gan-{i}", "title": f"Net {i:02d}"} for i in range(20)
    ]
    made.write_study(study, content)
    page = Page(write_report(study))
    drawn = {a["alt"] for a in page.all("img") if (a["alt"] or "").startswith("Samples made")}
    assert drawn == {f"Samples made by Net {i:02d}" for i in range(12)}
    assert not [a for a in page.all("img") if "Net 12" in (a["alt"] or "")]
    assert "those of the first 12 of 20 recipes" in page.text
    columns = re.findall(r'<table role="table" class="figures.*?</thead>', page.source, re.DOTALL)
    assert len(columns) > 1
    assert all(f"Net {i:02d}" in column for column in columns for i in range(20))
