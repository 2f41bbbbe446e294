"""Laws of the page: whole, faithful, safe, and never at a loss."""

import base64
import hashlib
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import made_up_study as made
import pytest
from PIL import Image, ImageChops
from reading_html import Page

from diptych.errors import RunError
from diptych.report import write_report
from diptych.report.words import ABSENT, decimals_for, number


def page_of(study: Path) -> Page:
    return Page(write_report(study))


def change(study: Path, **top: object) -> Path:
    content = json.loads((study / "study.json").read_text())
    return made.write_study(study, {**content, **top})


def test_nothing_is_asked_of_the_network(study: Path):
    page = page_of(study)
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (name, value[:80])
        assert "url(" not in (attributes.get("style") or "")
    assert "url(" not in page.styles
    assert "@import" not in page.styles
    assert not any(attributes.get("src") for attributes, _ in page.scripts)
    assert "sourceMappingURL" not in page.source


def test_the_policy_admits_exactly_the_scripts_of_the_page_and_no_request(study: Path):
    page = page_of(study)
    policy = next(
        a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    admitted = set(re.findall(r"'sha256-([^']+)'", policy))
    code = [text for attributes, text in page.scripts if "type" not in attributes]
    hashes = {base64.b64encode(hashlib.sha256(c.encode()).digest()).decode() for c in code}
    assert len(code) == 4
    assert admitted == hashes
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_every_picture_named_is_inside_pixel_for_pixel_and_its_gaps_are_clear(study: Path):
    page = page_of(study)
    expected = {
        "Samples made by VAE": "vae/pictures/samples.png",
        "Samples made by GAN": "gan/pictures/samples.png",
        "Real samples from fashion-mini": "pictures/real.png",
        "Interpolations by VAE, from left to right": "vae/pictures/interpolation.png",
        "Interpolations by GAN, from left to right": "gan/pictures/interpolation.png",
        "Test pictures in the upper row, their reconstructions by VAE in the lower": (
            "vae/pictures/reconstruction.png"
        ),
    }
    for alt, name in expected.items():
        inside, original = page.image(alt), Image.open(study / name)
        assert inside.size == original.size
        grey, opacity = inside.split()
        cells = opacity.point(lambda v: 255 if v else 0)
        difference = ImageChops.difference(grey, original.convert("L"))
        assert ImageChops.multiply(difference, cells).getextrema() == (0, 0), name
        assert opacity.getpixel((0, 0)) == 255
        assert opacity.getpixel((made.CELL, 0)) == 0
        columns, rows = ((side + made.GAP) // (made.CELL + made.GAP) for side in original.size)
        assert opacity.histogram()[255] == columns * rows * made.CELL**2


def test_every_picture_has_words(study: Path):
    page = page_of(study)
    assert len(page.all("img")) == 6 + 2 * 5
    assert all(a.get("alt") for a in page.all("img"))


def test_every_figure_and_floor_stands_in_the_text(study: Path):
    page = page_of(study)
    text, titles = page.text, {span.get("title") for span in page.all("span")}
    members = [made.vae_member(), made.gan_member()]
    for name in {f["name"] for m in members for f in m["figures"]}:
        figures = [f for m in members for f in m["figures"] if f["name"] == name]
        values = [v for f in figures for v in (f["value"], f["floor"])]
        assert name in text
        for value in values:
            assert number(value, decimals_for(values)) in text
        for figure in figures:
            assert not figure["protocol"] or f"protocol {figure['protocol']}" in titles
            assert figure["note"] in text


def test_cost_parameters_and_what_is_needed_to_repeat_stand_in_the_text(study: Path):
    text = page_of(study).text
    wanted = ["391,296", "402,113", "793,409", "402,145", "387,201", "412,800", "6,450", "2,291"]
    wanted += ["3 min 00 s", "21 s", "diptych compare vae gan --data fashion-mini --minutes 3"]
    wanted += ["9f2c" * 16, "2.13.0+cpu", "Some Processor @ 2.40GHz", "train 8,000", "Trouser"]
    wanted += ["this is not the Inception FID", "Mean squared error 0.0123", "89.1 %"]
    wanted += ["GAN has no encoder", "the generator lowers the non-saturating loss"]
    for words in wanted:
        assert words in text, words


def test_the_headline_says_who_on_what_under_which_budget(study: Path):
    assert "VAE and GAN on fashion-mini, 3 minutes each" in page_of(study).text
    change(study, budget={"minutes": None, "images": 200_000})
    assert "VAE and GAN on fashion-mini, 200,000 images each" in page_of(study).text


def test_members_keep_their_order_and_the_real_pictures_hang_at_the_hinge(study: Path):
    def order() -> list[str]:
        alts = [a["alt"] or "" for a in page_of(study).all("img")]
        return [alt for alt in alts if alt.startswith(("Samples", "Real"))]

    vae, gan, real = "Samples made by VAE", "Samples made by GAN", "Real samples from fashion-mini"
    assert order() == [vae, real, gan]
    change(study, members=[made.gan_member(), made.vae_member()])
    assert order() == [gan, real, vae]
    change(study, members=[made.gan_member()])
    assert order() == [gan, real]


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028"


def test_hostile_words_stay_words(study: Path):
    content = json.loads((study / "study.json").read_text())
    content["data"] |= {"name": HOSTILE, "notes": [HOSTILE], "classes": {HOSTILE: 3}}
    content |= {"command": HOSTILE, "created": HOSTILE, "machine": {HOSTILE: HOSTILE}}
    content["features"] |= {"sentence": HOSTILE, "name": HOSTILE}
    for member in content["members"]:
        member |= {"title": HOSTILE, "recipe": HOSTILE, "turns": [HOSTILE], "status": HOSTILE}
        member |= {"reason": HOSTILE, "reconstruction_sentence": HOSTILE}
        member["parameters"] = {HOSTILE: 3}
        member["figures"][0] |= {"note": HOSTILE, "protocol": HOSTILE, "unit": HOSTILE}
    change(study, **content)
    rows = [{**row, HOSTILE: 1.0} for row in made.gan_metrics()]
    made.write_lines(study / "gan/metrics.jsonl", rows)
    page = page_of(study)
    assert len(page.scripts) == 5
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert "x" not in [a.get("src") for a in page.all("img")]
    assert any(HOSTILE.strip("\u2028") in json.dumps(spec) for spec in page.charts.values())


def test_a_picture_outside_the_study_is_not_carried_out(study: Path):
    secret = study.parent / "secret.png"
    made.save(Image.new("L", (50, 50), 7), secret)
    (study / "link.png").symlink_to(secret)
    for name in ("../secret.png", str(secret), "link.png"):
        change(study, real=name)
        page = page_of(study)
        assert "Real samples from fashion-mini" not in [a["alt"] for a in page.all("img")]
        assert "No pictures: the real pictures left none." in page.text


def test_what_is_missing_is_said(study: Path):
    """A member that diverged at once, and one of which nothing is known but its name."""
    (study / "gan/pictures/samples.png").write_bytes(b"not a picture")
    diverged = made.gan_member() | {
        "status": "diverged", "reason": "generator/loss became NaN at step 40",
        "figures": [made.figure("FD (classifier)", math.nan, "lower", 1.18, note="not measured")],
    }  # fmt: skip
    bare = {"recipe": "vae-gan", "title": "VAE-GAN", "status": "interrupted"}
    (study / "vae/metrics.jsonl").write_text('{"step": 1, "autoencoder/kl": NaN}\n{"step": 2, "va')
    change(study, members=[made.vae_member(), diverged, bare], features=None)
    page = page_of(study)
    assert "GAN diverged: generator/loss became NaN at step 40" in page.text
    assert "VAE-GAN was interrupted before its budget was used." in page.text
    assert "No pictures: GAN left none." in page.text
    assert "VAE-GAN left no reconstructions." in page.text
    assert "VAE-GAN left no interpolations." in page.text
    assert page.text.count("No curves: too little was logged to draw.") == 2
    assert f"{ABSENT} not measured" in page.text
    assert "nan" not in re.findall(r"[a-z]+", page.text)
    assert {key.split("-")[0] for key in page.charts} == {"2"}


def test_the_smallest_study_makes_a_page(tmp_path: Path):
    made.write_study(tmp_path, {"schema": 1, "data": {"name": "ring"}, "members": []})
    text = page_of(tmp_path).text
    assert "Nothing yet on ring" in text
    assert "Nothing was measured." in text


def test_points_are_shown_as_scatter_plots(study: Path):
    content = json.loads((study / "study.json").read_text())
    content["data"] |= {"name": "ring", "kind": "points", "shape": [2], "classes": {}}
    change(study, **content)
    page = page_of(study)
    assert "Reconstructions" not in page.text
    assert "8,000 points" in page.text
    assert page.image("Real samples from ring").mode == "L"
    assert 'class="window grid"' not in page.source


def test_a_grid_that_had_to_be_compressed_is_said_to_be(
    study: Path, monkeypatch: pytest.MonkeyPatch
):
    assert "WebP" not in page_of(study).text
    monkeypatch.setattr("diptych.report.pictures.HEAVY", 1000)
    assert "The heavier grids are compressed here as WebP" in page_of(study).text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not a study: it has no study.json"),
        ("{", "cannot be read"),
        ("[]", "is not a study: at the top level"),
        ('{"schema": 1, "data": {}}', "is not a study: at data.name, field required"),
        ('{"schema": 9, "data": {}}', "has schema 9, and this Diptych reads schema 1"),
    ],
)
def test_what_is_no_study_is_told_in_a_sentence(tmp_path: Path, content: str | None, words: str):
    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(RunError, match=re.escape(words)):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_the_page_is_light_and_written_whole(study: Path, tmp_path: Path):
    out = tmp_path / "deep/er/page.html"
    assert write_report(study, out) == out
    assert out.stat().st_size < 2_000_000
    before = out.read_text()
    (study / "study.json").write_text("{")
    with pytest.raises(RunError):
        write_report(study, out)
    assert out.read_text() == before
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


def test_the_same_study_gives_the_same_page(study: Path, tmp_path: Path):
    first, second = write_report(study, tmp_path / "a"), write_report(study, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_the_room_does_not_need_torch(study: Path):
    code = (
        "import sys; from pathlib import Path; from diptych.report import write_report; "
        f"write_report(Path({str(study)!r})); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'lightning_fabric')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
