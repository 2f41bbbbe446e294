"""Count how many frames a drag of the live slider decodes in a real browser.

    python -m benchmarks.sliders PAGE [--seconds 4] [--models 3]

PAGE is a report. Without one a page is made with untrained default models at 28 x 28 (their speed
is that of trained ones). The target is 20 frames per second, where a frame is every model of the
page decoded once. Needs Debian's chromium and the package playwright.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from diptych import build, load_data
from diptych.data import Data, describe
from diptych.recipes import load_recipe
from diptych.report import write_report
from diptych.study.evidence.latents import choose_queries, write_latents
from diptych.training.run import Run

DRAG = """async (seconds) => {
  const slider = document.getElementById("way");
  const start = performance.now(), before = window.diptych.decoded;
  let frames = 0, worst = 0, last = start;
  while (performance.now() - start < 1000 * seconds) {
    const t = (performance.now() - start) / 2000 % 2;
    slider.value = Math.round(slider.max * (t < 1 ? t : 2 - t));
    slider.dispatchEvent(new Event("input"));
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    worst = Math.max(worst, now - last);
    last = now;
    frames++;
  }
  const taken = (performance.now() - start) / 1000;
  return { decoded: (window.diptych.decoded - before) / taken, frames: frames / taken, worst };
}"""
"""The slider is moved once per frame, as a hand does; pictures decoded are counted by the page."""


def made_up_study(directory: Path, models: int) -> Path:
    """A study of untrained default models at 28 x 28, with nothing but its live latents."""
    rng = np.random.default_rng(0)
    data = load_data(rng.integers(0, 256, (300, 28, 28), np.uint8))
    names = ("vae", "gan", "vae-mse", "gan-minimax")[:models]
    members = []
    for name in names:
        folder = directory / name / "page"
        run = Run(directory / name, load_recipe(name), build(name, data).eval(), {})
        evidence = {"schema": 1, "latents": write_latents(run, data, folder)}
        (folder / "evidence.json").write_text(json.dumps(evidence), encoding="utf-8")
        members.append(
            {"recipe": name, "title": name, "directory": name, "status": "finished"}
            | {"evidence": f"{name}/page/evidence.json"}
        )
    study = {"schema": 2, "data": _described(data), "members": members}
    study["queries"] = choose_queries(data, directory)
    (directory / "study.json").write_text(json.dumps(study), encoding="utf-8")
    return write_report(directory)


def _described(data: Data) -> dict[str, object]:
    kept = ("name", "kind", "shape", "count", "splits", "fingerprint", "notes")
    return {key: value for key, value in describe(data).items() if key in kept}


def measure(page: Path, seconds: float) -> None:
    """Open the page without a network, drag for some seconds and print what was decoded."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True).new_page()
        tab.goto(page.resolve().as_uri())
        tab.wait_for_selector("#live .thumbs button")
        models = tab.locator("#live [data-model]").count()
        tab.evaluate(DRAG, 1.0)  # the browser compiles what it runs often
        found = tab.evaluate(DRAG, seconds)
        browser.close()
    print(f"{models} models, {seconds:g} s of dragging")
    print(f"  all models decoded   {found['decoded'] / models:6.1f} times per second")
    print(f"  frames of the page   {found['frames']:6.1f} per second")
    print(f"  the longest of them  {found['worst']:6.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--models", type=int, default=3, help="of the page that is made")
    arguments = parser.parse_args()
    if arguments.page is not None:
        return measure(arguments.page, arguments.seconds)
    with tempfile.TemporaryDirectory() as folder:
        measure(made_up_study(Path(folder), arguments.models), arguments.seconds)
    return None


if __name__ == "__main__":
    main()
