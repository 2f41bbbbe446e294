"""`write_report`: a study directory in, one HTML file out that needs nothing else.

The page carries its pictures, its charts and the code that draws them. Its content security
policy forbids every request and every script but those whose hashes it names.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from diptych.report import facts, words
from diptych.report.charts import Rows, axes, curves, last_moment, last_values
from diptych.report.evidence import questions_of
from diptych.report.frames import films_of, moments
from diptych.report.judging import standings_of, table_of, verdict_of
from diptych.report.latents import latents_section
from diptych.report.panels import Panel, panels_of
from diptych.report.pictures import HEAVY, Album, Picture, scale_for
from diptych.report.reading import Baseline, Study, read_metrics, safe_path
from diptych.report.shedding import lighten
from diptych.report.tables import cost_rows, figure_tables
from diptych.report.vendored import content_hash, licences, script_text, scripts
from diptych.study.verdict import Recommendation

__all__ = ["render"]

HERE = Path(__file__).parent
STYLES = (
    *("page.css", "verdict.css", "panels.css", "latents.css"),
    *("evidence.css", "training.css", "print.css"),
)
SAMPLES_BYTES = 4_000_000
"""About what the sample grids of all members on the page may weigh together."""
MOST_PICTURED = 12
"""Recipes whose pictures, curves and films are on the page; the tables hold all."""
MOST_SEEDS = 8
"""Seeds whose grids are on the page; the rest lie in the study."""


@dataclass(frozen=True)
class Sheet:
    """One grid of samples: of which seed of the switch, or what to say where there is none."""

    seed: int | None
    shown: bool
    picture: Picture | None
    alt: str
    plaque: str
    gone: str


@dataclass(frozen=True)
class Side:
    """One recipe as the page shows it: its grids by seed, its codes, its curves."""

    panel: Panel
    samples: list[Sheet]
    reconstruction: Picture | None
    interpolation: Picture | None
    charts: list[dict[str, Any]]
    lasts: list[tuple[str, str]]


@dataclass(frozen=True)
class Beside:
    """A baseline as the page shows it."""

    title: str
    sentence: str
    picture: Picture | None
    seconds: str


@dataclass(frozen=True)
class Counsel:
    """A recommendation and the panel it picks."""

    use: str
    because: str
    would_change: str
    panel: Panel | None


@dataclass(frozen=True)
class Head:
    """A column of the figures: a recipe, or a baseline with the number 0."""

    title: str
    number: int


def render(directory: Path, study: Study) -> str:
    """The page as text, below `LARGEST_PAGE` as far as leaving things out can bring it."""
    template = _environment().get_template("page.html.j2")
    return lighten(_content(directory, study), lambda content: template.render(content))


def _content(directory: Path, study: Study) -> dict[str, Any]:
    """Everything that the templates show, by the name they call it."""
    panels = panels_of(study)
    pictured = panels[:MOST_PICTURED]
    album = Album(directory, study.data.cell, sheets=len(pictured))
    logs = [
        read_metrics(safe_path(directory, f"{panel.shown.directory}/metrics.jsonl"))
        for panel in pictured
    ]
    seeds = list(dict.fromkeys(m.seed for panel in pictured for m in panel.members))[:MOST_SEEDS]
    ends = {
        "minutes": max((last_moment(log, by_images=False) for log in logs), default=0.0),
        "images": max((last_moment(log, by_images=True) for log in logs), default=0.0),
    }
    real = album.picture(study.real)
    sides = [
        _side(study, panel, rows, album, seeds, ends)
        for panel, rows in zip(pictured, logs, strict=True)
    ]
    verdict = verdict_of(study)
    questions = (
        questions_of(study, verdict.answers, panels, album, pictured=pictured) if verdict else []
    )
    comparisons = {c.key: c for q in questions for c in q.answer.comparisons}
    films = films_of(study, pictured, logs, album)
    baselines = [_beside(b, album) for b in study.baselines]
    latents = latents_section(directory, study, [panel.shown for panel in pictured])
    live = latents is not None
    own = [*(("decoder.js", "latents.js") if live else ()), "page.js"]
    code = [*scripts(), *(script_text(_static(name)) for name in own)]
    widths = [p.width for p in (real, *(side.samples[0].picture for side in sides)) if p]
    left_out = []
    if len(pictured) < len(panels):
        left_out.append(
            f"Pictures, curves and shares of classes are those of the first {len(pictured)} of "
            f"{len(panels)} recipes; the tables and the strips of dots hold all."
        )
    return {
        "study": study,
        "verdict": verdict,
        "subject": words.subject(study, [panel.title for panel in panels]),
        "conditions": words.conditions(study),
        "questions": questions,
        "recommendations": [
            _counsel(r, panels) for r in (verdict.recommendations if verdict else ())
        ],
        "failures": facts.failures(panels),
        "panels": panels,
        "names": words.names_in(study),
        "sides": sides,
        "seeds": seeds,
        "left_out": left_out,
        "one_seed": len({panel.shown.seed for panel in pictured}) == 1,
        "baselines": baselines,
        "real": real,
        "widest": max(widths, default=240),
        "latents": latents,
        "films": films,
        "no_films": "",
        "moments": moments(films),
        "tables": figure_tables(
            panels, study.baselines, comparisons, standings_of(table_of(study))
        ),
        "heads": [
            *(Head(panel.title, panel.number) for panel in panels),
            *(Head(b.title or b.name, 0) for b in study.baselines),
        ],
        "costs": cost_rows(panels),
        "several": any(len(panel.members) > 1 for panel in panels),
        "equal": words.budget_sentence(study, panels),
        "by_images": _by_images(study),
        "extractors": facts.extractors(study),
        "searches": facts.searches(study),
        "recipes": facts.recipes(study),
        "protocols": facts.protocols(study),
        "notes": album.notes,
        "lossy": any(
            p.lossy for p in (real, *(sh.picture for side in sides for sh in side.samples)) if p
        ),
        "scale": scale_for(study.data.cell),
        "cell": study.data.cell,
        "charts": {
            f"{s.panel.number}-{i}": chart for s in sides for i, chart in enumerate(s.charts)
        },
        "styles": Markup(
            "\n".join(_static(name) for name in STYLES if live or name != "latents.css")
        ),
        "scripts": [Markup(text) for text in code],
        "script_hashes": Markup(" ".join(content_hash(text) for text in code)),
        "licences": licences(),
        "words": words,
        "things": "points" if study.data.kind == "points" else "images",
    }


def _side(
    study: Study, panel: Panel, rows: Rows, album: Album, seeds: list[int], ends: dict[str, float]
) -> Side:
    """One recipe's pictures, curves and the values they end on."""
    things = "points" if study.data.kind == "points" else "images"
    by_images = _by_images(study)
    return Side(
        panel=panel,
        samples=_samples(panel, album, seeds, album.sheets * len(seeds), things),
        reconstruction=album.picture(panel.shown.pictures.get("reconstruction")),
        interpolation=album.picture(panel.shown.pictures.get("interpolation")),
        charts=[
            {"spec": spec, "axes": axes(ends, things)}
            for spec in curves(panel.shown, rows, by_images=by_images, ends=ends)
        ],
        lasts=[(n, words.number(v, words.decimals_for([v]))) for n, v in last_values(rows)],
    )


