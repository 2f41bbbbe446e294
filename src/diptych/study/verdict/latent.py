"""The latent space: whether it is smooth, and whether a picture can be found again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from diptych.study.table import Row
from diptych.study.verdict.case import Case
from diptych.study.verdict.comparing import compare_metric, standing_of
from diptych.study.verdict.races import race, remedy_sentence
from diptych.study.verdict.rules import QUESTIONS
from diptych.study.verdict.wording import SHORT_UNITS, capital, join, listing, number, span
from diptych.study.verdict.words import Answer, Comparison, Standing, State

__all__ = ["Found", "encoders", "found_again", "latent", "reconstruction"]

BASES = ("reconstruction-psnr", "reconstruction-mse")


@dataclass(frozen=True)
class Found:
    """How well one recipe finds held-out pictures again.

    Attributes:
        by: "encoder", or "search" where the code is searched for.
        standing: PSNR, or the mean squared error.
        row: the figure of one seed, for its name, unit and ceiling (the mean image's value).
    """

    by: str
    standing: Standing
    row: Row

    @property
    def useful(self) -> bool:
        """Whether it is better than answering every picture with the mean image."""
        worst = self.row.ceiling
        if worst is None:
            return True
        low, high = self.standing.low, self.standing.high
        if self.row.better == "higher":
            return (self.standing.mean if low is None else low) > worst
        return (self.standing.mean if high is None else high) < worst


def found_again(case: Case) -> Mapping[str, Found]:
    """By recipe, where it was measured."""
    for base in BASES:
        found = {}
        for recipe in case.judged:
            if rows := case.of_recipe(recipe, base):
                found[recipe] = Found(_way(case, recipe, rows[0]), standing_of(rows), rows[0])
        if found:
            return found
    return {}


def encoders(case: Case) -> Mapping[str, Found]:
    """Those that find pictures by an encoder, in one pass."""
    return {recipe: f for recipe, f in found_again(case).items() if f.by == "encoder"}


def reconstruction(case: Case) -> Comparison | None:
    """Recipes whose errors were measured alike; an encoder and a search are not ranked."""
    for base in BASES:
        for key in case.keys(base):
            if comparison := compare_metric(case, key):
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
    if again is not None and again.state in ("ahead", "tie"):
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
        f"{span(f.standing.mean, f.standing.low, f.standing.high, row.unit)} by "
        f"{'its encoder' if f.by == 'encoder' else 'searching for a code'}"
        for recipe, f in found.items()
    ]
    worst = f" (the mean image has {number(row.ceiling)}{unit})" if row.ceiling is not None else ""
    better = "" if row.better == "closer" else f", {row.better} is better"
    sentence = f"Held-out pictures found again, {row.name}{better}: {listing(parts)}{worst}."
    if {f.by for f in found.values()} == {"encoder", "search"}:
        sentence += (
            " An encoder and a search are different measurements and are not ranked: the one "
            "answers in one pass, the other takes its time and a better code may exist."
        )
    elif again is not None and again.state == "undecided" and again.why_not:
        sentence += f" {capital(again.why_not)}."
    return sentence
