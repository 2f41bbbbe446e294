"""The page in a real browser, opened from disk with no network: are the curves drawn?"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from diptych.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed here")


def test_every_curve_is_drawn_and_no_policy_is_broken(study: Path, tmp_path: Path):
    page = write_report(study)
    result = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000",
            "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    dom = re.sub(r"<script.*?</script>", "", result.stdout, flags=re.DOTALL)
    places = len(re.findall(r'data-chart="', dom))
    assert places == 5
    assert len(re.findall(r'<svg[^>]*class="marks"', dom)) == places
    assert "could not be drawn" not in dom
    assert len(re.findall(r'aria-roledescription="line mark', dom)) >= places
    console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
