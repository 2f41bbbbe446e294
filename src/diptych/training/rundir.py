"""A run is a directory, and the directory is enough."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diptych.data.files import atomic_path
from diptych.errors import RunError

__all__ = ["RunDirectory", "new_directory", "numbered", "write_text"]

SCHEMA = 1
_NEEDED = {
    "seed": int,
    "data.shape": list,
    "data.fingerprint": str,
    "data.request": dict,
    "machine.precision": str,
}
"""What of run.json is needed to open a run or to go on with it."""


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    with atomic_path(path) as draft:
        draft.write_text(text, encoding="utf-8")


def new_directory(path: str | Path) -> Path:
    """Make the directory a person named; an empty one that exists will do.

    Raises:
        RunError: if something is there already, or it cannot be made.
    """
    directory = Path(path)
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise RunError(
                f"{directory} already exists and is not an empty directory; name a new one"
            )
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{directory} cannot be made ({error}); name another place") from None
    return directory


def numbered(parent: Path, words: str) -> Path:
    """A new directory "0007-words" below the parent: the next number, never an old one."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{parent} cannot be made ({error.strerror}); use --out") from None
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:60]
    number = 1 + max(
        (
            int(match[1])
            for entry in parent.iterdir()
            if (match := re.match(r"(\d+)-", entry.name))
        ),
        default=0,
    )
    while True:
        path = parent / f"{number:04d}-{slug}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


class RunDirectory:
    """Paths and small files of one run.

    `recipe.yaml` (resolved) · `run.json` (what, where, how far) · `metrics.jsonl` ·
    `checkpoints/` · `samples/` · `evaluation.json`
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.recipe_file = self.path / "recipe.yaml"
        self.info_file = self.path / "run.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.evaluation_file = self.path / "evaluation.json"

    @classmethod
    def open(cls, path: str | Path) -> "RunDirectory":
        """An existing run.

        Raises:
            RunError: saying what is missing if this is not one.
        """
        run = cls(path)
        if run.path.exists() and not run.path.is_dir():
            raise RunError(f"{run.path} is a file, not the directory of a run")
        if not run.path.is_dir():
            raise RunError(f"there is no run directory {run.path}")
        if (run.path / "study.json").is_file():
            members = sorted(str(file.parent) for file in run.path.glob("*/seed-*/run.json"))
            raise RunError(f"{run.path} is a study; its runs are {', '.join(members)}")
        for needed in (run.info_file, run.recipe_file):
            if not needed.is_file():
                raise RunError(f"{run.path} is not a run: it has no {needed.name}")
        return run

    def read_info(self) -> dict[str, Any]:
        """run.json as a mapping.

        Raises:
            RunError: if it cannot be read or comes from a newer version.
        """
        try:
            info = json.loads(self.info_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.info_file} cannot be read ({error})") from None
        if not isinstance(info, dict) or info.get("schema") != SCHEMA:
            raise RunError(f"{self.info_file} does not have schema {SCHEMA}, which is read here")
        for path, kind in _NEEDED.items():
            value: Any = info
            for key in path.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            if not isinstance(value, kind):
                raise RunError(f"{self.info_file} is damaged: it has no {path}")
        return info

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Replace run.json."""
        write_text(self.info_file, json.dumps({"schema": SCHEMA, **info}, indent=1) + "\n")

    def append_metrics(self, row: Mapping[str, float]) -> None:
        """Add a line to metrics.jsonl."""
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def read_metrics(self) -> list[dict[str, float]]:
        """All rows; a line cut short by a crash is left out."""
        if not self.metrics_file.exists():
            return []
        rows = []
        for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def cut_metrics(self, step: int) -> None:
        """Forget rows after a step: training goes on from a checkpoint taken there."""
        kept = [row for row in self.read_metrics() if row["step"] <= step]
        write_text(self.metrics_file, "".join(json.dumps(row) + "\n" for row in kept))
