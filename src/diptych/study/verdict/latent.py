"""The latent space: whether it is smooth, and whether a picture can be found again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from diptych.study.table import Row
from diptych.study.verdict.case import Case
from diptych.study.verdict.comparing import compare_metric, standing_of
from diptych.study.verdict.findings import lower, upper
from diptych.study.verdict.races import race, remedy_sentence
from diptych.study.verdict.rules import QUESTIONS
from diptych.study.verdict.wording import (
    SHORT_UNITS,
    capital,
    join,
    listing,
    number,
    standing_text,
)
from diptych.study.verdict.words import Answer, Comparison, Standing, State

__all__ = ["Found", "encoders", "found_again", "latent", "reconstruction"]

BASES = ("reconstruction-psnr", "reconstruction-mse")


@dataclass(frozen=True)
class Found:
    """How well one recipe finds held-out pictures again.

    Attributes:
        by: "encoder", or "search" where the code is searched for.
        standing: PSNR, or the mean squared error.
        rows: the figure of each seed; their ceiling is the mean image's value.
    """

    by: str
    standing: Standing
    rows: tuple[Row, ...]

    @property
    def row(self) -> Row:
        """Of one seed, for its name, unit and ceiling."""
        return self.rows[0]

    @property
    def useful(self) -> bool:
        """Every run is better than answering every picture with the mean image.

        Run by run: what is asked is whether these runs are, not how far another may be off.
        """
        return all(
            row.ceiling is None
            or (lower(row) > row.ceiling if row.better == "higher" else upper(row) < row.ceiling)
            for row in self.rows
        )

    @property
    def useless(self) -> bool:
        """Every run is shown to be no better than that."""
        return all(
            row.ceiling is not None
            and (
                upper(row) <= row.ceiling if row.better == "higher" else lower(row) >= row.ceiling
            )
            for row in self.rows
        )


def found_again(case: Case) -> Mapping[str, Found]:
    """By recipe, where it was measured."""
    for base in BASES:
        found = {}
        for recipe in case.judged:
            if rows := case.of_recipe(recipe, base):
                found[recipe] = Found(_way(case, recipe, rows[0]), standing_of(rows), rows)
        if found:
            return found
    return {}


def encoders(case: Case) -> Mapping[str, Found]:
    """Those that find pictures by an encoder, in one pass."""
    return {recipe: f for recipe, f in found_again(case).items() if f.by == "encoder"}


def reconstruction(case: Case, among: Collection[str] | None = None) -> Comparison | None:
    """Recipes whose errors were measured alike; an encoder and a search are not ranked."""
    for base in BASES:
        for key in case.keys(base):
            if comparison := compare_metric(case, key, among=among):
                return comparison
    return None


def latent(case: Case) -> Answer:
    """Smoothness is a race; finding again is one only between those that do it alike."""
    answer = race(case, "latent")
    again = reconstruction(case)
    said = _again_sentence(case, again)
    comparisons = answer.comparisons
    if again is not None and all(c.key != again.key for c in comparisons):
        comparisons = (*comparisons, again)
    if answer.state != "not measured":
        return replace(answer, sentence=join(answer.sentence, said), comparisons=comparisons)
    if not said:
        return answer
    unknown = "Smoothness was not measured: ask for the metric path-length-relative."
    state: State = "undecided"
    best = None
    compared = again is not None and set(found_again(case)) <= {s.recipe for s in again.standings}
    # The best of those that search is not the best of all where others have an encoder.
    if again is not None and compared and again.state in ("ahead", "tie"):
        state, best = ("clear" if again.winner else "tie"), again.winner
        if best is not None:
            rest = [s.recipe for s in again.standings if s.recipe != best]
            said = (
                f"{case.at_start(best)} finds pictures again better than {case.the(*rest)}. {said}"
            )
    remedy = remedy_sentence([again] if again is not None else [])
    sentence = join(said, remedy, unknown)
    return Answer("latent", QUESTIONS["latent"], state, best, sentence, comparisons)


def _way(case: Case, recipe: str, row: Row) -> str:
    by = case.table.protocols.get(row.protocol, {}).get("by")
    if by in ("encoder", "search"):
        return str(by)
    return "search" if case.family(recipe) == "gan" else "encoder"


def _again_sentence(case: Case, again: Comparison | None) -> str:
    found = found_again(case)
    if not found:
        return ""
    row = next(iter(found.values())).row
    unit = f" {row.unit}" if row.unit in SHORT_UNITS else ""
    parts = [
        f"{case.the(recipe)} "
        f"{standing_text(f.standing, row.unit)} by "
        f"{'its encoder' if f.by == 'encoder' else 'searching for a code'}"
        for recipe, f in found.items()
    ]
    worst = f" (the mean image has {number(row.ceiling)}{unit})" if row.ceiling is not None else ""
    better = "" if row.better == "closer" else f", {row.better} is better"
    if any(len(f.rows) == 2 for f in found.values()):
        better += " (of two seeds both values)"
    sentence = f"Held-out pictures found again, {row.name}{better}: {listing(parts)}{worst}."
    if {f.by for f in found.values()} == {"encoder", "search"}:
        sentence += (
            " An encoder and a search are different measurements and are not ranked: the one "
            "answers in one pass, the other takes its time and a better code may exist."
        )
    elif again is not None and again.state == "undecided" and again.why_not:
        sentence += f" {capital(again.why_not)}."
    return sentence
