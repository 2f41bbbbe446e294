"""The live latents in a real browser with no network: choose, drag, point, press."""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import latents_study
import numpy as np
import pytest
import torch

from diptych.models import Game
from diptych.models.drawing import to_bytes
from diptych.report import write_report
from diptych.study.evidence import portable

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed here")

PIXELS = """(canvas) => {
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  return Array.from(copy.getImageData(0, 0, width, height).data);
}"""
SETTLED = "() => new Promise((done) => setTimeout(() => requestAnimationFrame(done), 250))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Game]]:
    directory = tmp_path_factory.mktemp("live")
    models = latents_study.write(directory)
    return write_report(directory), models


@pytest.fixture
def tab(browser: Any, made: tuple[Path, dict[str, Game]]) -> Iterator[Any]:
    """The page, open from disk; whatever it complains about, or asks the network for, fails."""
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    page.goto(made[0].as_uri())
    page.wait_for_selector("#live .thumbs button")
    page.evaluate(SETTLED)
    yield page
    allowed = (made[0].as_uri(), "data:")
    assert [text for text in complaints if not text.startswith(allowed)] == []
    context.close()


def shown(tab: Any, selector: str) -> np.ndarray:
    pixels = tab.eval_on_selector(selector, PIXELS)
    return np.array(pixels).reshape(16, 12, 4)[..., :3]


def drag(tab: Any, percent: int) -> None:
    tab.eval_on_selector(
        "#way",
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        percent,
    )
    tab.evaluate(SETTLED)


def codes_of(directory: Path, kind: str, where: str) -> torch.Tensor:
    latents = json.loads((directory / kind / "page/evidence.json").read_text())["latents"]
    block = np.frombuffer(base64.b64decode(latents[where]["codes"]), "<f2").astype(np.float32)
    return torch.from_numpy(block).view(-1, latents["latent_dim"])


def close(found: np.ndarray, model: Game, codes: torch.Tensor) -> bool:
    with torch.inference_mode():
        expected = to_bytes(model.decode_mean(codes))[0].astype(int)
    return bool(np.abs(found - expected).max() <= 2)


@pytest.mark.parametrize(("place", "kind"), [(0, "vae"), (1, "gan")])
def test_a_drag_shows_the_way_between_two_held_out_images(tab, made, place, kind):
    page, models = made
    codes = codes_of(page.parent, kind, "queries")
    tab.click('.thumbs[data-end="A"] button:nth-child(3)')
    tab.click('.thumbs[data-end="B"] button:nth-child(6)')
    model, now = models[kind], f'[data-model="{place}"] .now'
    for percent, step in ((0, 0), (25, 1), (50, 2), (100, 4)):
        drag(tab, percent)
        way = model.interpolate(codes[2:3], codes[5:6], steps=5)[0, step]
        expected = to_bytes(way[None])[0].astype(int)
        assert expected.std() > 10, "a picture without contrast would agree with anything"
        assert np.abs(shown(tab, now) - expected).max() <= 2
    assert close(shown(tab, f'[data-model="{place}"] [data-at="A"]'), model, codes[2:3])
    assert close(shown(tab, f'[data-model="{place}"] [data-at="B"]'), model, codes[5:6])
    assert tab.text_content(".status") == "A is held-out image 3; B is held-out image 6."
    assert tab.get_attribute("#way", "aria-valuetext") == "100 % of the way from A to B"


def test_the_slider_is_moved_by_the_arrow_keys_and_all_models_follow(tab):
    tab.focus("#way")
    before = [shown(tab, f'[data-model="{i}"] .now') for i in (0, 1)]
    for _ in range(20):
        tab.keyboard.press("ArrowRight")
    tab.evaluate(SETTLED)
    assert tab.input_value("#way") == "70"
    for i in (0, 1):
        assert (shown(tab, f'[data-model="{i}"] .now') != before[i]).any()


def test_random_codes_are_drawn_anew_and_are_said_to_be_random(tab):
    pictures = []
    for _ in range(2):
        tab.click('.draw[data-end="B"]')
        tab.evaluate(SETTLED)
        pictures.append(shown(tab, '[data-model="1"] [data-at="B"]'))
    assert (pictures[0] != pictures[1]).any()
    assert tab.text_content('[data-model="1"] [data-said="B"]') == "a random code"
    assert tab.get_attribute('.draw[data-end="B"]', "aria-pressed") == "true"
    assert tab.locator('.thumbs[data-end="B"] [aria-pressed="true"]').count() == 0


