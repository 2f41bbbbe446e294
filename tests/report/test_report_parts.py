"""Laws of the parts: numbers, rows, grids, strips, curves, and the vendored code."""

import hashlib
import re
from pathlib import Path

import made_up_study as made
import pytest
from PIL import Image

from diptych.report import vendored
from diptych.report.bars import Scale, strip_of
from diptych.report.charts import MOST_POINTS, curves, last_values
from diptych.report.frames import films_of
from diptych.report.judging import standings_of, table_of, verdict_of
from diptych.report.panels import panels_of
from diptych.report.pictures import Album, Grid, scale_for
from diptych.report.reading import Member, Study, read_metrics
from diptych.report.tables import Row, cost_rows, figure_tables
from diptych.report.words import ABSENT, brief, decimals_for, duration, listing, number
from diptych.study.verdict import Comparison


def members(*parts: dict) -> list[Member]:
    return [Member.model_validate(part) for part in parts]


def studied(*parts: dict, baselines: tuple = ()) -> Study:
    content = made.study_json(*parts) | {"baselines": list(baselines)}
    return Study.model_validate(content)


def rows_of(*parts: dict, winner: str | None = None, baselines: tuple = ()) -> list[Row]:
    """All rows of the tables, as if the verdict had found a winner by every metric."""
    study = studied(*parts, baselines=baselines)
    panels = panels_of(study)
    keys = {figure.key for member in study.members for figure in member.figures}
    comparisons = {
        key: Comparison(key, key, "", "lower", None, (), winner) for key in keys if winner
    }
    standings = standings_of(table_of(study))
    tables = figure_tables(panels, study.baselines, comparisons, standings)
    return [row for table in tables for row in table.rows]


def named(name: str, title: str, seed: int = 0, **figure: object) -> dict:
    full = made.figure(name, name, **{"value": 1.0, "better": "lower", "floor": None,
                                      "protocol": "p", **figure})  # fmt: skip
    return {"recipe": title, "title": title, "seed": seed, "figures": [full]}


def test_every_vendored_file_is_the_one_recorded():
    table = (vendored.VENDOR / "README.md").read_text()
    rows = re.findall(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", table, flags=re.MULTILINE)
    files = {path.name for path in vendored.VENDOR.iterdir()} - {"README.md"}
    assert {name for name, _ in rows} == files
    for name, digest in rows:
        assert hashlib.sha256((vendored.VENDOR / name).read_bytes()).hexdigest() == digest, name


def test_the_licences_of_the_chart_code_travel_with_it():
    for name, text in vendored.licences()[:3]:
        assert "University of Washington" in text, name
        assert "Redistributions in binary form must reproduce" in text


def test_a_script_that_could_end_its_own_tag_is_refused():
    with pytest.raises(ValueError, match="end its own tag"):
        vendored.script_text("let a = '</SCRIPT>'")


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([57.31, 12.34, 1.18], ["57.3", "12.3", "1.2"]),
        ([0.712, 0.941, None], ["0.712", "0.941", ABSENT]),
        ([241.62], ["241.6"]),
        ([12345.6, 2.0], ["12,345.6", "2.0"]),
        ([12345.6], ["12,346"]),
        ([-0.5, 2.25], ["\N{MINUS SIGN}0.50", "2.25"]),
        ([0.0], ["0"]),
        ([-0.0, 5.0], ["0.00", "5.00"]),
        ([250.0, 0.012], ["250.000", "0.012"]),
    ],
)
def test_numbers_of_a_row_share_decimals_and_none_is_lost(values: list, written: list[str]):
    decimals = decimals_for(values)
    assert [number(value, decimals) for value in values] == written


