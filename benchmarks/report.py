"""How long the page of a study takes to build, and to show its verdict in Chromium.

    python -m benchmarks.report [STUDY]

Without an argument a made-up study of three recipes at three seeds is painted first. Seconds are
the best of several repeats; the first build also compiles the templates.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from diptych.report import write_report

REPEATS = 3


def made_up(folder: Path) -> Path:
    """The study of the tests: three recipes at three seeds, drawn shapes, no training."""
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "report"))
    import made_up_study

    return made_up_study.paint(folder / "study", made_up_study.whole_study())


def build_seconds(study: Path, page: Path) -> list[float]:
    """Seconds of each build, the first included."""
    taken = []
    for _ in range(1 + REPEATS):
        started = time.perf_counter()
        write_report(study, page)
        taken.append(time.perf_counter() - started)
    return taken


def opening_seconds(page: Path, chromium: str) -> tuple[float, float, float]:
    """Best seconds from the start of loading to the headline seen, to the load event and drawn."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(REPEATS):
            context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
            tab = context.new_page()
            started = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="commit")
            tab.locator(".answers .said").last.wait_for(state="visible")
            seen = time.perf_counter() - started
            tab.wait_for_load_state("load")
            loaded = time.perf_counter() - started
            painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
            while not (paint := tab.evaluate(painted)):
                tab.wait_for_timeout(20)
            found.append((seen, loaded, paint / 1000))
            context.close()
        browser.close()
    return min(f[0] for f in found), min(f[1] for f in found), min(f[2] for f in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", nargs="?", type=Path)
    study = parser.parse_args().study
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        first, *others = build_seconds(study or made_up(Path(folder)), page)
        print(f"building: {first:.2f} s the first time, then {min(others):.2f} s")
        print(f"size: {page.stat().st_size / 1e6:.2f} MB")
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        if chromium is None:
            print("opening: Chromium is not installed here")
            return
        seen, loaded, painted = opening_seconds(page, chromium)
        print(
            f"opening: verdict in the page after {seen:.2f} s, first paint at {painted:.2f} s, "
            f"load event after {loaded:.2f} s"
        )


if __name__ == "__main__":
    main()
