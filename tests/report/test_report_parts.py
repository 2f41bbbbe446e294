"""Laws of the parts: numbers, rows, grids, strips, curves, and the vendored code."""

import hashlib
import re
from pathlib import Path

import made_up_study as made
import pytest
from PIL import Image

from diptych.report import vendored
from diptych.report.charts import MOST_POINTS, curves, last_values
from diptych.report.pictures import Grid, inline, scale_for, strip
from diptych.report.reading import Member, read_metrics
from diptych.report.tables import cost_rows, figure_rows
from diptych.report.words import ABSENT, decimals_for, duration, listing, number


def members(*parts: dict) -> list[Member]:
    return [Member.model_validate(part) for part in parts]


def named(name: str, title: str, **figure: object) -> dict:
    full = made.figure(name, **{"value": None, "better": "lower", "floor": None, **figure})
    return {"recipe": title, "title": title, "figures": [full]}


def marks(*parts: dict) -> list[bool]:
    (row,) = figure_rows(members(*parts))
    return [cell.better for cell in row.cells]


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


def test_the_better_value_follows_the_direction():
    def pair(better: str, a: float | None, b: float | None, floor: float | None = None):
        common = {"better": better, "floor": floor}
        return marks(named("f", "A", value=a, **common), named("f", "B", value=b, **common))

    assert pair("lower", 1.0, 2.0) == [True, False]
    assert pair("higher", 1.0, 2.0) == [False, True]
    assert pair("closer", 0.8, 1.4, floor=1.0) == [True, False]
    assert pair("closer", 0.8, 1.4) == [False, False]
    assert pair("lower", 1.0, 1.0) == [False, False]
    assert pair("lower", 1.0, None) == [False, False]
    assert pair("lower", 1.0, float("nan")) == [False, False]


def test_floors_stand_once_when_they_agree_and_with_each_value_when_not():
    same = figure_rows(members(named("f", "A", value=9.0, floor=1.5),
                               named("f", "B", value=8.0, floor=1.5)))[0]  # fmt: skip
    assert same.floor == "1.50"
    assert [cell.floor for cell in same.cells] == ["", ""]
    apart = figure_rows(members(named("f", "A", value=9.0, floor=1.5),
                                named("f", "B", value=8.0, floor=2.5)))[0]  # fmt: skip
    assert [cell.floor for cell in apart.cells] == ["1.50", "2.50"]


def test_figures_of_unlike_protocols_are_not_ranked():
    alike = [
        named("f", name, value=value, floor=0, protocol="p")
        for name, value in (("A", 1.0), ("B", 2.0))
    ]
    (row,) = figure_rows(members(*alike))
    assert [cell.better for cell in row.cells] == [True, False]
    unlike = [*alike[:1], named("f", "B", value=2.0, floor=0, protocol="q")]
    (row,) = figure_rows(members(*unlike))
    assert not any(cell.better for cell in row.cells)
    assert "Measured under different protocols, so not ranked." in row.notes


def test_figures_whose_intervals_overlap_are_not_ranked():
    def row(low: float) -> list[bool]:
        return marks(
            named("f", "A", value=1.0, low=0.5, high=1.5),
            named("f", "B", value=2.0, low=low, high=2.5),
        )

    assert row(1.4) == [False, False]
    assert row(1.6) == [True, False]


def test_figures_that_cannot_be_trusted_are_not_ranked_and_are_marked():
    (row,) = figure_rows(
        members(
            named("f", "A", value=1.0, floor=0), named("f", "B", value=2.0, floor=0, trusted=False)
        )
    )
    assert not any(cell.better for cell in row.cells)
    assert [cell.trusted for cell in row.cells] == [True, False]


def test_rows_stand_panel_by_panel_with_their_intervals():
    one = {**named("f", "A", value=1.0, floor=0, panel="blur", low=0.5, high=1.5)}
    one["figures"] += named("g", "A", value=3.0, floor=0, panel="copies")["figures"]
    one["figures"] += named("h", "A", value=3.0, floor=0, panel="blur")["figures"]
    rows = figure_rows(members(one))
    assert [(row.name, row.panel) for row in rows] == [
        ("f", "Blur"), ("h", "Blur"), ("g", "Copies"),
    ]  # fmt: skip
    assert rows[0].cells[0].interval == "0.50 … 1.50"
    assert rows[1].cells[0].interval == ""