def test_durations_and_lists_as_people_say_them():
    seconds = [0.42, 48.2, 59.7, 182, 4800, None, float("nan")]
    said = ["0.4 s", "48 s", "1 min 00 s", "3 min 02 s", "1 h 20 min", ABSENT, ABSENT]
    assert [duration(s) for s in seconds] == said
    assert [listing(list("abc"[:n])) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_the_one_ahead_is_whom_the_verdict_names_and_nobody_across_protocols():
    alike = [named("f", "A", value=1.0, floor=0), named("f", "B", value=2.0, floor=0)]
    (row,) = rows_of(*alike, winner="B")
    assert [cell.better for cell in row.cells] == [False, True]
    (row,) = rows_of(*alike)
    assert not any(cell.better for cell in row.cells)
    (row,) = rows_of(alike[0], named("f", "B", value=2.0, floor=0, protocol="q"), winner="A")
    assert not any(cell.better for cell in row.cells)
    assert "Measured under different protocols, so not ranked." in row.notes


def test_floors_stand_once_when_they_agree_and_with_each_value_when_not():
    (same,) = rows_of(named("f", "A", value=9.0, floor=1.5), named("f", "B", value=8.0, floor=1.5))
    assert same.floor == "1.50"
    assert [cell.floor for cell in same.cells] == ["", ""]
    (apart,) = rows_of(
        named("f", "A", value=9.0, floor=1.5), named("f", "B", value=8.0, floor=2.5)
    )
    assert [cell.floor for cell in apart.cells] == ["1.50", "2.50"]


def test_seeds_are_brought_together_and_each_is_told():
    three = [named("f", "A", seed, value=float((2, 1, 3)[seed]), floor=0) for seed in range(3)]
    (row,) = rows_of(*three)
    (cell,) = row.cells
    assert (cell.text, cell.seeds) == ("2.00", "2.00 · 1.00 · 3.00")
    # Three seeds of deviation 1: t with two degrees of freedom is 4.303 at 95 %.
    low, high = 2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5
    assert cell.interval == f"\N{MINUS SIGN}{-low:.2f} … {high:.2f}"


def test_figures_that_cannot_be_trusted_are_marked():
    (row,) = rows_of(named("f", "A", floor=0), named("f", "B", floor=0, trusted=False))
    assert [cell.trusted for cell in row.cells] == [True, False]


def test_a_seed_that_cannot_be_trusted_is_marked_and_does_not_count():
    seeds = [named("f", "A", 0, value=0.46, trusted=False), named("f", "A", 1, value=0.5)]
    (row,) = rows_of(*seeds, named("f", "A", 2, value=0.52))
    (cell,) = row.cells
    assert (cell.text, cell.trusted) == ("0.510", True)
    assert cell.seeds == "0.460 (seed 0 not trusted) · 0.500 · 0.520"
    standing = standings_of(table_of(studied(*seeds)))["A", "f"]
    assert standing.seeds == (0.5,)


def test_baselines_stand_beside_and_are_never_ahead():
    (row,) = rows_of(
        named("f", "A", value=2.0), winner="A", baselines=(named("f", "B", value=1.0) | {
            "name": "B"},)
    )  # fmt: skip
    assert [(cell.text, cell.better) for cell in row.cells] == [("2", True), ("1", False)]


def test_rows_stand_panel_by_panel_with_their_intervals():
    one = named("f", "A", value=1.0, floor=0, panel="blur", low=0.5, high=1.5)
    one["figures"] += named("g", "A", value=3.0, floor=0, panel="copies")["figures"]
    one["figures"] += named("h", "A", value=3.0, floor=0, panel="blur")["figures"]
    study = studied(one)
    tables = figure_tables(panels_of(study), [], {}, standings_of(table_of(study)))
    assert [(t.title, [row.name for row in t.rows]) for t in tables] == [
        ("Blur", ["f", "h"]), ("Copies", ["g"]),
    ]  # fmt: skip
    assert tables[0].rows[0].cells[0].interval == "0.50 … 1.50"
    assert tables[0].rows[1].cells[0].interval == ""


def test_a_figure_that_only_one_recipe_has_leaves_the_others_blank():
    row = rows_of(named("f", "A", note="a bound"), named("g", "B"))[0]
    assert [cell.absent for cell in row.cells] == [False, True]
    assert row.notes == ["A: a bound"]


def test_totals_are_the_sum_of_the_parts_and_costs_the_mean_of_the_seeds():
    parts = [made.member("vae", seed) for seed in range(3)] + [made.diverged("gan", 0)]
    rows = {name: amounts for name, _, amounts in cost_rows(panels_of(studied(*parts)))}
    assert rows["Parameters, all"][0].text == f"{391_296 + 402_113:,}"
    seen = rows["Images seen"][0]
    assert (seen.text, seen.spread) == ("414,400", "412,800 … 416,000")
    assert [amount.text for amount in rows["Members finished"]] == ["3 of 3", "0 of 1"]
    assert rows["Training"][0].spread == ""


def test_a_strip_holds_every_value_at_its_place():
    study = studied(*made.whole_study()["members"], baselines=(made.baseline(),))
    verdict = verdict_of(study)
    assert verdict is not None
    strips = {
        strip.key: strip
        for answer in verdict.answers
        for comparison in answer.comparisons
        for strip in [strip_of(comparison, panels_of(study), study.baselines)]
    }
    fd = strips["fd-classifier"]
    assert [row.title for row in fd.rows] == ["VAE", "GAN", "VAE-GAN", "PCA sampler"]
    assert [len(row.seeds) for row in fd.rows] == [3, 2, 3, 0]
    places = [row.at for row in fd.rows]
    assert None not in places
    assert sorted(places) == [places[1], places[2], places[0], places[3]]
    assert fd.floor is not None
    assert fd.floor < min(places)
    for strip in strips.values():
        for row in strip.rows:
            inside = [row.at, row.low, row.high, *row.seeds]
            assert all(0 <= at <= 100 for at in inside if at is not None)
            assert row.low is None or row.low <= row.at <= row.high
            assert f"{row.title} {row.text}" in strip.alt


def test_a_scale_is_logarithmic_only_above_nought_and_keeps_the_far_away_at_its_edge():
    log = Scale.around([1.0, 100.0])
    assert log.log
    assert log.place(10.0) == pytest.approx(50.0)
    plain = Scale.around([1.0, 2.0], [100.0, 2.5, -1.0])
    assert not plain.log
    assert (plain.low, plain.high) == (1.0, 2.5)
    assert (plain.beyond(100.0), plain.beyond(-1.0), plain.beyond(2.5)) == ("→", "←", "")
    assert plain.place(100.0) == plain.place(2.5) == 97.0
    assert Scale.around([3.0]).place(3.0) == 50.0


def test_a_card_keeps_whole_sentences_and_names_but_no_brackets_of_numbers():
    text = (
        "The GAN leads. FD (classifier): GAN 5.5 (1.5 to 9.4), VAE 14.1 (12.3 to 16.0 (3 seeds)). "
        + "More words. " * 30
    )
    said = brief(text, 60)
    assert said == "The GAN leads. FD (classifier): GAN 5.5, VAE 14.1."
    assert brief("One sentence only, however long it may be", 5).startswith("One sentence only,")


@pytest.mark.parametrize("margin", [0, 2])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_grid_is_recognised_with_and_without_margin(tmp_path: Path, margin: int, mode: str):
    cells = [Image.new(mode, (28, 28)) for _ in range(24)]
    made.save(made.grid(cells, 8, margin), tmp_path / "g.png")
    picture = Album(tmp_path, (28, 28)).picture("g.png")
    assert picture is not None
    assert picture.grid == Grid(columns=8, rows=3, margin=margin)
    other = Album(tmp_path, (31, 31)).picture("g.png")
    assert other is not None
    assert other.grid is None


def test_small_pictures_grow_by_whole_factors():
    assert [scale_for((side, side)) for side in (16, 28, 32, 64, 128)] == [4, 2, 2, 1, 0.5]
    assert scale_for(None) == 1


def test_a_heavy_grid_is_made_lighter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("diptych.report.pictures.HEAVY", 20_000)
    noise = Image.effect_noise((190, 190), 90)
    made.save(Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)]), tmp_path / "n.png")
    picture = Album(tmp_path, (62, 62)).picture("n.png")
    assert picture is not None
    assert picture.lossy
    assert picture.grid == Grid(3, 3, 0)
    assert len(picture.uri) < (tmp_path / "n.png").stat().st_size


