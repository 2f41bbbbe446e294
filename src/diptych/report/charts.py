"""Training curves as Vega-Lite specifications: plain dicts that a test can read.

Colours are CSS variables of the page (Vega writes them into SVG as they are), so one chart serves
light, dark and paper. Rows are long (one per term and log interval), so that no name of a term
ever has to be a field name.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from diptych.report.reading import Member

__all__ = ["Rows", "axes", "curves", "last_moment", "last_values"]

Rows = list[dict[str, float | None]]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
MOST_POINTS = 300
"""Points kept per curve; beyond that, every n-th row and the last."""

CLOCKS = ("step", "images", "seconds", "progress", "images_per_second")
"""Keys of a row that say when, not how well."""

LINES = ("var(--line-1)", "var(--line-2)", "var(--line-3)", "var(--line-4)")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])

SUBTITLES = {
    "The negative ELBO and the reconstruction in it": "nats per image",
    "KL from the prior": "nats per image",
    "What the discriminator thinks": "logits: above 0 it takes a picture for real",
}

NAMES = {
    "autoencoder/negative_elbo": "negative ELBO",
    "autoencoder/reconstruction": "reconstruction",
    "autoencoder/kl": "KL",
    "autoencoder/beta": "beta",
    "discriminator/loss": "discriminator",
    "generator/loss": "generator",
    "discriminator/logits_real": "real pictures",
    "discriminator/logits_fake": "made pictures",
    "discriminator/r1": "R1 penalty",
}


def term_name(term: str) -> str:
    """How a logged term is called on the page."""
    return NAMES.get(term, term.replace("_", " ").replace("/", " "))


def _full_name(term: str) -> str:
    """The name of a term where no panel around it says what kind of thing it is."""
    name, kind = term_name(term), term.rpartition("/")[2]
    if kind == "loss" and name != "negative ELBO" and not name.endswith("loss"):
        return f"{name} loss"
    return f"logit of {name}" if kind in ("logits_real", "logits_fake") else name


def terms_of(rows: Rows) -> list[str]:
    """Every logged term, in the order in which it first appears."""
    return list(dict.fromkeys(key for row in rows for key in row if key not in CLOCKS))


def last_values(rows: Rows) -> list[tuple[str, float | None]]:
    """Each term's name and its last finite value: what the curves end on, for who cannot see."""
    return [
        (
            _full_name(term),
            next((r[term] for r in reversed(rows) if r.get(term) is not None), None),
        )
        for term in terms_of(rows)
    ]


def last_moment(rows: Rows, *, by_images: bool) -> float:
    """Where a run's curves end on the horizontal axis: images seen, or minutes of training."""
    clock, unit = ("images", 1) if by_images else ("seconds", 60)
    return max((row.get(clock) or 0.0 for row in rows), default=0.0) / unit


def axes(ends: Mapping[str, float], things: str = "images") -> dict[str, dict[str, Any]]:
    """Both horizontal axes: `minutes` of training, and `images` seen.

    Args:
        ends: where each ends, the same for all members, so that charts can be compared.
        things: what is seen: images or points.
    """
    titles = {"minutes": "minutes of training", "images": f"{things} seen"}
    return {
        clock: {
            "field": clock,
            "type": "quantitative",
            "scale": {"domain": [0, float(f"{ends.get(clock, 0):.6g}") or 1], "nice": False},
            "axis": {"title": title, "tickCount": 4, "grid": False, "format": "~s"},
        }
        for clock, title in titles.items()
    }


