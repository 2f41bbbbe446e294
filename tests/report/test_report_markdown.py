"""Laws of what is pasted and of what programs read."""

import json
import re
from pathlib import Path

import made_up_study as made
import pytest

from diptych.errors import DiptychError
from diptych.report import render_markdown, report_json, write_report
from diptych.report.judging import verdict_of
from diptych.report.reading import read_study
from diptych.report.words import brief
from diptych.study.table import Table
from diptych.study.verdict import judge


def as_json(value: object) -> object:
    return json.loads(json.dumps(value, allow_nan=False))


def test_markdown_says_what_the_page_says(painted_study: Path):
    text = render_markdown(painted_study)
    verdict = verdict_of(read_study(painted_study))
    assert verdict is not None
    assert text.startswith(f"# {verdict.headline}\n")
    plain = text.replace("\\", "")
    for answer in verdict.answers:
        assert f"| {answer.question} |" in plain
        assert brief(answer.sentence) in plain
    for said in (*verdict.recommendations, *verdict.folklore):
        assert (said.use if hasattr(said, "use") else said.claim) in plain
    assert made.study_json()["command"] in plain
    assert "GAN, seed 1, diverged" in plain
    assert "9f2c" * 16 in plain


def test_every_table_of_the_markdown_is_whole(painted_study: Path):
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", render_markdown(painted_study), flags=re.MULTILINE)
    assert len(blocks) == 3
    for block in blocks:
        lines = block.strip().splitlines()
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(columns) == 1
        assert set(lines[1]) <= set("|-: ")


def test_hostile_words_are_no_markup_in_markdown(study: Path):
    content = json.loads((study / "study.json").read_text())
    hostile = "<img src=x> | [here](http://evil) ``` @everyone\n# Title\ud800"
    content["command"] = content["data"]["name"] = hostile
    for entry in content["members"]:
        entry["title"] = hostile
    made.write_study(study, content)
    text = render_markdown(study)
    prose, command, rest = re.split(r"^````\n(.*?)\n````$", text, flags=re.MULTILINE | re.DOTALL)
    assert "\n" not in command
    for part in (prose, rest):
        assert not re.search(r"(?<!\\)<img", part)
        assert not re.search(r"(?<!\\)\[here", part)
        assert "@everyone" not in part
    assert "\n# Title" not in text
    text.encode("utf-8")


def test_json_holds_the_judges_verdict_and_every_figure(painted_study: Path):
    found = as_json(report_json(painted_study))
    content = json.loads((painted_study / "study.json").read_text())
    table = Table.from_results(content)
    assert found["verdict"] == as_json(judge(table).to_json())
    values = {
        (row["recipe"], row["seed"], row["key"]): row["value"] for row in found["table"]["rows"]
    }
    for entry in content["members"]:
        for figure in entry["figures"]:
            assert values[entry["recipe"], entry["seed"], figure["key"]] == figure["value"]
    assert len(values) == 9 * len(made.FIGURES)


def test_a_study_with_nothing_measured_is_told_in_every_form(tmp_path: Path):
    made.write_study(tmp_path, {"schema": 2, "data": {"name": "ring"}, "members": []})
    assert "Nothing was measured yet" in render_markdown(tmp_path)
    assert report_json(tmp_path)["verdict"] is None


def test_each_format_has_its_file_and_no_other_format_exists(study: Path):
    for form in ("html", "md", "json"):
        assert write_report(study, format=form) == study / f"report.{form}"
    assert json.loads((study / "report.json").read_text()) == as_json(report_json(study))
    assert (study / "report.md").read_text() == render_markdown(study)
    with pytest.raises(DiptychError, match="there is no report in 'pdf'"):
        write_report(study, format="pdf")  # type: ignore[arg-type]
