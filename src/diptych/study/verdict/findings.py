"""Questions with a plain yes or no for each recipe: what they share."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from diptych.study.table import Row
from diptych.study.verdict.case import Case
from diptych.study.verdict.comparing import compare_metric
from diptych.study.verdict.rules import QUESTIONS
from diptych.study.verdict.wording import listing, plural
from diptych.study.verdict.words import Answer, Comparison, State

__all__ = [
    "Finding",
    "between",
    "evidence_of",
    "looked",
    "lower",
    "seeds_seen",
    "unmeasured",
    "upper",
]


@dataclass(frozen=True)
class Finding:
    """One kind of trouble looked for in one recipe.

    Attributes:
        kind: e.g. "lost classes".
        seeds: at how many seeds it was looked for.
        found: at how many it was found.
        sentence: what was seen, as the rest of a sentence: over the seeds at which it was found,
            or over all if it was found at none.
        spread: the sentence tells a range, since these seeds do not show the same number.
    """

    kind: str
    seeds: int
    found: int
    sentence: str
    spread: bool = False

    @property
    def where(self) -> str:
        """At which seeds the kind of trouble was found, or not, if not at the only one."""
        if self.seeds == 1:
            return ""
        if self.found in (0, self.seeds):
            return " at every seed"
        return f" at {self.found} of {plural(self.seeds, 'seed')}"

    @property
    def told(self) -> str:
        """The sentence with its seeds; "at every seed" only of a number that all of them show."""
        if self.spread and self.found in (0, self.seeds):
            return f"{self.sentence} over {plural(self.seeds, 'seed')}"
        return f"{self.sentence}{self.where}"

    @property
    def mostly(self) -> bool:
        """Found at more than half of the seeds."""
        return 2 * self.found > self.seeds


def looked(
    kind: str,
    rows: Sequence[Row],
    bad: Callable[[Row], bool],
    write: Callable[[float], str],
    say: Callable[[str, Row], str],
) -> Finding | None:
    """Look at each seed.

    Args:
        kind: of trouble.
        rows: of one recipe, one per seed.
        bad: whether a seed shows it.
        write: a value as text.
        say: what was seen, from the text of one value or of a range, and the first seed that
            shows it (for its floor and its unit).
    """
    if not rows:
        return None
    troubled = [row for row in rows if bad(row)]
    seen = troubled or list(rows)
    values = [row.value for row in seen]
    amount = between(min(values), max(values), write)
    spread = amount != write(seen[0].value)
    return Finding(kind, len(rows), len(troubled), say(amount, seen[0]), spread)


def between(least: float, most: float, write: Callable[[float], str]) -> str:
    """``6 to 9``; one of them where both are written alike."""
    one, other = write(least), write(most)
    if one == other:
        return one
    # A unit stands once.
    return f"{one.removesuffix(' %')} to {other}"


def lower(row: Row) -> float:
    """The lower end of a figure's interval, or the figure where it has none."""
    return row.value if row.low is None else row.low


def upper(row: Row) -> float:
    """The upper end."""
    return row.value if row.high is None else row.high


def evidence_of(case: Case, bases: Iterable[str]) -> tuple[Comparison, ...]:
    """The figures of these metrics side by side; the first is the primary one."""
    first = [key for base in bases for key in case.keys(base)[:1]]
    compared = (compare_metric(case, key, primary=n == 0) for n, key in enumerate(first))
    return tuple(comparison for comparison in compared if comparison is not None)


def unmeasured(
    case: Case, key: str, bases: Sequence[str], panel: str, evidence: tuple[Comparison, ...]
) -> Answer:
    """The answer where no recipe has a figure that tells anything."""
    state: State = "not measured"
    if not case.judged:
        sentence = "Not measured: no run finished."
    elif any(case.doubted(recipe, base) for recipe in case.judged for base in bases):
        names = listing(dict.fromkeys(case.rows(k)[0].name for b in bases for k in case.keys(b)))
        sentence = (
            f"Cannot tell: {names} cannot be trusted here. What would help: measuring more "
            f"{case.things}."
        )
        state = "undecided"
    else:
        sentence = f"Not measured: ask for {panel} metrics such as {bases[0]}."
    return Answer(key, QUESTIONS[key], state, None, sentence, evidence)


def seeds_seen(case: Case) -> str:
    """A caution where a recipe was seen at one seed only."""
    lone = [recipe for recipe in case.judged if len(case.finished(recipe)) == 1]
    if not lone:
        return ""
    if len(lone) == len(case.judged):
        return "Seen at one seed; another may differ."
    return f"Of {case.the(*lone)} one seed was seen; another may differ."