def _samples(panel: Panel, album: Album, seeds: list[int], grids: int, things: str) -> list[Sheet]:
    """The grids of a recipe by seed, the shown one first."""
    heavy = max(30_000, min(HEAVY, SAMPLES_BYTES // max(1, grids)))
    sheets = []
    for member in sorted(panel.members, key=lambda member: member is not panel.shown):
        if member.seed not in seeds and member is not panel.shown:
            continue
        several = len(panel.members) > 1
        at = f", seed {member.seed}" if several else ""
        said = [f"seed {member.seed}"] if several else []
        said += [f"{words.whole(member.images_seen)} {things}"] if member.images_seen else []
        sheets.append(
            Sheet(
                seed=seeds.index(member.seed) if member.seed in seeds else None,
                shown=member is panel.shown,
                picture=album.picture(member.pictures.get("samples"), heavy=heavy),
                alt=f"Samples made by {panel.title}{at}",
                plaque=" · ".join(said),
                gone=words.no_pictures(f"{panel.title}{at}", member),
            )
        )
    return sheets


def _by_images(study: Study) -> bool:
    return study.budget.equal == "images" or study.budget.minutes is None


def _beside(baseline: Baseline, album: Album) -> Beside:
    return Beside(
        title=baseline.title or baseline.name,
        sentence=baseline.sentence,
        picture=album.picture(baseline.pictures.get("samples"), corner=4),
        seconds="" if baseline.seconds is None else words.duration(baseline.seconds),
    )


def _counsel(recommendation: Recommendation, panels: list[Panel]) -> Counsel:
    return Counsel(
        use=recommendation.use,
        because=recommendation.because,
        would_change=recommendation.would_change,
        panel=next((p for p in panels if p.recipe == recommendation.pick), None),
    )


def _static(name: str) -> str:
    return (HERE / "static" / name).read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_function"] = json.dumps
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment
