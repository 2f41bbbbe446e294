"""A study directory in, a page, a comment or an object for programs out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from diptych.data.files import atomic_path
from diptych.errors import DiptychError, RunError
from diptych.report import judging
from diptych.report.markdown import markdown
from diptych.report.page import render
from diptych.report.reading import REMEDY, Study, read_study

__all__ = ["FORMATS", "Format", "render_markdown", "report_json", "write_report"]

Format = Literal["html", "md", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)
Made = TypeVar("Made")


def write_report(study_directory: Path, out: Path | None = None, format: Format = "html") -> Path:
    """Write what a study found, from its files alone.

    Args:
        study_directory: the directory that holds `study.json`.
        out: where to write; `report.html`, `report.md` or `report.json` in the study if not
            given. Missing directories on the way are made. What is there is replaced whole.
        format: "html" for the page, "md" for a comment, "json" for programs.

    Returns:
        The path of what was written.

    Raises:
        RunError: the directory is not a study, or its `study.json` is malformed.
        DiptychError: there is no such format, or `out` is a directory or cannot be written.
    """
    directory = Path(study_directory)
    if format not in FORMATS:
        raise DiptychError(f"there is no report in {format!r}; say {', '.join(FORMATS)}")
    target = Path(out) if out is not None else directory / f"report.{format}"
    if target.is_dir():
        raise DiptychError(f"{target} is a directory; name a file: {target / f'report.{format}'}")
    makers: dict[Format, Callable[[Path], str]] = {
        "html": lambda study: _made(study, lambda content: render(study, content)),
        "md": render_markdown,
        "json": lambda study: json.dumps(report_json(study), indent=1, ensure_ascii=False) + "\n",
    }
    text = makers[format](directory)
    try:
        with atomic_path(target) as draft:
            draft.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    except OSError as error:
        raise DiptychError(f"{target} cannot be written: {error.strerror or error}") from None
    return target


def render_markdown(study_directory: Path) -> str:
    """What a study found, as Markdown that reads well as a comment.

    Raises:
        RunError: the directory is not a study, or its `study.json` is malformed.
    """
    return _made(Path(study_directory), markdown)


def report_json(study_directory: Path) -> dict[str, Any]:
    """Verdict and table of a study as JSON values: `{"schema", "verdict", "table"}`.

    Raises:
        RunError: the directory is not a study, or its `study.json` is malformed.
    """
    return _made(Path(study_directory), judging.report_json)


def _made(directory: Path, make: Callable[[Study], Made]) -> Made:
    """What is made of a study; what is wrong in its figures is told with what to do about it."""
    study = read_study(directory)
    try:
        return make(study)
    except RunError as error:
        raise RunError(f"{directory}: {str(error).rstrip('.')}; {REMEDY}.") from None
