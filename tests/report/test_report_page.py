"""Laws of the page: whole, faithful, safe, and never at a loss."""

import base64
import hashlib
import json
import math
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import made_up_study as made
import pytest
from PIL import Image, ImageChops
from reading_html import Page

from diptych.errors import DiptychError, RunError
from diptych.report import write_report
from diptych.report.judging import verdict_of
from diptych.report.pictures import Album
from diptych.report.reading import read_study
from diptych.report.vendored import VENDOR
from diptych.report.words import ABSENT, brief, number


def page_of(study: Path) -> Page:
    return Page(write_report(study))


def content_of(study: Path) -> dict:
    return json.loads((study / "study.json").read_text())


def change(study: Path, **top: object) -> Path:
    return made.write_study(study, {**content_of(study), **top})


@pytest.fixture(scope="module")
def page(painted_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of the unchanged study."""
    return Page(write_report(painted_study, tmp_path_factory.mktemp("page") / "page.html"))


def test_nothing_is_asked_of_the_network(page: Page):
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (name, value[:80])
        assert "url(" not in (attributes.get("style") or "")
    assert "url(" not in page.styles
    assert "@import" not in page.styles
    assert not any(attributes.get("src") for attributes, _ in page.scripts)
    assert "sourceMappingURL" not in page.source


def test_the_policy_admits_exactly_the_scripts_of_the_page_and_no_request(page: Page):
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


def test_the_verdict_is_the_judges_own_and_stands_before_any_picture(
    page: Page, painted_study: Path
):
    verdict = verdict_of(read_study(painted_study))
    assert verdict is not None
    assert page.text.index(verdict.headline) < page.text.index("The panels")
    assert page.source.index("<h1>") < page.source.index("<img")
    for answer in verdict.answers:
        assert answer.question in page.text
        assert " ".join(answer.sentence.split()) in page.text
        assert answer.key == "cost" or brief(answer.sentence) in page.text
    for said in verdict.recommendations:
        assert all(words in page.text for words in (said.use, said.because, said.would_change))
    for said in verdict.folklore:
        assert said.claim in page.text
        assert said.sentence in page.text
        assert f"{said.state} on these data" in page.text


def test_a_state_is_told_by_a_word_and_by_a_shape_of_its_own(page: Page):
    chips = r'<span class="chip state-([a-z-]+)">(.*?)</svg>\s*<span>([^<]+)'
    found = re.findall(chips, page.source, flags=re.DOTALL)
    drawn = {state: drawing.strip() for state, drawing, _ in found}
    drawn.pop("confirmed", None)  # drawn as what is clear
    assert {"clear", "undecided"} <= drawn.keys()
    assert len(set(drawn.values())) == len(drawn)
    assert all(word.strip() for _, _, word in found)


def test_every_picture_named_is_inside_pixel_for_pixel_and_its_gaps_are_clear(
    page: Page, painted_study: Path
):
    expected = {
        "Samples made by VAE, seed 0": "vae/seed-0/pictures/samples.png",
        "Samples made by VAE, seed 2": "vae/seed-2/pictures/samples.png",
        "Samples made by GAN, seed 2": "gan/seed-2/pictures/samples.png",
        "Real samples from fashion-mini": "pictures/real.png",
        "Interpolations by VAE-GAN, from left to right": (
            "vae-gan/seed-0/pictures/interpolation.png"
        ),
        "Test pictures in the upper row, their reconstructions by GAN in the lower": (
            "gan/seed-0/pictures/reconstruction.png"
        ),
        "Held-out images that no sample of GAN is near to": "gan/seed-0/page/missing.png",
    }
    for alt, name in expected.items():
        inside, original = page.image(alt), Image.open(painted_study / name)
        assert inside.size == original.size
        grey, opacity = inside.split()
        cells = opacity.point(lambda v: 255 if v else 0)
        difference = ImageChops.difference(grey, original.convert("L"))
        assert ImageChops.multiply(difference, cells).getextrema() == (0, 0), name
        assert opacity.getpixel((0, 0)) == 255
        assert opacity.getpixel((made.CELL, 0)) == 0
        columns, rows = ((side + made.GAP) // (made.CELL + made.GAP) for side in original.size)
        assert opacity.histogram()[255] == columns * rows * made.CELL**2


def test_every_picture_has_words_of_its_own(page: Page):
    alts = [a.get("alt") for a in page.all("img")]
    assert len(alts) == 1 + 8 + 1 + 2 * 3 + 3 * 6 + 5 + 4 + 3 + 3
    assert all(alts)
    assert len(set(alts)) == len(alts)
    drawn = [a for tag, a in page.elements if tag == "svg" and "dots" in (a.get("class") or "")]
    assert drawn
    assert all(a.get("aria-label") for a in drawn)


def test_headings_descend_one_step_at_a_time(page: Page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_inner_link_and_label_has_its_place(page: Page):
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("href", "aria-labelledby", "for"):
            value = attributes.get(name)
            if value and not value.startswith("data:"):
                assert value.removeprefix("#") in ids, value


def test_every_figure_of_every_recipe_stands_in_the_tables(page: Page):
    titles = {span.get("title") for span in page.all("span")}
    for place, (key, name, *_) in enumerate(made.FIGURES):
        assert name in page.text
        assert f"protocol {key}-p1" in titles
        for recipe in made.VALUES:
            value = made.VALUES[recipe][place]
            shown = {number(value, decimals) for decimals in range(6)}
            assert any(text in page.text for text in shown), (key, recipe)


def test_cost_parameters_and_what_is_needed_to_repeat_stand_in_the_text(page: Page):
    wanted = ["391,296", "402,113", "793,409", "402,145", "387,201", "414,400", "412,800"]
    wanted += ["3 min 00 s", "21 s", content_command(), "2 of 3", "1.4 s"]
    wanted += ["9f2c" * 16, "2.13.0+cpu", "Some Processor @ 2.40GHz", "train 8,000", "Trouser"]
    wanted += ["this is not the Inception FID", "Mean squared error 0.0120", "89.1 %", "756a" * 16]
    wanted += ["the generator lowers the non-saturating loss", "one of 16, 32"]
    wanted += ["0.1 … 4 (log scale)", "the loss became NaN", "3 trials, chosen by fd-classifier"]
    wanted += ["in the same time VAE saw 2.0 times as many as VAE-GAN", '"latent_dim": 32']
    for words in wanted:
        assert words in page.text, words


def content_command() -> str:
    return str(made.study_json()["command"])


def test_equal_images_are_told_as_such(study: Path):
    content = content_of(study)
    for entry in content["members"]:
        entry["images_seen"] = 200_000
        entry["train_seconds"] = {"vae": 100.0, "gan": 150.0, "vae-gan": 200.0}[entry["recipe"]]
    content["budget"] = {"minutes": None, "images": 200_000, "equal": "images"}
    change(study, **content)
    text = page_of(study).text
    assert "VAE-GAN trained 2.0 times as long as VAE (3 min 20 s against 1 min 40 s)" in text


def test_members_keep_their_order_and_the_real_pictures_hang_at_the_hinge(study: Path):
    def order() -> list[str]:
        alts = [a["alt"] or "" for a in page_of(study).all("img")]
        return [alt for alt in alts if re.match(r"(Samples made|Real samples)", alt)]

    real = "Real samples from fashion-mini"
    vae, gan = "Samples made by VAE", "Samples made by GAN"
    change(study, members=[made.member("vae"), made.member("gan")])
    assert order() == [vae, real, gan]
    change(study, members=[made.member("gan"), made.member("vae")])
    assert order() == [gan, real, vae]
    change(study, members=[made.member("gan")])
    assert order() == [gan, real]


def test_the_first_finished_seed_is_shown(study: Path):
    first = [made.diverged("gan", 0), made.member("gan", 2)]
    change(study, members=[made.member("vae", 1), *first])
    page = page_of(study)
    shown = re.findall(r'<div class="of-seed shown"[^>]*>.*?alt="([^"]+)"', page.source, re.DOTALL)
    assert shown == ["Samples made by VAE", "Real samples from fashion-mini",
                     "Samples made by GAN, seed 2"]  # fmt: skip
    assert "GAN after 51,200 images" in {a["alt"] for a in page.all("img")}


def test_films_are_placed_by_part_of_the_budget_and_say_both_clocks(page: Page):
    assert "51,200 images · 29 s" in page.text
    places = [int(a["data-at"] or -1) for a in page.all("li") if "data-at" in a]
    assert places[0] == 0
    films = [places[i : i + 6] for i in range(0, len(places), 6)]
    assert all(film == sorted(film) for film in films)
    scrubber = next(a for a in page.all("input") if a.get("type") == "range")
    moments = (scrubber["data-moments"] or "").split(",")
    assert [int(m) for m in moments] == sorted(set(places))
    assert scrubber["max"] == str(len(moments) - 1)


def test_curves_can_be_drawn_over_either_clock(page: Page):
    assert {key.split("-")[0] for key in page.charts} == {"1", "2", "3"}
    for chart in page.charts.values():
        assert chart["spec"]["encoding"]["x"] == chart["axes"]["minutes"]
        assert chart["axes"]["images"]["field"] == "images"
        assert all({"minutes", "images"} <= row.keys() for row in chart["spec"]["data"]["values"])


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028\ud800"


def poisoned(value: object) -> object:
    """The same JSON with every text that may be anything replaced."""
    keep = {
        "kind",
        "status",
        "better",
        "family",
        "panel",
        "recipe",
        "key",
        "protocol",
        "fingerprint",
    }
    keep |= {"picture", "real", "directory", "evidence", "samples", "reconstruction", "metric"}
    keep |= {"interpolation", "equal", "chosen", "created"}
    if isinstance(value, dict):
        return {k: v if k in keep else poisoned(v) for k, v in value.items()}
    if isinstance(value, list):
        return [poisoned(v) for v in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_words_stay_words(study: Path):
    content = poisoned(content_of(study))
    assert isinstance(content, dict)
    content["machine"] = {HOSTILE: HOSTILE}
    content["data"]["classes"] = {HOSTILE: 3}
    for entry in content["members"]:
        entry["parameters"] = {HOSTILE: 3}
    content["members"][1]["status"] = HOSTILE
    change(study, **content)
    for evidence in study.rglob("evidence.json"):
        evidence.write_text(json.dumps(poisoned(json.loads(evidence.read_text()))))
    rows = [{**row, HOSTILE: 1.0} for row in made.gan_metrics()]
    made.write_lines(study / "gan/seed-0/metrics.jsonl", rows)
    page = page_of(study)
    assert len(page.scripts) == 5
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert "x" not in [a.get("src") for a in page.all("img")]
    drawn = [json.dumps(chart["spec"]) for chart in page.charts.values()]
    assert any("<img src=x" in text for text in drawn)


def test_a_picture_outside_the_study_is_not_carried_out(study: Path):
    secret = study.parent / "secret.png"
    made.save(Image.new("L", (50, 50), 7), secret)
    (study / "link.png").symlink_to(secret)
    (study / "round.png").symlink_to(study / "round.png")
    hidden = base64.b64encode(secret.read_bytes()).decode()[40:80]
    outside = made.evidence("vae")
    outside["copies"]["picture"] = "../../../secret.png"
    (study / "vae/seed-0/page/evidence.json").write_text(json.dumps(outside))
    change(study, real="../secret.png")
    page = page_of(study)
    assert "Real samples from fashion-mini" not in [a["alt"] for a in page.all("img")]
    assert "No pictures: the real pictures left none." in page.text
    assert "Samples of VAE above" not in page.source
    assert hidden not in page.source
    album = Album(study, (made.CELL, made.CELL))
    assert album.picture("pictures/real.png") is not None
    for name in (str(secret), "link.png", "round.png", "a\0b", "x" * 5000, "pictures", "."):
        assert album.picture(name) is None, name


def test_a_run_outside_the_study_gives_neither_films_nor_curves(study: Path):
    outside = study.parent / "outside"
    (study / "vae/seed-0").rename(outside)
    for directory in ("../outside", str(outside)):
        change(study, members=[made.member("vae") | {"directory": directory}])
        page = page_of(study)
        assert "No pictures were kept while training." in page.text
        assert page.charts == {}


def test_what_is_missing_is_said(study: Path):
    """A member that diverged at once, and one of which nothing is known but its name."""
    (study / "gan/seed-0/pictures/samples.png").write_bytes(b"not a picture")
    gan = made.member("gan")
    gan["figures"] = [
        made.figure("fd-classifier", "FD (classifier)", math.nan, "lower", 1.18),
        made.figure("recall-classifier", "recall (classifier)", 1e308, "higher", None),
    ]
    bare = {"recipe": "vae-gan", "title": "VAE-GAN", "status": "interrupted"}
    log = study / "vae/seed-0/metrics.jsonl"
    log.write_text('{"step": 1, "autoencoder/kl": NaN}\n{"step": 2, "va')
    waiting = {"recipe": "vae", "title": "VAE", "seed": 1, "status": "waiting"}
    change(study, members=[made.member("vae"), waiting, gan, bare], features=None)
    page = page_of(study)
    assert "VAE-GAN was interrupted before its budget was used." in page.text
    assert "VAE, seed 1, was not trained yet." in page.text
    assert "No pictures: GAN left none." in page.text
    assert "gan/seed-0/pictures/samples.png is not a PNG picture that can be read." in page.text
    assert "VAE-GAN left no reconstructions." in page.text
    assert "VAE-GAN left no interpolations." in page.text
    assert page.text.count("No curves: too little was logged to draw.") == 2
    assert f"{ABSENT} not measured" in page.text
    assert "nan" not in re.findall(r"[a-z]+", page.text)
    assert "inf" not in re.findall(r"[a-z]+", page.text)
    assert {key.split("-")[0] for key in page.charts} == {"2"}


def test_a_study_without_pictures_makes_a_page_and_says_so(study: Path):
    for picture in study.rglob("*.png"):
        picture.unlink()
    page = page_of(study)
    assert page.all("img") == []
    assert "pictures/real.png is not in the study." in page.text
    assert page.text.count("left none.") >= 4


@pytest.mark.parametrize(
    "damage",
    [
        *("{", "[]", '{"schema": 7}', '{"schema": 1, "copies": 3}'),
        '{"schema": 1, "copies": {"picture": "../../x.png"}}',
    ],
)
def test_damaged_evidence_is_left_out(study: Path, damage: str):
    for path in study.rglob("evidence.json"):
        path.write_text(damage)
    page = page_of(study)
    assert "nearest held-out image" not in page.text
    assert "The evidence" in page.text


def test_pictures_too_heavy_to_be_safe_are_left_out_with_a_note(
    study: Path, monkeypatch: pytest.MonkeyPatch
):
    Image.new("1", (20_000, 10_000)).save(study / "pictures/real.png")
    page = page_of(study)
    assert "pictures/real.png has more than 40 million pixels: left out." in page.text
    monkeypatch.setattr("diptych.report.pictures.LARGEST_FILE", 100)
    page = page_of(study)
    assert page.all("img") == []
    assert "vae/seed-0/pictures/samples.png is larger than" in page.text


def test_the_smallest_study_makes_a_page(tmp_path: Path):
    made.write_study(tmp_path, {"schema": 2, "data": {"name": "ring"}, "members": []})
    text = page_of(tmp_path).text
    assert "Nothing yet on ring" in text
    assert "Nothing was measured" in text


def test_points_are_shown_as_scatter_plots(study: Path):
    content = content_of(study)
    content["data"] |= {"name": "ring", "kind": "points", "shape": [2], "classes": {}}
    change(study, **content)
    page = page_of(study)
    assert "Reconstructions" not in page.text
    assert "8,000 points" in page.text
    assert page.image("Real samples from ring").mode == "L"
    assert 'class="window grid"' not in page.source


def test_a_grid_that_had_to_be_compressed_is_said_to_be(
    study: Path, page: Page, monkeypatch: pytest.MonkeyPatch
):
    assert "WebP" not in page.text
    monkeypatch.setattr("diptych.report.pictures.HEAVY", 1000)
    assert "The heavier grids are compressed here as WebP" in page_of(study).text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not a study: it has no study.json"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "is not a study: at the top level"),
        ('{"schema": 2, "data": {}}', "is not a study: at data.name, field required"),
        ('{"schema": 1, "data": {}}', "made before Diptych 0.2: compare again with this version."),
        ('{"schema": 9, "data": {}}', "has schema 9, and this Diptych reads schema 2"),
    ],
)
def test_what_is_no_study_is_told_in_a_sentence(tmp_path: Path, content: str | None, words: str):
    if content is not None:
        (tmp_path / "study.json").write_text(content)
    with pytest.raises(RunError, match=re.escape(words)):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_file_of_absurd_size_is_not_read(study: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("diptych.report.reading.LARGEST_FILE", 1000)
    with pytest.raises(RunError, match="cannot be read: it is larger than"):
        write_report(study)


def test_a_page_cannot_be_written_over_a_directory(study: Path, tmp_path: Path):
    with pytest.raises(DiptychError, match="is a directory; name a file"):
        write_report(study, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DiptychError, match="cannot be written"):
        write_report(study, tmp_path / "file/page.html")


def test_the_page_is_light_and_written_whole(study: Path, tmp_path: Path):
    out = tmp_path / "deep/er/page.html"
    assert write_report(study, out) == out
    assert out.stat().st_size < 3_000_000
    before = out.read_text()
    (study / "study.json").write_text("{")
    with pytest.raises(RunError):
        write_report(study, out)
    assert out.read_text() == before
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


def test_three_recipes_of_noise_in_colour_would_stay_below_15_megabytes(tmp_path: Path):
    """The hardest pictures there are to compress, at 64 x 64 in colour: a third of a study."""
    noise = Image.effect_noise((8 * 66 - 2,) * 2, 90)
    sheet = Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)])
    content = made.study_json(*(made.member("gan", seed) for seed in range(3)))
    content["data"]["shape"] = [3, 64, 64]
    made.save(sheet, tmp_path / "pictures/real.png")
    for entry in content["members"]:
        home = tmp_path / entry["directory"]
        for name in (entry["pictures"] or {}).values():
            made.save(sheet, tmp_path / name)
        for images in range(13 if entry["seed"] == 0 else 0):
            made.save(sheet.crop((0, 0, 262, 262)), home / f"samples/{images * 9000:012d}.png")
    made.write_study(tmp_path, content)
    code = sum(path.stat().st_size for path in VENDOR.iterdir())
    assert write_report(tmp_path).stat().st_size - code < (15_000_000 - code) / 3


def test_the_same_study_gives_the_same_page(study: Path, tmp_path: Path):
    first, second = write_report(study, tmp_path / "a"), write_report(study, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_the_room_does_not_need_torch(study: Path):
    code = (
        "import sys; from pathlib import Path; from diptych.report import write_report; "
        f"[write_report(Path({str(study)!r}), format=f) for f in ('html', 'md', 'json')]; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'lightning_fabric')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