def test_frames_keep_the_first_and_the_last(study: Path):
    album = Album(study, (28, 28))
    found = album.frames("gan/seed-0", most=4, corner=3)
    assert [images for images, _ in found] == [0, 3200, 12_800, 318_400]
    assert all(picture.grid == Grid(3, 3, 0) for _, picture in found)
    assert len(album.frames("gan/seed-0")) == 6
    assert album.frames("nowhere") == []
    assert album.frames("../study/gan/seed-0") != []
    assert album.frames("..") == []


def test_frames_without_a_log_are_placed_by_images(study: Path):
    read = Study.model_validate(made.study_json(made.member("gan")))
    (film,) = films_of(read, panels_of(read), [[]], Album(study, (28, 28)))
    assert [frame.at for frame in film.frames] == [0, 1, 4, 16, 32, 100]
    assert film.frames[-1].minutes == pytest.approx(180.2 / 60)
    assert film.frames[1].minutes is None


def test_rows_cut_short_or_not_finite_are_read_as_far_as_they_go(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "a": NaN, "b": Infinity, "c": "word", "d": true}\n[1]\n{"st')
    assert read_metrics(path) == [{"step": 1.0, "a": None, "b": None}]
    assert read_metrics(None) == []


def test_curves_hold_every_row_and_term_they_draw():
    (gan,) = members(made.member("gan"))
    rows = made.gan_metrics(120)
    specs = curves(gan, rows)
    assert len(specs) == 3
    drawn = [(v["term"], v["minutes"]) for spec in specs for v in spec["data"]["values"]]
    assert len(drawn) == len(set(drawn)) == 120 * 5
    for spec in specs:
        terms = {v["term"] for v in spec["data"]["values"]}
        assert set(spec["encoding"]["color"]["scale"]["domain"]) == terms
        assert all(term in spec["description"] for term in terms)
        for channel in ("x", "y"):
            field = spec["encoding"][channel]["field"]
            assert all(field in value for value in spec["data"]["values"])


def test_long_curves_are_thinned_and_keep_their_last_row():
    (vae,) = members(made.member("vae"))
    rows = made.vae_metrics(5000)
    values = curves(vae, rows)[1]["data"]["values"]
    assert len(values) <= MOST_POINTS + 1
    assert values[-1]["images"] == rows[-1]["images"]


def test_a_steep_start_is_cut_above_and_said_but_never_below():
    (vae,) = members(made.member("vae"))
    elbo, kl = curves(vae, made.vae_metrics())
    assert "runs off the edge" in elbo["title"]["subtitle"]
    assert elbo["encoding"]["y"]["scale"]["domain"][1] < 500
    assert "runs off" not in kl["title"]["subtitle"]
    assert kl["encoding"]["y"]["scale"]["domain"][0] < 2


def test_a_value_that_was_not_finite_is_a_gap():
    (gan,) = members(made.member("gan"))
    rows = [{"seconds": 60.0 * i, "generator/loss": v} for i, v in enumerate([1.0, None, 2.0])]
    (spec,) = curves(gan, rows)
    assert [v["value"] for v in spec["data"]["values"]] == [1.0, None, 2.0]
    assert last_values(rows) == [("generator loss", 2.0)]


def test_a_hybrids_players_are_not_drawn_on_one_scale():
    (hybrid,) = members({"recipe": "h", "title": "H", "family": "hybrid"})
    rows = [{**a, **b} for a, b in zip(made.vae_metrics(), made.gan_metrics(), strict=True)]
    titles = [spec["title"]["text"] for spec in curves(hybrid, rows)]
    assert "The loss of the generator" in titles
    assert "The loss of the discriminator" in titles
    assert len(titles) == len(set(titles)) == 6


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb` (WCAG 2.1)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_words_stand_out_from_every_ground_in_light_and_dark_and_on_paper():
    static = vendored.VENDOR.parent / "static"
    css = (static / "page.css").read_text() + (static / "print.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)
    light, dark, paper = (
        {name: value if len(value) == 7 else "#" + "".join(2 * digit for digit in value[1:])
         for name, value in re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", block)}
        for block in blocks
    )  # fmt: skip
    assert light.keys() == dark.keys() == paper.keys()
    words = ("ink", "ink-soft", "warn", "hue-1", "hue-2", "hue-3", "hue-4")
    pairs = [(word, ground) for word in words for ground in ("wall", "well", "board")]
    pairs += [("brass", "wall"), ("brass", "well"), ("wall", "ink")]
    for colours in (light, dark, paper):
        for word, ground in pairs:
            pair = sorted((luminance(colours[word]), luminance(colours[ground])))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (word, ground)
