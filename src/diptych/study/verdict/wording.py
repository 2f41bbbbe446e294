"""Numbers and lists as the verdict writes them."""

import math
from collections.abc import Iterable, Sequence

from diptych.study.verdict.words import Comparison, Standing

__all__ = [
    "SHORT_UNITS",
    "capital",
    "count",
    "figures_of",
    "join",
    "listing",
    "named",
    "number",
    "percent",
    "plural",
    "rough",
    "span",
    "standing_text",
    "time",
]

SHORT_UNITS = {"dB", "bits", "nats", "nats per image", "nats per point"}
"""Those that may stand behind a number in a sentence."""
MINUS = "\N{MINUS SIGN}"


def number(value: float, decimals: int | None = None) -> str:
    """Three digits, more for whole hundreds, thousands separated, a true minus sign."""
    if decimals is None:
        decimals = _decimals(value)
    if value != 0 and abs(value) < 1e-4 and decimals > 6:
        return f"{value:.1e}".replace("-", MINUS)
    text = f"{value:,.{decimals}f}"
    if not any(digit in text for digit in "123456789"):
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def span(value: float, low: float | None, high: float | None, unit: str = "") -> str:
    """A value with its unit and interval: ``2.44 dB (2.12 to 2.75)``; long units are left out."""
    known = f" {unit}" if unit in SHORT_UNITS else ""
    if low is None or high is None:
        return number(value) + known
    # Digits that the interval leaves open say nothing: two of its half width are enough.
    half = (high - low) / 2
    decimals = _decimals(value) if half <= 0 else min(8, max(0, 1 - _size(half)))
    return (
        f"{number(value, decimals)}{known} ({number(low, decimals)} to {number(high, decimals)})"
    )


def standing_text(standing: Standing, unit: str = "") -> str:
    """A mean with its interval; of two seeds both values instead.

    An interval of one degree of freedom is as wide as 9 standard deviations to either side, and
    says less than the two values themselves.
    """
    if len(standing.seeds) == 2:
        known = f" {unit}" if unit in SHORT_UNITS else ""
        one, other = sorted(standing.seeds)
        largest = max(abs(one), abs(other))
        whole = all(value == int(value) for value in (standing.mean, one, other))
        decimals = 0 if whole else min(8, max(0, 2 - _size(largest)))
        one_text, other_text = number(one, decimals), number(other, decimals)
        return f"{number(standing.mean, decimals)}{known} ({one_text} and {other_text})"
    return span(standing.mean, standing.low, standing.high, unit)


def percent(share: float) -> str:
    """A share in per cent, two digits where it is small."""
    size = abs(100 * share)
    decimals = 0 if size >= 10 or size == 0 else 1 if size >= 1 else 2
    return f"{100 * share:.{decimals}f} %".replace("-", MINUS)


def count(many: float) -> str:
    """A whole number with thousands separated."""
    return f"{many:,.0f}"


def time(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = seconds / 60
    if minutes < 60:
        return f"{minutes:.1f} minutes"
    return f"{minutes / 60:.1f} hours"


def plural(many: int, one: str, several: str = "") -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{many:,} {one if many == 1 else several or one + 's'}"


def listing(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    given = list(words)
    return " and ".join([", ".join(given[:-1]), given[-1]] if len(given) > 1 else given)


def capital(sentence: str) -> str:
    """With a large first letter."""
    return sentence[:1].upper() + sentence[1:]


def join(*sentences: str) -> str:
    """Sentences in a row; empty ones are left out."""
    return " ".join(sentence for sentence in sentences if sentence)


def figures_of(comparison: Comparison, titles: Sequence[str], floor: str) -> str:
    """The standings of a metric as one sentence.

    Args:
        comparison: the metric.
        titles: of the standings, in their order.
        floor: what the floor is, e.g. "unseen real images".
    """
    aim = f"closer to {floor}" if comparison.better == "closer" else comparison.better
    better = f"{aim} is better"
    figures = [
        f"{title} {standing_text(standing)}"
        for title, standing in zip(titles, comparison.standings, strict=True)
    ]
    if comparison.floor is not None:
        figures.append(f"{floor} {number(comparison.floor)}")
    name = capital(named(comparison.name, comparison.unit))
    return f"{name}, {better}: {', '.join(figures)}{_basis(comparison)}."


def named(name: str, unit: str) -> str:
    """The metric with its unit, where the name or the number does not tell it."""
    bare = unit in ("", "share") or unit in name
    return name if bare else f"{name} in {unit}"


def rough(value: float) -> str:
    """A number of which two digits are known."""
    if value == 0:
        return "0"
    digits = 1 - _size(value)
    return number(round(value, digits), max(0, digits))


def _basis(comparison: Comparison) -> str:
    """How many seeds, and what stands in the brackets behind each figure."""
    counts = [len(standing.seeds) for standing in comparison.standings]
    lines = any(s.low is not None and len(s.seeds) != 2 for s in comparison.standings)
    shown = "95 % intervals" if lines else "no intervals"
    if set(counts) == {2}:
        shown = "in brackets both values"
    elif 2 in counts:
        shown += ", of two seeds both values"
    if len(set(counts)) == 1:
        each = " each" if len(counts) > 1 else ""
        means = "means of " if counts[0] > 1 else ""
        return f" ({means}{plural(counts[0], 'seed')}{each}; {shown})"
    return f" ({listing(map(str, counts))} seeds in this order; {shown})"


def _decimals(value: float) -> int:
    if value == 0 or not math.isfinite(value):
        return 0
    if value == int(value):
        return 0
    return min(8, max(0, 2 - _size(value)))


def _size(value: float) -> int:
    """Of the first digit: 0 for 1 to 9.99, -1 for 0.1 to 0.999."""
    return math.floor(math.log10(abs(value)))
