"""The page in a real browser on a real port: moved, dragged, uploaded to, and looked at."""

import io
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from diptych.evaluation.extractors.classifier import train_classifier
from diptych.explorer.asked import STEPS
from diptych.explorer.uploads import fit_upload, read_upload
from diptych.models.drawing import to_bytes
from diptych.training.batches import images_from_bytes

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed here")

TOKEN = "a-token-of-the-tests"
SHOWN = """(selector) => {
  const canvas = document.querySelector(selector);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.height, canvas.width, Array.from(data)];
}"""


class Open(SimpleNamespace):
    """The page, and what it said and asked."""

    def shown(self, section: str, model: int) -> np.ndarray:
        """The grey levels on a canvas, (H, W); gaps are 0."""
        selector = f'[data-leaves="{section}"] [data-model="{model}"] canvas'
        height, width, values = self.page.evaluate(SHOWN, selector)
        return np.array(values, np.uint8).reshape(height, width, 4)[..., 0]

    def until(self, section: str, model: int, expected: np.ndarray) -> None:
        """Wait until a canvas shows exactly this."""
        for _ in range(200):
            if np.array_equal(self.shown(section, model), expected):
                return
            self.page.wait_for_timeout(25)
        found = self.shown(section, model).astype(int)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() == 0


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[(1280, 900)], ids=["desktop"])
def opened(request, browser, at_port) -> Iterator[Open]:
    width, height = request.param
    with at_port() as port:
        context = browser.new_context(viewport={"width": width, "height": height})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"http://127.0.0.1:{port}/{TOKEN}/")
        page.wait_for_selector("body[data-ready]")
        yield Open(page=page, said=said, asked=asked, port=port)
        assert said == []
        strangers = [
            url
            for url in asked
            if not url.startswith((f"http://127.0.0.1:{port}/{TOKEN}/", "data:", "blob:"))
        ]
        assert strangers == []
        context.close()


def picture(model, codes: torch.Tensor) -> np.ndarray:
    """What the model makes of one code, as grey levels (H, W)."""
    with torch.inference_mode():
        return to_bytes(model.decode_mean(codes.reshape(1, -1)))[0, ..., 0]


