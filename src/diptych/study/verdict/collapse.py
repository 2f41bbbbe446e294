"""Did anything collapse: modes, variety, the posterior, the codes?"""

from diptych.study.table import Row
from diptych.study.verdict import rules
from diptych.study.verdict.case import Case
from diptych.study.verdict.findings import (
    Finding,
    evidence_of,
    looked,
    lower,
    seeds_seen,
    unmeasured,
    upper,
)
from diptych.study.verdict.rules import QUESTIONS
from diptych.study.verdict.wording import count, join, listing, percent, rough
from diptych.study.verdict.words import Answer, State

__all__ = ["collapse", "collapses", "lost_modes"]


def lost_modes(case: Case, recipe: str) -> Finding | None:
    """Classes, or modes of points, that real items show and samples do not."""
    for base, unit in (("classes-found", "classes"), ("modes-found", "modes")):
        rows = case.of_recipe(recipe, base)
        finding = looked(
            f"lost {unit}",
            rows,
            lambda row: row.value <= _reachable(row) - 0.5,
            lambda row: f"{count(row.value)} of {count(_reachable(row))} {row.unit} found",
        )
        if finding:
            return finding
    return None


def _reachable(row: Row) -> float:
    """What real items show; where none were left for a floor, all there are."""
    known = row.floor if row.floor is not None else row.ceiling
    return row.value if known is None else known


def collapses(case: Case, recipe: str) -> tuple[Finding, ...]:
    """Everything that can collapse, as far as it was measured."""
    found = [lost_modes(case, recipe)]
    for base in ("class-kl", "mode-kl"):
        found.append(
            looked(
                "uneven",
                case.of_recipe(recipe, base),
                lambda row: lower(row) > (row.floor or 0.0) + rules.UNEVEN,
                lambda row: (
                    f"a {row.name} of {rough(row.value)} nats "
                    f"({case.real} {rough(row.floor or 0)})"
                ),
            )
        )
    found.append(
        looked(
            "repeats itself",
            [row for row in case.of_recipe(recipe, "birthday-support") if row.floor],
            lambda row: upper(row) < rules.REPEATS * (row.floor or 0.0),
            lambda row: (
                f"a variety of about {rough(row.value)} {case.things} "
                f"({case.real} {rough(row.floor or 0)})"
            ),
        )
    )
    found.append(
        looked(
            "posterior collapse",
            [row for row in case.of_recipe(recipe, "collapsed-dimensions") if row.ceiling],
            lambda row: row.value >= rules.UNUSED * (row.ceiling or 0.0),
            lambda row: (
                f"{count(row.value)} of {count(row.ceiling or 0)} latent dimensions unused"
            ),
        )
    )
    found.append(
        looked(
            "dead codes",
            case.of_recipe(recipe, "dead-latents"),
            lambda row: row.value >= rules.UNUSED,
            lambda row: f"{percent(row.value)} of the latents move nothing",
        )
    )
    return tuple(finding for finding in found if finding is not None)


def collapse(case: Case) -> Answer:
    """Per recipe: what collapsed, of what was looked at."""
    by_recipe = {recipe: collapses(case, recipe) for recipe in case.judged}
    evidence = evidence_of(
        case,
        (
            *("classes-found", "modes-found", "class-kl", "mode-kl", "ndb-holm"),
            *("birthday-support", "active-units", "collapsed-dimensions", "dead-latents"),
            "directions-used",
        ),
    )
    if not any(by_recipe.values()):
        return unmeasured(case, "collapse", ("classes-found", "modes-found"), "collapse", evidence)
    sentences, decided = [], True
    for recipe, findings in by_recipe.items():
        troubles = [finding for finding in findings if finding.found]
        counted = any(f.kind.startswith("lost ") for f in findings)
        if troubles:
            said = listing(
                f"{f.sentence}{f.where}"
                if f.kind.startswith("lost ")
                # What is not a count needs its name.
                else f"{f.kind}{f.where}: {f.sentence}"
                for f in troubles
            )
            sentences.append(f"{case.at_start(recipe)} collapsed in part ({said}).")
        elif not findings:
            sentences.append(f"{case.at_start(recipe)}: not measured.")
            decided = False
        else:
            said = ", ".join(finding.sentence for finding in findings)
            sentences.append(f"{case.at_start(recipe)} shows no collapse ({said}).")
            decided &= counted
    blind = ""
    if not any(f.kind.startswith("lost ") for fs in by_recipe.values() for f in fs):
        doubted = any(
            case.doubted(recipe, base)
            for recipe in case.judged
            for base in ("classes-found", "modes-found")
        )
        blind = (
            "The count of classes cannot be trusted here, so whether whole classes are missing "
            f"is not known; measuring more {case.things} would help."
            if doubted
            else "Without labels or known modes, whole modes that are missing cannot be counted; "
            "see coverage."
        )
    state: State = "clear" if decided else "undecided"
    sentence = join(*sentences, blind, seeds_seen(case))
    return Answer("collapse", QUESTIONS["collapse"], state, None, sentence, evidence)
