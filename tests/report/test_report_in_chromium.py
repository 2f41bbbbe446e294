"""The page in a real browser, opened from disk without a network: seen, used, printed."""

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from diptych.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed here")

DRAWN = "[...document.querySelectorAll('#panels .leaf img')].filter((i) => i.offsetParent)"
OPEN_ALL = "document.querySelectorAll('details').forEach((each) => (each.open = true))"


def until(tab: Any, condition: str) -> None:
    """Wait until a condition holds; the page's policy forbids Playwright's own way of waiting."""
    for _ in range(300):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(100)
    raise AssertionError(condition)


@pytest.fixture(scope="module")
def address(painted_study: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page on disk."""
    return write_report(painted_study, tmp_path_factory.mktemp("page") / "page.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The opened page; it may ask for nothing but itself and say nothing on the console."""
    width, height = getattr(request, "param", (1280, 900))
    context = browser.new_context(offline=True, viewport={"width": width, "height": height})
    page, asked, said = context.new_page(), [], []
    page.on("request", lambda found: asked.append(found.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    yield page
    outside = [url for url in asked if url != address and not url.startswith("data:")]
    assert outside == []
    assert said == []
    context.close()


def test_the_whole_verdict_is_on_the_first_screen(tab: Any):
    for place in ("h1", ".standfirst", ".answer:first-child .said", ".answer:last-child .state"):
        box = tab.locator(place).bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 900, place


@pytest.mark.parametrize("tab", [(390, 844)], indirect=True)
def test_the_verdict_is_first_on_a_phone(tab: Any):
    for place in ("h1", ".answer:first-child .state"):
        box = tab.locator(place).bounding_box()
        assert box["y"] + box["height"] <= 844, place


@pytest.mark.parametrize("tab", [(360, 740), (1280, 900)], indirect=True)
def test_nothing_is_wider_than_the_screen_however_much_is_opened(tab: Any):
    tab.evaluate(OPEN_ALL)
    sizes = tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert sizes[0] <= sizes[1]


def test_names_without_a_space_widen_nothing(browser: Any, study: Path):
    content = json.loads((study / "study.json").read_text())
    content["data"] |= {"name": "x" * 90, "classes": {"n" * 60: 5}}
    content["command"] = "y" * 300
    for member in content["members"]:
        member["title"] = member["recipe"].replace("-", "") + "w" * 70
    (study / "study.json").write_text(json.dumps(content))
    for width in (360, 1280):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto(write_report(study).as_uri())
        page.evaluate(OPEN_ALL)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.close()


def test_every_curve_is_drawn_over_either_clock(tab: Any):
    places = tab.locator("[data-chart]").count()
    assert places == 11
    until(tab, f"document.querySelectorAll('svg.marks').length === {places}")
    titles = "[...document.querySelectorAll('svg.marks')].map((each) => each.textContent)"
    assert all("minutes of training" in text for text in tab.evaluate(titles))
    tab.locator("#axis-switch input").first.focus()
    tab.keyboard.press("ArrowRight")
    until(tab, f"{titles}.every((text) => text.includes('images seen'))")
    assert "could not be drawn" not in tab.locator("#trained").inner_text()


def test_the_scrubber_goes_through_all_films_at_once_by_keyboard(tab: Any):
    scrubber = tab.get_by_label("Part of the budget")
    shown = ".film li.on .when"
    assert tab.locator(".film li:visible").count() == 3
    last = tab.locator(shown).all_inner_texts()
    scrubber.focus()
    tab.keyboard.press("Home")
    assert [text.split(" ")[0] for text in tab.locator(shown).all_inner_texts()] == ["0"] * 3
    said = scrubber.get_attribute("aria-valuetext")
    assert said.startswith("0 per cent of the budget. VAE")
    before = tab.locator(shown).all_inner_texts()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    assert tab.locator(shown).all_inner_texts() != before
    tab.keyboard.press("End")
    assert tab.locator(shown).all_inner_texts() == last


def test_the_seed_switch_shows_the_grids_of_one_seed(tab: Any):
    alts = f"{DRAWN}.map((each) => each.alt)"
    first = tab.evaluate(alts)
    assert [alt.rpartition(" ")[2] for alt in first] == ["0", "fashion-mini", "0", "0"]
    tab.locator("#seed-switch input").first.focus()
    tab.keyboard.press("ArrowRight")
    assert [alt.rpartition(" ")[2] for alt in tab.evaluate(alts)] == ["1", "fashion-mini", "1"]
    assert "GAN, seed 1 diverged" in tab.locator("#panels").inner_text()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate(alts)[-1] == "Samples made by VAE-GAN, seed 2"


def test_a_whole_grid_opens_and_closes_by_keyboard(tab: Any):
    tab.locator("button.whole").first.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("#viewer img").get_attribute("alt") == "Samples made by VAE, seed 0"
    tab.keyboard.press("Escape")
    assert not tab.locator("#viewer").is_visible()


def test_the_keyboard_goes_down_the_page_and_shows_where_it_is(tab: Any):
    seen, heights = [], []
    for _ in range(30):
        tab.keyboard.press("Tab")
        where = tab.evaluate(
            """() => { const on = document.activeElement, box = on.getBoundingClientRect();
            const seen = on.matches('.switch input') ? on.nextElementSibling : on;
            const style = getComputedStyle(seen);
            return [on.textContent.trim(), box.top + scrollY, style.outlineStyle]; }"""
        )
        seen.append(where[0])
        heights.append(where[1])
        assert where[2] not in ("none", ""), where
    assert seen[0] == "Skip to the pictures"
    # Cards of one row end at different heights.
    assert all(after >= before - 120 for before, after in pairwise(heights[1:]))


def test_it_prints_with_its_verdict_and_no_controls(tab: Any, tmp_path: Path):
    tab.emulate_media(media="print")
    for place in ("nav", ".scrubber", "button.whole", "#seed-switch", "#axis-switch"):
        assert not tab.locator(place).first.is_visible(), place
    assert tab.locator(".film li:visible").count() == 18
    ground = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    tab.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").read_bytes().count(b"/Type /Page\n") <= 16


def test_without_scripts_everything_but_the_curves_is_there(browser: Any, address: str):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(address)
    assert page.locator(".film li:visible").count() == 18
    assert not page.locator(".scrubber").is_visible()
    assert page.locator("noscript").first.inner_text().startswith("The curves are drawn by")
    context.close()
