"""What everyone repeats about VAEs and GANs, held against these data."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from diptych.study.statistics import Sample
from diptych.study.verdict import rules
from diptych.study.verdict.case import Case, sample_of
from diptych.study.verdict.collapse import lost_modes
from diptych.study.verdict.comparing import compare_first, compare_metric
from diptych.study.verdict.copies import copying
from diptych.study.verdict.findings import between, lower, upper
from diptych.study.verdict.latent import encoders, reconstruction
from diptych.study.verdict.races import noise_sentence, objections_to
from diptych.study.verdict.rules import RACES
from diptych.study.verdict.wording import (
    capital,
    count,
    figures_of,
    join,
    listing,
    number,
    percent,
    plural,
    standing_text,
)
from diptych.study.verdict.words import Answer, Comparison, Folklore, Standing

__all__ = ["folklore"]

State = Literal["confirmed", "refuted", "undecided"]
AXES = {"realism": "realism", "coverage": "coverage", "sharpness": "blur"}
"""In which a hybrid is held against the others, and the questions that answer them."""
Held = tuple[State, str]
"""What the data say to a saying, and the sentence."""


def folklore(case: Case, answers: Mapping[str, Answer]) -> tuple[Folklore, ...]:
    """The sayings about the families that are here."""
    there = {case.family(recipe) for recipe in case.recipes}
    sayings: tuple[tuple[str, str, set[str], Callable[[], Held]], ...] = (
        ("vaes-blur", "VAEs blur.", {"vae"}, lambda: _blurred(case)),
        ("gans-sharp", "GANs are sharp.", {"gan"}, lambda: _sharp(case)),
        ("gans-collapse", "GANs drop modes.", {"gan"}, lambda: _dropped(case)),
        ("vaes-cover", "VAEs cover the data.", {"vae"}, lambda: _covered(case, answers)),
        ("gans-no-density", "A GAN has no density.", {"gan"}, lambda: _no_density(case)),
        (
            "vaes-smooth",
            "A VAE's latent space is smoother than a GAN's.",
            {"vae", "gan"},
            lambda: _smoother(case, answers),
        ),
        ("gans-hard", "GANs are hard to train.", {"gan"}, lambda: _hard(case)),
        (
            "hybrid-best",
            "The hybrid has the best of both.",
            {"hybrid", "vae", "gan"},
            lambda: _best_of_both(case, answers),
        ),
        ("gans-memorise", "GANs memorise.", {"gan"}, lambda: _memorised(case)),
    )
    found = []
    for key, claim, families, judge in sayings:
        blur = key in ("vaes-blur", "gans-sharp")
        if families <= there and not (blur and case.things == "points"):
            state, sentence = judge()
            found.append(Folklore(key, claim, state, sentence))
    return tuple(found)


# -- sharpness --------------------------------------------------------------------------------


def _blurred(case: Case) -> Held:
    return _sharpness(case, "vae", {"blurred": "confirmed", "sharp": "refuted"})


def _sharp(case: Case) -> Held:
    state, sentence = _sharpness(case, "gan", {"blurred": "refuted", "sharp": "confirmed"})
    noise = join(*(noise_sentence(case, recipe) for recipe in case.of_family("gan")))
    if state == "confirmed" and noise:
        return "undecided", join(sentence, noise, "Its sharpness may be noise.")
    return state, sentence


def _sharpness(case: Case, family: str, states: Mapping[str, State]) -> Held:
    comparison = _compared(case, "sharpness-ratio")
    standings = _of_family(case, comparison, family)
    if comparison is None or not standings:
        return "undecided", _not_known(case, "sharpness-ratio", family)
    floor = 1.0 if comparison.floor is None else comparison.floor
    kinds = {_how_sharp(standing, floor) for standing in standings}
    sentence = (
        f"Sharpness over that of real images: {_values(case, standings)}; unseen real images "
        f"{number(floor)}, blurred below {number(rules.SHARP * floor)}."
    )
    kind = kinds.pop() if len(kinds) == 1 else "unclear"
    if kind == "too sharp":
        sentence += " That is sharper than real images: noise or edges that are too hard."
    left_out = [
        f"{capital(comparison.seeds_left_out[s.recipe])}."
        for s in standings
        if s.recipe in comparison.seeds_left_out
    ]
    few = "" if left_out else _one_seed(standings)
    return states.get(kind, "undecided"), join(sentence, *left_out, few)


def _how_sharp(standing: Standing, floor: float) -> str:
    if standing.low is None or standing.high is None:
        return "unclear"
    if standing.high < rules.SHARP * floor:
        return "blurred"
    if standing.low > floor / rules.SHARP:
        return "too sharp"
    inside = standing.low >= rules.SHARP * floor and standing.high <= floor / rules.SHARP
    return "sharp" if inside else "unclear"


# -- modes and coverage -----------------------------------------------------------------------


def _dropped(case: Case) -> Held:
    found = {recipe: lost_modes(case, recipe) for recipe in case.of_family("gan")}
    looked = {recipe: finding for recipe, finding in found.items() if finding is not None}
    if not looked:
        reason = _not_known(case, "classes-found", "gan")
        if case.of_family("gan") and not (case.keys("classes-found") or case.keys("modes-found")):
            reason = "Without labels or known modes nobody can count which are missing."
        return "undecided", reason
    sentence = "; ".join(
        f"{case.at_start(recipe)}: {finding.told}" for recipe, finding in looked.items()
    )
    lost = [finding.found for finding in looked.values()]
    every = all(finding.found == finding.seeds for finding in looked.values())
    state: State = "refuted" if not any(lost) else "confirmed" if every else "undecided"
    seeds = max(finding.seeds for finding in looked.values())
    others = [
        recipe
        for recipe in case.judged
        if recipe not in looked and (theirs := lost_modes(case, recipe)) and theirs.found
    ]
    return state, join(
        f"{sentence}.",
        f"{case.at_start(*others)} {'miss' if len(others) > 1 else 'misses'} some, too."
        if others and any(lost)
        else "",
        "One seed was seen." if seeds == 1 else "",
    )


def _covered(case: Case, answers: Mapping[str, Answer]) -> Held:
    comparison = compare_first(case, RACES["coverage"].primaries)
    vaes = _of_family(case, comparison, "vae")
    if comparison is None or not vaes:
        return "undecided", _not_known(case, "recall", "vae")
    gans = _of_family(case, comparison, "gan")
    sentence = figures_of(
        comparison, [case.titles[s.recipe] for s in comparison.standings], case.real
    )
    if gans:
        return _vae_against_gan(case, comparison, answers["coverage"], sentence)
    if comparison.floor is None:
        return "undecided", sentence
    shares = [(s.low, s.high) for s in vaes]
    if all(low is not None and low >= rules.COVERED * comparison.floor for low, _ in shares):
        return "confirmed", sentence
    if all(high is not None and high < rules.UNCOVERED * comparison.floor for _, high in shares):
        return "refuted", sentence
    return "undecided", sentence


# -- density, smoothness, training ------------------------------------------------------------


def _no_density(case: Case) -> Held:
    gans = case.of_family("gan")
    rows = [row for r in gans for row in case.of_recipe(r, "gaussian-ais")]
    if rows:
        gaps = [row.value for r in gans for row in case.of_recipe(r, "gaussian-bdmc-gap")]
        values = sorted(row.value for row in rows)
        items = f" of {count(rows[0].n_real)} held-out {case.things}" if rows[0].n_real else ""
        runs = f" over {plural(len(values), 'run')}" if len(values) > 1 else ""
        known = [(lower(row), upper(row)) for row in rows if row.low is not None]
        interval = (
            f" (95 % intervals from {number(min(low for low, _ in known))} to "
            f"{number(max(high for _, high in known))})"
            if known
            else ""
        )
        gap = (
            f" On samples of its own the upper bound lies at most {number(max(gaps))} nats above."
            if gaps
            else ""
        )
        return "refuted", (
            "It has none of its own, but with Gaussian noise around its output it can be "
            f"bounded: the mean log p(x){items} is at least "
            f"{between(values[0], values[-1], number)} {rows[0].unit}{runs}{interval}.{gap}"
        )
    if any(case.doubted(recipe, "gaussian-ais") for recipe in gans):
        return "undecided", (
            "With Gaussian noise around its output it was bounded, but the bounds lie too far "
            "apart at this effort."
        )
    return "undecided", "Not measured: ask for the metrics gaussian-ais and gaussian-bdmc-gap."


def _smoother(case: Case, answers: Mapping[str, Answer]) -> Held:
    comparison = compare_first(case, RACES["latent"].primaries)
    if not (_of_family(case, comparison, "vae") and _of_family(case, comparison, "gan")):
        return "undecided", "Not measured for both: ask for the metric path-length-relative."
    assert comparison is not None
    sentence = figures_of(
        comparison, [case.titles[s.recipe] for s in comparison.standings], case.real
    )
    return _vae_against_gan(case, comparison, answers["latent"], sentence)


def _hard(case: Case) -> Held:
    gans = [recipe for recipe in case.recipes if case.family(recipe) == "gan"]
    ended = [m for r in gans for m in (*case.finished(r), *case.failed(r))]
    failed = [m for r in gans for m in case.failed(r)]
    if not ended:
        return "undecided", "No run of a GAN has ended."
    sentence = f"{len(failed) or 'None'} of {plural(len(ended), 'run')} diverged or crashed."
    if len(ended) == 1:
        fate = {"diverged": "diverged", "crashed": "crashed"}.get(ended[0].status)
        sentence = f"The one run {fate}." if fate else "The one run did not diverge or crash."
    if failed and len(failed) >= rules.HARD * len(ended):
        others = [r for r in case.recipes if case.family(r) != "gan"]
        theirs = [m for r in others for m in (*case.finished(r), *case.failed(r))]
        broken = [m for r in others for m in case.failed(r)]
        if theirs and len(broken) >= rules.HARD * len(theirs):
            return "undecided", (
                f"{sentence} So did {len(broken)} of {len(theirs)} of the other recipes."
            )
        if len(failed) < rules.HARD_RUNS:
            return "undecided", f"{sentence} One failure is no rule."
        return "confirmed", sentence
    spreads = {recipe: _spread(case, recipe) for recipe in gans}
    known = {recipe: spread for recipe, spread in spreads.items() if spread is not None}
    if not known:
        return "undecided", (
            f"{sentence} How runs differ is not known from fewer than "
            f"{rules.ENOUGH_SEEDS} seeds that finished."
        )
    said = listing(f"{case.the(r)} by {percent(spread)}" for r, spread in known.items())
    sentence += (
        f" Over seeds the distance to {case.real} varies for {said} of its mean (standard "
        "deviation, less what sampling explains)."
    )
    worst = max(known.values())
    if failed or len(known) < len(gans):
        return "undecided", sentence
    state: State = (
        "refuted"
        if worst <= rules.STEADY
        else "confirmed"
        if worst > rules.UNSTEADY
        else "undecided"
    )
    return state, sentence


def _spread(case: Case, recipe: str) -> float | None:
    """Standard deviation over seeds of the distance to the floor, over its mean."""
    for base in RACES["realism"].primaries:
        rows = case.of_recipe(recipe, base)
        if len(rows) < rules.ENOUGH_SEEDS or any(row.floor is None for row in rows):
            continue
        above = Sample.of(row.value - (row.floor or 0.0) for row in rows)
        sample = sample_of(rows)
        # Near the floor all is sampling noise, which says nothing of training.
        if above.mean <= 0 or above.between is None:
            return 0.0
        noise = sample.within or 0.0
        return math.sqrt(max(0.0, above.between - noise)) / above.mean
    return None


# -- hybrids and copies -----------------------------------------------------------------------


def _best_of_both(case: Case, answers: Mapping[str, Answer]) -> Held:
    hybrids = case.of_family("hybrid")
    if not hybrids:
        return "undecided", "No hybrid finished."
    axes = {
        **{axis: _primary(answers, key) for axis, key in AXES.items()},
        "finding pictures again": reconstruction(case, encoders(case)) if encoders(case) else None,
    }
    states = {axis: answers[key] for axis, key in AXES.items()}
    worse, level, open_ = [], [], []
    for axis, comparison in axes.items():
        if comparison is None or len(comparison.standings) < 2:
            continue
        measured = [s.recipe for s in comparison.standings]
        inside = [recipe for recipe in hybrids if recipe in measured]
        if not inside:
            continue
        said = f"{axis} ({comparison.name}: {_values(case, comparison.standings)})"
        if axis in states and _withdrawn(states[axis]):
            open_.append(axis)
        elif all(recipe in comparison.behind for recipe in inside):
            worse.append(said)
        elif comparison.winner in hybrids or comparison.state == "tie":
            level.append(said)
        else:
            open_.append(axis)
    if worse:
        return "refuted", f"It is behind in {listing(worse)}."
    if level and not open_ and len(level) > 1:
        return "confirmed", f"It is ahead, or as good as the best, in {listing(level)}."
    if not (level or open_):
        return "undecided", "Too little was measured of all three."
    sentence = f"Nobody is shown to be ahead in {listing(open_)}." if open_ else ""
    return "undecided", join(
        f"It is ahead, or as good as the best, in {listing(level)}." if level else "", sentence
    )


def _memorised(case: Case) -> Held:
    looked = {r: findings for r in case.of_family("gan") if (findings := copying(case, r))}
    if not looked:
        return "undecided", _not_known(case, "nearest-ratio-share", "gan")
    signs = [(r, f) for r, findings in looked.items() for f in findings if f.found]
    if not signs:
        said = "; ".join(
            f"{case.at_start(recipe)}: {', '.join(f.sentence for f in findings[:2])}"
            for recipe, findings in looked.items()
        )
        return "refuted", f"{said}. No seed shows a sign of copying."
    said = "; ".join(f"{case.at_start(r)}: {f.told}" for r, f in signs)
    always = {r for r, f in signs if f.found == f.seeds}
    return ("confirmed" if always == set(looked) else "undecided"), f"{said}."


# -- shared -----------------------------------------------------------------------------------


def _compared(case: Case, base: str) -> Comparison | None:
    return next((c for key in case.keys(base) if (c := compare_metric(case, key))), None)


def _of_family(case: Case, comparison: Comparison | None, family: str) -> tuple[Standing, ...]:
    standings = () if comparison is None else comparison.standings
    return tuple(s for s in standings if case.family(s.recipe) == family)


def _vae_against_gan(case: Case, comparison: Comparison, answer: Answer, sentence: str) -> Held:
    """Confirmed if the best VAE is for certain ahead of every GAN, and no figure objects."""
    only = [s.recipe for s in comparison.standings if case.family(s.recipe) in ("vae", "gan")]
    pair = compare_metric(case, comparison.key, among=only)
    assert pair is not None
    leader = case.family(pair.standings[0].recipe)
    losers = {recipe for recipe in only if case.family(recipe) != leader}
    if not losers <= set(pair.behind):
        why = f"{capital(pair.why_not)}." if pair.why_not else "Not every one of them is behind."
        return "undecided", join(sentence, why)
    best = replace(pair, winner=pair.standings[0].recipe)
    if _withdrawn(answer) or objections_to(case, answer.key, best, only):
        return "undecided", join(sentence, "Other figures disagree, so nobody is ahead.")
    return ("confirmed" if leader == "vae" else "refuted"), sentence


def _withdrawn(answer: Answer) -> bool:
    """Whether the first figure has a winner whom the answer does not call ahead."""
    return bool(answer.comparisons) and answer.best != answer.comparisons[0].winner


def _primary(answers: Mapping[str, Answer], key: str) -> Comparison | None:
    return answers[key].comparisons[0] if answers[key].comparisons else None


def _values(case: Case, standings: tuple[Standing, ...]) -> str:
    return ", ".join(f"{case.titles[s.recipe]} {standing_text(s)}" for s in standings)


def _one_seed(standings: tuple[Standing, ...]) -> str:
    return "One seed was seen." if all(len(s.seeds) == 1 for s in standings) else ""


def _not_known(case: Case, base: str, family: str) -> str:
    recipes = case.of_family(family)
    if not recipes:
        return "No run of that family finished."
    if any(case.doubted(recipe, base) for recipe in recipes):
        return f"The figure cannot be trusted here; measuring more {case.things} may help."
    return f"Not measured: ask for the metric {base}."
