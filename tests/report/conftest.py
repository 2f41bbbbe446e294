"""A made-up study on disk for the tests of the page."""

import shutil
from pathlib import Path

import made_up_study as made
import pytest


@pytest.fixture
def study(tmp_path: Path, painted_study: Path) -> Path:
    """A finished study of three recipes at three seeds, for one test to change as it likes."""
    return Path(shutil.copytree(painted_study, tmp_path / "study"))


@pytest.fixture(scope="session")
def painted_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same study, painted once."""
    return made.paint(tmp_path_factory.mktemp("painted"), made.whole_study())
