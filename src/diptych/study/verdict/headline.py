"""The verdict in one sentence, and the line below it: budget, data, what went wrong."""

from collections.abc import Mapping, Sequence

from diptych.study.verdict.case import Case
from diptych.study.verdict.collapse import loss
from diptych.study.verdict.copies import sign_of_copying
from diptych.study.verdict.latent import encoders, found_again
from diptych.study.verdict.wording import capital, count, join, listing, plural
from diptych.study.verdict.words import Answer, Comparison

__all__ = ["headline", "standfirst"]

FEW_HELD_OUT = 1000
"""Held-out items below which distances between sets are coarse."""
MOST_PHRASES = 3
"""Of one recipe, so that the sentence can be repeated."""


def headline(case: Case, answers: Mapping[str, Answer]) -> str:
    """One sentence to repeat."""
    lost = [recipe for recipe in case.recipes if not case.finished(recipe)]
    if not case.judged:
        return capital(
            f"{_fates(case, lost)}, so there is nothing to judge." if lost else "No run."
        )
    if len(case.judged) == 1:
        (only,) = case.judged
        if lost:
            return f"{capital(_fates(case, lost))}, so only {case.the(only)} can be judged."
        trouble = _troubles(case)
        said = f" It {trouble[only]}." if only in trouble else ""
        return f"Only {case.the(only)} was trained, so there is nothing to compare.{said}"
    ahead = _ahead(case, answers)
    clauses = [f"{case.the(recipe)} {listing(said)}" for recipe, said in ahead.items()]
    decided = any(answers[key].best for key in ("realism", "coverage"))
    sentence = "; ".join(clauses) if decided else _undecided(case, answers, clauses)
    troubles = _troubles(case)
    if troubles:
        sentence += "; but " + listing(f"{case.the(r)} {said}" for r, said in troubles.items())
    if lost:
        sentence += f"; {_fates(case, lost)}"
    if clauses and any(len(case.finished(recipe)) == 1 for recipe in case.judged):
        sentence = f"on one seed, {sentence}"
    return f"{capital(sentence)}."


def standfirst(case: Case) -> str:
    """What was compared, under which budget, and what to keep in mind."""
    data = case.table.data
    name = str(data.get("name") or "the same data")
    splits = data.get("splits") or {}
    training = splits.get("train")
    items = f"{count(training)} training {case.things} of {name}" if training else name
    several = len(case.recipes) > 1
    who = case.at_start(*case.recipes) if case.recipes else "Nothing"
    sentence = f"{who} on {items}{_budget(case, several)}, {_seeds(case)}."
    return join(sentence, _trouble(case), _few_seeds(case), _held_out(case, splits))


def _ahead(case: Case, answers: Mapping[str, Answer]) -> dict[str, list[str]]:
    """What may be said for each recipe, the leader in realism first."""
    points = case.things == "points"
    # Each as a superlative, as a comparative, and with those it is better than.
    phrases = {
        "realism": (
            "makes the samples that "
            + ("lie closest to real points" if points else "look most real"),
            "makes samples that " + ("lie closer to real points" if points else "look more real"),
            f"makes samples that {'lie closer to real points' if points else 'look more real'} "
            "than those of {}",
        ),
        "coverage": (
            "covers the data best",
            "covers more of the data",
            "covers more of the data than {}",
        ),
        "blur": (
            "comes closest to real sharpness",
            "comes closer to real sharpness",
            "comes closer to real sharpness than {}",
        ),
        "density": (
            "gives held-out data the highest density",
            "gives held-out data the higher density",
            "gives held-out data a higher density than {}",
        ),
    }
    said: dict[str, list[str]] = {}
    for key, (best_of_all, better, than) in phrases.items():
        if best := answers[key].best:
            rivals = _rivals(case, answers[key].comparisons[0], best)
            if rivals is not None:
                phrase = than.format(case.the(*rivals))
            else:
                phrase = best_of_all if len(case.judged) > 2 else better
            said.setdefault(best, []).append(phrase)
    # What only one can do by itself needs no race.
    found = found_again(case)
    able = [recipe for recipe, f in encoders(case).items() if f.useful]
    if len(able) == 1 and len(found) > 1:
        said.setdefault(able[0], []).append("finds a picture again in one pass")
    if best := answers["latent"].best:
        ahead = next(c for c in answers["latent"].comparisons if c.winner == best)
        rivals = _rivals(case, ahead, best)
        most = len(case.judged) > 2 and rivals is None
        article = "the" if rivals is None else "a"
        phrase = (
            f"has {article} {'smoothest' if most else 'smoother'} latent space"
            if case.rows(ahead.key)[0].panel == "latent"
            else f"finds pictures again {'best' if most else 'better'}"
        )
        said.setdefault(best, []).append(
            phrase if rivals is None else f"{phrase} than {case.the(*rivals)}"
        )
    return {recipe: phrases[:MOST_PHRASES] for recipe, phrases in said.items()}


def _rivals(case: Case, comparison: Comparison, best: str) -> tuple[str, ...] | None:
    """Those that the best was compared with, where others could not be compared; else None."""
    if len(comparison.standings) == len(case.judged):
        return None
    return tuple(s.recipe for s in comparison.standings if s.recipe != best)


def _undecided(case: Case, answers: Mapping[str, Answer], clauses: Sequence[str]) -> str:
    both = case.the(*case.judged)
    states = {key: answers[key].state for key in ("realism", "coverage")}
    also = f"; {'; '.join(clauses)}" if clauses else ""
    if set(states.values()) == {"not measured"}:
        return f"nothing was measured that tells the samples of {both} apart{also}"
    if set(states.values()) == {"tie"}:
        return f"{both} are alike in how real their samples are and in how much they cover{also}"
    if states["realism"] == "tie":
        how = (
            "lie equally close to real points" if case.things == "points" else "look equally real"
        )
        return f"the samples of {both} {how}{also}"
    if behind := _behind(case, answers["realism"]):
        return f"{behind}{also}"
    whose = f"the samples of {both}" if clauses else both
    return f"cannot tell {whose} apart at this budget{also}"


def _behind(case: Case, answer: Answer) -> str:
    """Several at the top, and somebody for certain behind."""
    if not answer.comparisons or answer.state != "undecided":
        return ""
    primary = answer.comparisons[0]
    if primary.state != "undecided" or not primary.behind or len(primary.top) < 2:
        return ""
    top, last = case.the(*primary.top), case.the(*primary.behind_all)
    if not last:
        return ""
    more = "lie closer to real points" if case.things == "points" else "look more real"
    return f"the samples of {top} cannot be told apart, and {more} than those of {last}"


def _troubles(case: Case) -> dict[str, str]:
    """Losses that no lead makes good."""
    found: dict[str, list[str]] = {}
    for recipe in case.judged:
        if lost := loss(case, recipe):
            found.setdefault(recipe, []).append(lost)
        sign = sign_of_copying(case, recipe)
        if sign is not None and sign.mostly:
            found.setdefault(recipe, []).append("copies its training data")
        elif sign is not None:
            found.setdefault(recipe, []).append(f"shows a sign of copying{sign.where}")
    return {recipe: listing(said) for recipe, said in found.items()}


def _fates(case: Case, recipes: Sequence[str]) -> str:
    """How each of these ended without a single finished run."""
    return listing(f"{case.the(recipe)} {_fate(case, recipe)}" for recipe in recipes)


def _fate(case: Case, recipe: str) -> str:
    members = case.members(recipe)
    statuses = {member.status for member in members}
    every = " at every seed" if len(members) > 1 else ""
    if statuses == {"diverged"}:
        return f"diverged{every}"
    if statuses <= {"crashed", "diverged"}:
        return f"crashed{every}" if statuses == {"crashed"} else f"diverged or crashed{every}"
    return "has not finished"


def _budget(case: Case, several: bool) -> str:
    budget = case.table.budget
    minutes, images = budget.get("minutes"), budget.get("images")
    each = " each" if several or len(case.table.members) > 1 else ""
    if minutes is not None:
        unit = "minute" if minutes == 1 else "minutes"
        return f", {minutes:g} {unit} of training{each}"
    if images is not None:
        return f", {count(images)} {case.things} shown{each}"
    return ""


def _seeds(case: Case) -> str:
    counts = sorted({len(case.members(recipe)) for recipe in case.recipes})
    if not counts:
        return "no seed"
    if len(counts) == 1:
        return plural(counts[0], "seed")
    return f"{counts[0]} to {counts[-1]} seeds"


def _trouble(case: Case) -> str:
    """Members that diverged, crashed, were interrupted or have not begun."""
    sentences = []
    partly: list[str] = []
    for recipe in case.recipes:
        members = case.members(recipe)
        by_status: dict[str, list[int]] = {}
        for member in members:
            if member.status != "finished":
                by_status.setdefault(member.status, []).append(member.seed)
        for status, seeds in by_status.items():
            ended = {
                "diverged": "diverged",
                "crashed": "crashed",
                "interrupted": "was interrupted",
                "waiting": "has still to be trained",
            }.get(status, f"is {status}")
            where = (
                "at every seed"
                if len(seeds) == len(members) > 1
                else f"at {'seeds' if len(seeds) > 1 else 'seed'} {listing(map(str, seeds))}"
            )
            sentences.append(f"{case.at_start(recipe)} {ended} {where}.")
        if by_status and case.finished(recipe):
            partly.append(recipe)
    if partly:
        whose = "Its figures" if len(partly) == 1 else "Their figures"
        sentences.append(f"{whose} are those of the seeds that finished.")
    return " ".join(sentences)


def _few_seeds(case: Case) -> str:
    lone = [recipe for recipe in case.judged if len(case.finished(recipe)) == 1]
    if not lone or len(case.judged) < 2:
        return ""
    whose = "" if len(lone) == len(case.judged) else f" of {case.the(*lone)}"
    return (
        f"With one seed{whose} only large differences are called clear, since runs of one recipe "
        "differ, too."
    )


def _held_out(case: Case, splits: Mapping[str, int]) -> str:
    test = splits.get("test")
    if test is None or test >= FEW_HELD_OUT or not case.judged:
        return ""
    return f"Only {count(test)} held-out {case.things} measure them, so intervals are wide."