def drag(opened: Open, slider, part: float) -> None:
    """Take the handle with the mouse and bring it to a part of the way."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    low, high, now = (float(slider.evaluate(f"s => s.{name}")) for name in ("min", "max", "value"))
    opened.page.mouse.move(box["x"] + 8 + (box["width"] - 16) * (now - low) / (high - low), middle)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] * part, middle, steps=12)
    opened.page.mouse.up()


def test_a_dragged_slider_shows_what_the_model_decodes(opened, exhibits) -> None:
    page, vae = opened.page, exhibits[0]
    code = vae.model.sample_codes(1, seed=0)[0]
    opened.until("traverse", 0, picture(vae.model, code))
    for place, latent in enumerate(vae.usage.order):
        slider = page.locator("#sliders input").nth(place)
        assert slider.get_attribute("aria-label") == f"latent {latent} of Tiny VAE"
        before = opened.shown("traverse", 0)
        drag(opened, slider, 0.9 if place % 2 else 0.1)
        value = float(slider.input_value())
        assert 1.5 < abs(value) <= 3
        code[latent] = value
        expected = picture(vae.model, code)
        opened.until("traverse", 0, expected)
        assert not np.array_equal(before, expected)
    gan = exhibits[1]
    opened.until("traverse", 1, picture(gan.model, gan.model.sample_codes(1, seed=0)))


def test_the_keyboard_is_enough(opened, exhibits) -> None:
    """Another model is chosen by arrow keys, and its slider moved by Home and arrow keys."""
    page, gan = opened.page, exhibits[1]
    page.locator("#whose input").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#whose input").nth(1).is_checked()
    first = gan.usage.order[0]
    slider = page.locator("#sliders input").first
    assert slider.get_attribute("aria-label") == f"latent {first} of Tiny GAN"
    slider.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    code = gan.model.sample_codes(1, seed=0)[0]
    code[first] = -2.95
    opened.until("traverse", 1, picture(gan.model, code))
    page.keyboard.press("Tab")
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == f"latent {gan.usage.order[1]} of Tiny GAN"


def test_the_way_between_two_codes(opened, exhibits) -> None:
    page = opened.page
    page.fill("#walk-seed", "5")
    page.click("#walk-draw")
    page.locator("#walk").focus()
    for key, step in (("Home", 0), ("End", STEPS - 1), ("ArrowLeft", STEPS - 2)):
        page.keyboard.press(key)
        for exhibit in exhibits:
            start, end = exhibit.model.sample_codes(2, seed=5)
            path = exhibit.model.interpolate(start[None], end[None], steps=STEPS)[0]
            opened.until("between", exhibits.index(exhibit), to_bytes(path)[step, ..., 0])


def test_an_uploaded_picture_is_found_by_every_model(opened, exhibits, tmp_path) -> None:
    page = opened.page
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)).save(
        buffer, "PNG"
    )
    pixels, _ = fit_upload(read_upload(buffer.getvalue()), (1, 12, 12))
    images = images_from_bytes(torch.from_numpy(pixels[None]))
    page.set_input_files(
        "#find-file", {"name": "me.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    )
    for index, exhibit in enumerate(exhibits):
        again = exhibit.model.reconstruct(images, seed=0)
        expected = np.zeros((12, 26), np.uint8)
        expected[:, :12], expected[:, 14:] = pixels[..., 0], to_bytes(again)[0, ..., 0]
        opened.until("find", index, expected)
        page.click('[data-found="sliders"]')
        opened.until(
            "traverse", index, picture(exhibit.model, exhibit.model.find_codes(images, seed=0))
        )
    said = page.locator("#find-notes").inner_text()
    assert "became grey" in said
    assert "cut out" in said
    wrong = {"name": "me.png", "mimeType": "image/png", "buffer": b"text"}
    page.set_input_files("#find-file", wrong)
    page.wait_for_function(
        "() => document.querySelector('#find-notes').textContent.includes('no PNG, JPEG or WebP')"
    )
    # The browser itself notes the refusal; nothing else may be noted.
    assert len(opened.said) == 1
    assert "422" in opened.said.pop()


def test_held_out_pictures_classes_and_samples(opened, exhibits) -> None:
    page = opened.page
    page.click("#find-held")
    for index, exhibit in enumerate(exhibits):
        images, _ = exhibit.pictures(0)
        both = np.zeros((26, 8 * 14 - 2), np.uint8)
        for row, shown in enumerate((images, exhibit.model.reconstruct(images, seed=0))):
            for place, image in enumerate(to_bytes(shown)[..., 0]):
                both[row * 14 :][:12, place * 14 :][:, :12] = image
        opened.until("find", index, both)
    page.click('[data-found="start"]')
    page.locator("#walk").focus()
    page.keyboard.press("Home")
    first = exhibits[0].model.find_codes(exhibits[0].pictures(0)[0])[:1]
    opened.until("between", 0, picture(exhibits[0].model, first))

    temperature = page.get_by_label("temperature of Tiny VAE")
    temperature.focus()
    page.keyboard.press("Home")
    model = exhibits[0].model
    with torch.inference_mode():
        cool = to_bytes(model.decode_mean(model.sample_codes(64, seed=0) * 0.05))[..., 0]
    grid = np.zeros((8 * 14 - 2, 8 * 14 - 2), np.uint8)
    for place, image in enumerate(cool):
        grid[place // 8 * 14 :][:12, place % 8 * 14 :][:, :12] = image
    opened.until("samples", 0, grid)

    page.locator('[data-leaves="samples"] .copy').nth(1).click()
    copied = page.locator('[data-leaves="samples"] .command').nth(1)
    copied.wait_for()
    expected = f"diptych sample {exhibits[1].directory} -n 64 --seed 0 --out samples.png"
    assert copied.inner_text() == expected
    assert page.evaluate("navigator.clipboard.readText()") == expected
    with page.expect_download() as download:
        page.locator('[data-leaves="samples"] .save').nth(1).click()
    with Image.open(Path(download.value.path())) as saved:
        assert saved.size == (8 * 96 + 14, 8 * 96 + 14)


def test_class_arithmetic(opened, exhibits, monkeypatch) -> None:
    page, vae = opened.page, exhibits[0]
    # What the classifier is worth does not matter here, and the server is in this process.
    brief = partial(train_classifier, steps=3)
    monkeypatch.setattr("diptych.explorer.classes.train_classifier", brief)
    page.click("#classes-find")
    page.wait_for_selector("#arithmetic:not([hidden])", timeout=60_000)
    labels = torch.from_numpy(vae.data.labels_of("train"))
    training = images_from_bytes(torch.from_numpy(vae.data.take("train")))
    codes = vae.model.find_codes(training)
    means = [codes[labels == number].double().mean(0).float() for number in (0, 1)]
    page.locator("#strength").focus()
    page.keyboard.press("End")
    start = vae.model.sample_codes(1, seed=0)
    moved = start.double() + 2 * (means[1].double() - means[0].double())
    with torch.inference_mode():
        two = to_bytes(vae.model.decode_mean(torch.cat([start, moved.float()])))[..., 0]
    expected = np.zeros((12, 26), np.uint8)
    expected[:, :12], expected[:, 14:] = two
    opened.until("classes", 0, expected)


@pytest.mark.parametrize(
    "opened", [(390, 844), (1280, 900)], ids=["phone", "desktop"], indirect=True
)
def test_it_looks_like_something(opened) -> None:
    page = opened.page
    wide, inner = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= inner
    with Image.open(io.BytesIO(page.screenshot())) as screenshot:
        pixels = np.asarray(screenshot.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    box = page.locator('[data-leaves="traverse"] canvas').first.bounding_box()
    assert box["width"] >= 100
    assert box["width"] == pytest.approx(box["height"], abs=1)
    left, top = int(box["x"]), int(box["y"])
    shown = pixels[top + 2 : top + int(box["height"]) - 2, left + 2 : left + int(box["width"]) - 2]
    assert shown.std() > 2


def test_when_the_server_is_gone_the_page_says_so(browser, at_port) -> None:
    page = browser.new_page()
    with at_port() as port:
        page.goto(f"http://127.0.0.1:{port}/{TOKEN}/")
        page.wait_for_selector("body[data-ready]")
    page.click("#code-draw")
    page.wait_for_function(
        "() => document.querySelector('.said.wrong')?.textContent.includes('does not answer')"
    )
    page.close()
