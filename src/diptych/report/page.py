"""`write_report`: a study directory in, one HTML file out that needs nothing else.

The page carries its pictures, its charts and the code that draws them. Its content security
policy forbids every request and every script but the four whose hashes it names.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from diptych.data.files import atomic_path
from diptych.report import words
from diptych.report.charts import Rows, curves, last_moment, last_values
from diptych.report.pictures import Picture, inline, scale_for, strip
from diptych.report.reading import Member, Study, read_metrics, read_study, safe_path
from diptych.report.tables import cost_rows, figure_rows
from diptych.report.vendored import content_hash, licences, script_text, scripts

__all__ = ["write_report"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Panel:
    """One member as the page shows it; `number` chooses its colour."""

    member: Member
    number: int
    samples: Picture | None
    reconstruction: Picture | None
    interpolation: Picture | None
    strip: list[tuple[int, Picture]]
    charts: list[dict[str, Any]]
    lasts: list[tuple[str, str]]
    trouble: str
    reading: str


def write_report(study_directory: Path, out: Path | None = None) -> Path:
    """Write the page of a study.

    Args:
        study_directory: the directory that holds `study.json`.
        out: where to write the page; `report.html` in the study if not given. Missing
            directories on the way are made. A page that is already there is replaced whole.

    Returns:
        The path of the page.

    Raises:
        RunError: the directory is not a study, or its `study.json` is malformed.
    """
    directory = Path(study_directory)
    study = read_study(directory)
    target = Path(out) if out is not None else directory / "report.html"
    page = render(directory, study)
    with atomic_path(target) as draft:
        draft.write_text(page, encoding="utf-8", newline="\n")
    return target


def render(directory: Path, study: Study) -> str:
    """The page as text."""
    cell = study.data.cell
    logs = [
        read_metrics(safe_path(directory, f"{member.directory}/metrics.jsonl"))
        for member in study.members
    ]
    panels = [_panel(directory, study, place, logs) for place in range(len(study.members))]
    own_script = script_text((HERE / "page.js").read_text("utf-8"))
    code = [*scripts(), own_script]
    real = inline(safe_path(directory, study.real), cell)
    shown = [real, *(q for p in panels for q in (p.samples, p.reconstruction, p.interpolation))]
    page = _environment().get_template("template.html.j2")
    return page.render(
        study=study,
        panels=panels,
        real=real,
        lossy=any(picture is not None and picture.lossy for picture in shown),
        scale=scale_for(cell),
        cell=cell,
        headline=words.headline(study),
        standfirst=words.standfirst(study),
        rows=figure_rows(study.members),
        costs=cost_rows(study.members),
        charts={f"{p.number}-{i}": spec for p in panels for i, spec in enumerate(p.charts)},
        styles=Markup((HERE / "page.css").read_text("utf-8")),
        scripts=[Markup(text) for text in code],
        script_hashes=Markup(" ".join(content_hash(text) for text in code)),
        licences=licences(),
        words=words,
        things="points" if study.data.kind == "points" else "images",
    )


def _panel(directory: Path, study: Study, place: int, logs: list[Rows]) -> Panel:
    member, rows, cell = study.members[place], logs[place], study.data.cell
    by_images = study.budget.minutes is None
    end = max(last_moment(log, by_images=by_images) for log in logs)
    home = directory / member.directory
    inside = home.resolve().is_relative_to(directory.resolve())
    pictures = {
        name: inline(safe_path(directory, member.pictures.get(name)), cell)
        for name in ("samples", "reconstruction", "interpolation")
    }
    return Panel(
        member=member,
        number=place + 1,
        **pictures,
        strip=strip(home / "samples", cell) if inside else [],
        charts=curves(member, rows, by_images=by_images, end=end),
        lasts=[(n, words.number(v, words.decimals_for([v]))) for n, v in last_values(rows)],
        trouble=words.trouble(member),
        reading=words.curve_sentence(member),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_function"] = json.dumps
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment
