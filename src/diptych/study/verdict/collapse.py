"""Did anything collapse: modes, variety, the posterior, the codes?"""

from diptych.study.table import Row
from diptych.study.verdict import rules
from diptych.study.verdict.case import Case
from diptych.study.verdict.findings import (
    Finding,
    between,
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

__all__ = ["collapse", "collapses", "loss", "lost_modes"]


def lost_modes(case: Case, recipe: str) -> Finding | None:
    """Classes, or modes of points, that real items show and samples do not."""
    for base, unit in (("classes-found", "classes"), ("modes-found", "modes")):
        rows = case.of_recipe(recipe, base)
        finding = looked(
            f"lost {unit}",
            rows,
            lambda row: _missing(row) >= 0.5,
            count,
            lambda found, row: f"{found} of {count(_reachable(row))} {row.unit} found",
        )
        if finding:
            return finding
    return None


def loss(case: Case, recipe: str) -> str:
    """What is missing at every seed, as a predicate; a collapse is called one by its size."""
    finding = lost_modes(case, recipe)
    if finding is None or finding.found < finding.seeds:
        return ""
    base = "classes-found" if finding.kind == "lost classes" else "modes-found"
    rows = case.of_recipe(recipe, base)
    if all(_missing(row) >= rules.GONE * _reachable(row) for row in rows):
        return f"collapsed ({finding.told})"
    missing = [_missing(row) for row in rows]
    amount = between(min(missing), max(missing), count)
    return f"misses {amount} of {count(_reachable(rows[0]))} {rows[0].unit}"


def _missing(row: Row) -> float:
    return _reachable(row) - row.value


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
                rough,
                lambda nats, row: (
                    f"a {row.name} of {nats} nats ({case.real} {rough(row.floor or 0)})"
                ),
            )
        )
    found.append(
        looked(
            "repeats itself",
            [row for row in case.of_recipe(recipe, "birthday-support") if row.floor],
            lambda row: upper(row) < rules.REPEATS * (row.floor or 0.0),
            rough,
            lambda items, row: (
                f"a variety of about {items} {case.things} ({case.real} {rough(row.floor or 0)}"
                + (
                    "; more is no merit, samples may be more scattered than data"
                    if row.value > (row.floor or 0.0)
                    else ""
                )
                + ")"
            ),
        )
    )
    found.append(
        looked(
            "posterior collapse",
            [row for row in case.of_recipe(recipe, "collapsed-dimensions") if row.ceiling],
            lambda row: row.value >= rules.UNUSED * (row.ceiling or 0.0),
            count,
            lambda unused, row: f"{unused} of {count(row.ceiling or 0)} latent dimensions unused",
        )
    )
    found.append(
        looked(
            "dead codes",
            case.of_recipe(recipe, "dead-latents"),
            lambda row: row.value >= rules.UNUSED,
            percent,
            lambda share, row: f"{share} of the latents move nothing",
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
                f.told
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
            said = ", ".join(
                f.told if f.spread else f.sentence  # the same everywhere needs no seeds
                for f in findings
            )
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