def curves(
    member: Member,
    rows: Rows,
    *,
    by_images: bool = False,
    ends: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """The charts of one member: terms of one kind share one small panel.

    Args:
        member: whose curves they are; a hybrid's players are not drawn on one scale.
        rows: what `read_metrics` gave.
        by_images: let the horizontal axis be images seen instead of minutes of training.
        ends: where either axis ends, to be the same for all members; the last row if not given.
    """
    if len(rows) < 2:
        return []
    groups: dict[str, list[str]] = {}
    for term in terms_of(rows):
        if (title := _panel(term, split=member.family == "hybrid")) is not None:
            groups.setdefault(title, []).append(term)
    own = {
        "minutes": last_moment(rows, by_images=False),
        "images": last_moment(rows, by_images=True),
    }
    axis = axes(own if ends is None else ends)["images" if by_images else "minutes"]
    return [_chart(member, rows, title, terms, axis) for title, terms in groups.items()]


def _panel(term: str, *, split: bool) -> str | None:
    """The panel a term is drawn in; None for settings that only follow a schedule."""
    player, _, kind = term.rpartition("/")
    if kind in ("beta", "learning_rate", "weight") or kind.startswith(("beta_", "lr")):
        return None
    if kind in ("negative_elbo", "reconstruction"):
        return "The negative ELBO and the reconstruction in it"
    if kind == "kl":
        return "KL from the prior"
    if kind.startswith("logits"):
        return "What the discriminator thinks"
    if kind == "loss":
        return f"The loss of the {player}" if split or not player else "The losses of the players"
    return term_name(term)


def _thin(rows: Rows) -> Rows:
    step = max(1, -(-len(rows) // MOST_POINTS))
    kept = rows[::step]
    return kept if kept[-1] is rows[-1] else [*kept, rows[-1]]


def _chart(
    member: Member, rows: Rows, title: str, terms: list[str], axis: dict[str, Any]
) -> dict[str, Any]:
    names = [term_name(term) for term in terms]
    values = list(_long(_thin(rows), terms))
    domain, clipped = _robust_domain(rows, terms)
    described = ", ".join(names)
    remarks = [SUBTITLES.get(title, ""), "the start runs off the edge" if clipped else ""]
    colour: dict[str, Any] = {
        "field": "term",
        "type": "nominal",
        "sort": None,
        "scale": {"domain": names, "range": [LINES[i % len(LINES)] for i in range(len(names))]},
    }
    dash: dict[str, Any] = {
        "field": "term",
        "type": "nominal",
        "sort": None,
        "scale": {"domain": names, "range": [DASHES[i % len(DASHES)] for i in range(len(names))]},
    }
    legend = None if len(names) == 1 else {"title": None, "orient": "top", "symbolSize": 220}
    return {
        "$schema": SCHEMA,
        "title": {"text": title, "subtitle": "; ".join(filter(None, remarks))},
        "description": f"{member.title}, {title}: {described} over {axis['axis']['title']}.",
        "width": "container",
        "height": 132,
        "data": {"values": values},
        "mark": {
            "type": "line",
            "clip": True,
            "strokeWidth": 1.6,
            "invalid": "break-paths-show-path-domains",
        },
        "encoding": {
            "x": axis,
            "y": {
                "field": "value",
                "type": "quantitative",
                "scale": {"domain": domain, "zero": False, "nice": False},
                "axis": {"title": None, "tickCount": 4, "minExtent": 34},
            },
            "color": {**colour, "legend": legend},
            "strokeDash": {**dash, "legend": legend},
            "tooltip": [
                {"field": "term", "type": "nominal"},
                {"field": "value", "type": "quantitative", "format": ".4~g"},
                {"field": "minutes", "type": "quantitative", "format": ".2f"},
                {"field": "images", "type": "quantitative", "format": ",.0f"},
            ],
        },
        "config": _CONFIG,
    }


def _long(rows: Rows, terms: list[str]) -> Iterable[dict[str, Any]]:
    """One row per term and log interval; a value that was not finite stays in as a gap."""
    for row in rows:
        seconds = row.get("seconds")
        clock = {
            "minutes": None if seconds is None else round(seconds / 60, 4),
            "images": row.get("images"),
        }
        for term in terms:
            if term in row:
                value = row[term]
                rounded = None if value is None else float(f"{value:.5g}")
                yield {"term": term_name(term), "value": rounded, **clock}


def _robust_domain(rows: Rows, terms: list[str]) -> tuple[list[float], bool]:
    """The vertical range, and whether it cuts something off at the top.

    The first log intervals are often far above everything that follows; if they alone would take
    more than half of the chart, it ends at the highest of what follows. It is never cut below:
    a term that starts at nought, as KL does, is to be seen starting there.
    """
    settled = rows[len(rows) // 20 + 1 :] if len(rows) >= 20 else rows
    everything = [row[t] for row in rows for t in terms if row.get(t) is not None]
    later = [row[t] for row in settled for t in terms if row.get(t) is not None]
    numbers = sorted(v for v in everything if v is not None)
    if not numbers:
        return [0.0, 1.0], False
    low, high, cut = numbers[0], numbers[-1], False
    late = sorted(v for v in later if v is not None)
    if late and (high - low) > 2 * (late[-1] - low) > 0:
        high, cut = late[-1], True
    room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return [float(f"{low - room:.5g}"), float(f"{high + room:.5g}")], cut


_INK = "var(--ink-soft)"
_CONFIG: dict[str, Any] = {
    "background": None,
    "font": "system-ui, -apple-system, 'Segoe UI', sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--rule)",
        "gridColor": "var(--rule)",
        "labelColor": _INK,
        "labelFontSize": 11,
        "tickColor": "var(--rule)",
        "ticks": False,
        "labelPadding": 6,
        "titleColor": _INK,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 6,
    },
    "legend": {
        "labelColor": "var(--ink)",
        "labelFontSize": 12,
        "symbolStrokeWidth": 2,
        "symbolType": "stroke",
        "offset": 6,
    },
    "title": {
        "anchor": "start",
        "color": "var(--ink)",
        "fontSize": 12,
        "fontWeight": "normal",
        "offset": 10,
        "subtitleColor": _INK,
        "subtitleFontSize": 11,
        "subtitlePadding": 3,
    },
}
