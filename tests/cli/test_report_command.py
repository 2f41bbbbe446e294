"""`diptych report`: what it writes, what it prints, what it refuses."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "report"))
import made_up_study as made


@pytest.fixture
def bare_study(tmp_path: Path) -> Path:
    """A study whose pictures are gone."""
    return made.write_study(tmp_path / "study", made.whole_study())


def test_the_page_goes_into_the_study_or_where_it_is_told(diptych, bare_study, tmp_path):
    ended = diptych("report", bare_study)
    assert (ended.code, ended.out.strip()) == (0, str(bare_study / "report.html"))
    assert (bare_study / "report.html").read_text().startswith("<!doctype html>")
    ended = diptych("report", bare_study, "--out", tmp_path / "page.html")
    assert ended.code == 0
    assert (tmp_path / "page.html").read_bytes() == (bare_study / "report.html").read_bytes()


def test_markdown_and_json_are_printed_and_nothing_else(diptych, bare_study, tmp_path):
    printed = diptych("report", bare_study, "--format", "md")
    assert printed.out.startswith("# The GAN")
    assert "## How to repeat it" in printed.out
    record = json.loads(diptych("report", bare_study, "--format", "json").out)
    assert record["verdict"]["headline"] in printed.out
    ended = diptych("report", bare_study, "--format", "json", "-o", "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == record
    assert "report.html" not in [path.name for path in bare_study.iterdir()]
    assert ended.out.strip() == "r.json"


def test_what_cannot_be_done_is_refused_in_a_sentence(refused, bare_study, tmp_path):
    assert "is not a study: it has no study.json" in refused("report", tmp_path)
    assert "is not a study: it has no study.json" in refused("report", "nowhere")
    assert "is a directory; name a file" in refused("report", bare_study, "--out", tmp_path)
    assert "html" in refused("report", bare_study, "--format", "pdf")
    content = made.whole_study() | {"schema": 1}
    made.write_study(bare_study, content)
    assert "compare again with this version" in refused("report", bare_study)
    (bare_study / "study.json").write_text('{"schema": 2, "mem')
    assert "study.json cannot be read" in refused("report", bare_study, "--format", "md")