def test_a_figure_that_only_one_member_has_leaves_the_others_blank():
    rows = figure_rows(members(made.vae_member(), made.gan_member()))
    assert [row.name for row in rows][-1] == "negative ELBO"
    assert [cell.absent for cell in rows[-1].cells] == [False, True]
    assert rows[-1].notes == ["VAE: a bound; no floor is known"]


def test_totals_are_the_sum_of_the_parts():
    rows = {name: texts for name, _, texts in cost_rows(members(made.vae_member()))}
    assert rows["Parameters, all"] == [f"{391_296 + 402_113:,}"]


@pytest.mark.parametrize("margin", [0, 2])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_grid_is_recognised_with_and_without_margin(tmp_path: Path, margin: int, mode: str):
    cells = [Image.new(mode, (28, 28)) for _ in range(24)]
    made.save(made.grid(cells, 8, margin), tmp_path / "g.png")
    picture = inline(tmp_path / "g.png", (28, 28))
    assert picture is not None
    assert picture.grid == Grid(columns=8, rows=3, margin=margin)
    other = inline(tmp_path / "g.png", (31, 31))
    assert other is not None
    assert other.grid is None


def test_small_pictures_grow_by_whole_factors():
    assert [scale_for((side, side)) for side in (16, 28, 32, 64, 128)] == [4, 2, 2, 1, 0.5]
    assert scale_for(None) == 1


def test_a_heavy_grid_is_made_lighter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("diptych.report.pictures.HEAVY", 20_000)
    noise = Image.effect_noise((190, 190), 90)
    made.save(Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)]), tmp_path / "n.png")
    picture = inline(tmp_path / "n.png", (62, 62))
    assert picture is not None
    assert picture.lossy
    assert picture.grid == Grid(3, 3, 0)
    assert len(picture.uri) < (tmp_path / "n.png").stat().st_size


def test_the_strip_keeps_the_first_and_the_last(study: Path):
    found = strip(study / "gan/samples", (28, 28))
    assert [images for images, _ in found] == [0, 3200, 12_800, 51_200, 318_400]
    assert all(picture.grid == Grid(3, 3, 0) for _, picture in found)
    assert strip(study / "nowhere", (28, 28)) == []


def test_rows_cut_short_or_not_finite_are_read_as_far_as_they_go(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "a": NaN, "b": Infinity, "c": "word", "d": true}\n[1]\n{"st')
    assert read_metrics(path) == [{"step": 1.0, "a": None, "b": None}]
    assert read_metrics(None) == []


def test_curves_hold_every_row_and_term_they_draw():
    (gan,) = members(made.gan_member())
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
    (vae,) = members(made.vae_member())
    rows = made.vae_metrics(5000)
    values = curves(vae, rows)[1]["data"]["values"]
    assert len(values) <= MOST_POINTS + 1
    assert values[-1]["images"] == rows[-1]["images"]


def test_a_steep_start_is_cut_above_and_said_but_never_below():
    (vae,) = members(made.vae_member())
    elbo, kl = curves(vae, made.vae_metrics())
    assert "runs off the edge" in elbo["title"]["subtitle"]
    assert elbo["encoding"]["y"]["scale"]["domain"][1] < 500
    assert "runs off" not in kl["title"]["subtitle"]
    assert kl["encoding"]["y"]["scale"]["domain"][0] < 2


def test_a_value_that_was_not_finite_is_a_gap():
    (gan,) = members(made.gan_member())
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


def test_words_stand_out_from_every_ground_in_light_and_dark():
    css = (vendored.VENDOR.parent / "page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)[:2]
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    for colours in (light, dark):
        for words in ("ink", "ink-soft", "warn", "hue-1", "hue-2", "hue-3", "hue-4", "brass"):
            for ground in ("wall", "well"):
                pair = sorted((luminance(colours[words]), luminance(colours[ground])))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (words, ground)