def test_the_map_is_walked_by_keys_and_a_dot_becomes_an_end(tab, made):
    page, models = made
    dots = codes_of(page.parent, "vae", "map")
    tab.focus('[data-map="0"] .map')
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        tab.keyboard.press(key)
    said = tab.text_content('[data-map="0"] .dot-said')
    number = int(said.split()[1]) - 1
    assert close(shown(tab, '[data-map="0"] .peek'), models["vae"], dots[number : number + 1])
    gan_before = tab.text_content('[data-model="1"] [data-said="A"]')
    tab.keyboard.press("a")
    tab.evaluate(SETTLED)
    found = shown(tab, '[data-model="0"] [data-at="A"]')
    assert close(found, models["vae"], dots[number : number + 1])
    assert tab.text_content('[data-model="0"] [data-said="A"]') == f"dot {number + 1} of the map"
    assert tab.text_content('[data-model="1"] [data-said="A"]') == gan_before
    tab.click('.thumbs[data-end="A"] button:first-child')
    assert "encoded, error" in tab.text_content('[data-model="0"] [data-said="A"]')


def test_a_tap_takes_the_nearest_dot(tab, made):
    tab.locator('[data-map="1"] .map').scroll_into_view_if_needed()
    box = tab.locator('[data-map="1"] .map').bounding_box()
    tab.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
    number = int(tab.text_content('[data-map="1"] .dot-said').split()[1]) - 1
    codes = codes_of(made[0].parent, "gan", "map")
    latents = json.loads((made[0].parent / "gan/page/evidence.json").read_text())["latents"]
    xy = np.array(latents["map"]["xy"])
    assert len(xy) == len(codes)
    leftmost = xy[:, 0].argsort()[:15]
    assert number in leftmost
    tab.click('[data-map="1"] [data-to="B"]')
    tab.evaluate(SETTLED)
    assert close(
        shown(tab, '[data-model="1"] [data-at="B"]'), made[1]["gan"], codes[number : number + 1]
    )


def test_nothing_is_wider_than_a_small_phone(browser, made):
    context = browser.new_context(offline=True, viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.goto(made[0].as_uri())
    page.wait_for_selector("#live .thumbs button")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    boxes = page.eval_on_selector_all(
        "#live .draw, #live .dot-to button, #way", "all => all.map((e) => e.clientHeight)"
    )
    assert min(boxes) >= 40, "a finger needs room"
    context.close()


def test_without_scripts_there_is_a_sentence_and_no_empty_canvas(browser, made):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(made[0].as_uri())
    assert page.locator("#live noscript .missing").is_visible()
    assert not page.locator("#live .now").first.is_visible()
    context.close()


def test_an_atlas_shows_the_pictures_made_beforehand(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(portable, "MOST_MULTIPLICATIONS", 10)
    models = latents_study.write(tmp_path, ("vae",))
    report = write_report(tmp_path)
    page = browser.new_context(offline=True).new_page()
    page.goto(report.as_uri())
    page.wait_for_selector("#live .thumbs button")
    codes = codes_of(tmp_path, "vae", "queries")
    page.click('.thumbs[data-end="A"] button:nth-child(4)')
    page.click('.thumbs[data-end="B"] button:nth-child(2)')
    drag(page, 20)
    way = models["vae"].interpolate(codes[3:4], codes[1:2], steps=11)[0, 2]
    expected = to_bytes(way[None])[0].astype(int)
    assert np.abs(shown(page, ".now") - expected).max() <= 1
    page.click('.thumbs[data-end="B"] button:nth-child(9)')
    page.evaluate(SETTLED)
    assert "no pictures were made for this pair" in page.text_content('[data-said="B"]')
    page.click('.draw[data-end="A"]')
    page.click('.draw[data-end="B"]')
    page.evaluate(SETTLED)
    assert "a random code" in page.text_content('[data-said="B"]')
    page.context.close()


@pytest.mark.parametrize("broken", [("vae",), ("vae", "gan")])
def test_a_model_that_cannot_be_shown_disturbs_nothing(browser: Any, tmp_path: Path, broken: Any):
    latents_study.write(tmp_path)
    for kind in broken:
        (tmp_path / kind / "page/decoder.json").unlink()
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(write_report(tmp_path).as_uri())
    page.locator("#live .map").first.wait_for(state="visible")
    page.evaluate(SETTLED)
    for chart in page.locator("#live .map").all():
        chart.focus()
        for key in ("ArrowRight", "A", "B"):
            page.keyboard.press(key)
    assert page.locator("#live .dot-said").first.inner_text().startswith("Dot ")
    if len(broken) < 2:
        drag(page, 30)
        page.evaluate(SETTLED)
        assert shown(page, ".now").any()
    assert page.locator("#live .now").count() == 2 - len(broken)
    assert complaints == []
    page.close()
