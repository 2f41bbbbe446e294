"""What a verdict is made of."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Answer", "Comparison", "Folklore", "Recommendation", "Standing", "State", "Verdict"]

State = Literal["clear", "tie", "undecided", "not measured"]


@dataclass(frozen=True)
class Standing:
    """One recipe's figure over its seeds.

    Attributes:
        recipe: whose.
        mean: over seeds.
        low: lower end of the 95 % interval over seeds and bootstrap, or None. It is cut off at
            the values that the metric can have.
        high: its upper end.
        seeds: the value of each seed that finished, in the order of the seeds.
    """

    recipe: str
    mean: float
    low: float | None
    high: float | None
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """One metric over all recipes.

    Attributes:
        key: of the metric, with its extractor.
        better: "lower", "higher", or "closer" to the floor.
        floor: mean floor, or None.
        standings: the best first.
        winner: the recipe that is ahead of every other, or None where nobody is for certain.
        behind: recipes that are for certain behind the best.
        effect: difference of the best two in standard deviations over seeds (Hedges' g), or None.
        primary: whether the answer hangs on this metric; the others only may object.
        why_not: why there is no winner, in words; empty if there is one.
        state: "ahead" (there is a winner), "tie" (those at the top are shown to be alike),
            "undecided", or "alone" (fewer than two recipes can be compared).
        top: recipes that cannot be told from the best, the best included.
        behind_all: recipes that are for certain behind every one at the top.
        difference: of the best two and its interval at the level used; of distances to the floor
            where closer is better.
        smallest: the smallest difference worth naming, in the unit of the figure.
        lone: a recipe has one seed only, so that the spread between seeds is not known.
        by_runs: the winner is ahead because each of its runs is far ahead of each run of the
            others, where two seeds are too few for an interval of the difference.
        left_out: why a recipe that was trained is not among the standings, by recipe.
        seeds_left_out: of recipes that are: which seeds that finished are not used, and why.
        help: what might settle it, in words; empty where nothing needs to be settled.
    """

    key: str
    name: str
    unit: str
    better: str
    floor: float | None
    standings: tuple[Standing, ...]
    winner: str | None
    behind: tuple[str, ...] = ()
    effect: float | None = None
    primary: bool = False
    why_not: str = ""
    state: Literal["ahead", "tie", "undecided", "alone"] = "undecided"
    top: tuple[str, ...] = ()
    behind_all: tuple[str, ...] = ()
    difference: tuple[float, float | None, float | None] | None = None
    smallest: float | None = None
    lone: bool = False
    by_runs: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict)
    seeds_left_out: Mapping[str, str] = field(default_factory=dict)
    help: str = ""


@dataclass(frozen=True)
class Answer:
    """One question and what the figures say to it.

    Attributes:
        key: "realism", "coverage", "collapse", "blur", "density", "latent", "copies", "cost".
        question: as a person asks it.
        state: "clear" (one recipe ahead, or a plain yes/no for all), "tie" (told to be alike),
            "undecided" (cannot tell at this budget), "not measured".
        best: the recipe that is ahead, or None.
        sentence: the answer in words, with numbers.
        comparisons: the evidence.
    """

    key: str
    question: str
    state: State
    best: str | None
    sentence: str
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Recommendation:
    """What to take for one use.

    Attributes:
        key: "look", "augment", "compress", "anomaly", "teach".
        pick: the recipe, or None where the figures do not say.
        because: why.
        would_change: what would change it.
    """

    key: str
    use: str
    pick: str | None
    because: str
    would_change: str


@dataclass(frozen=True)
class Folklore:
    """A sentence everyone repeats, held against these data."""

    key: str
    claim: str
    state: Literal["confirmed", "refuted", "undecided"]
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """The whole verdict. `headline` is the page's first sentence."""

    headline: str
    standfirst: str
    answers: tuple[Answer, ...]
    recommendations: tuple[Recommendation, ...]
    folklore: tuple[Folklore, ...]
    titles: Mapping[str, str] = field(default_factory=dict)
    """Titles by recipe."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
