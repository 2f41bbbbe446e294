"""What to take for which use, from the answers; and what would change it."""

from collections.abc import Mapping

from diptych.study.verdict.case import Case
from diptych.study.verdict.collapse import lost_modes
from diptych.study.verdict.copies import sign_of_copying
from diptych.study.verdict.latent import Found, encoders, reconstruction
from diptych.study.verdict.wording import (
    SHORT_UNITS,
    capital,
    join,
    listing,
    named,
    number,
    plural,
    standing_text,
)
from diptych.study.verdict.words import Answer, Comparison, Folklore, Recommendation

__all__ = ["USES", "recommend"]

USES = {
    "look": "Samples to look at",
    "augment": "Augmentation: samples that cover the data",
    "compress": "Compression, or search by latent",
    "anomaly": "Anomaly scores",
    "teach": "Teaching",
}
FOREIGN = (
    "Likelihood alone can rank foreign data above the training data (arXiv 2003.02977): use the "
    "reconstruction error and the code beside it."
)


def recommend(
    case: Case, answers: Mapping[str, Answer], folklore: tuple[Folklore, ...]
) -> tuple[Recommendation, ...]:
    """One recommendation for each use, each a recipe or none."""
    if not case.judged:
        return tuple(
            Recommendation(
                key, use, None, "No run finished.", "A run that finishes: see why these did not."
            )
            for key, use in USES.items()
        )
    return (
        _look(case, answers),
        _augment(case, answers),
        _compress(case),
        _anomaly(case, answers),
        _teach(case, folklore),
    )


def _look(case: Case, answers: Mapping[str, Answer]) -> Recommendation:
    realism, blur = answers["realism"], answers["blur"]
    pick, because = realism.best, ""
    if pick is not None:
        because = f"Its samples look more real: {_short(case, realism)}."
        if blur.best not in (None, pick):
            because = (
                f"By {realism.comparisons[0].name} it would be {case.the(pick)}, but "
                f"{case.the(blur.best or '')} is closer to the sharpness of real images: look at "
                "both."
            )
            pick = None
    elif realism.state == "tie" and blur.best is not None:
        top = realism.comparisons[0].top
        if blur.best in top:
            pick = blur.best
            because = (
                "It looks as real as the best by the distance of features, and is closest to the "
                f"sharpness of real images: {_short(case, blur)}."
            )
    if pick is None and not because:
        because = _why_none(case, realism, "how real samples look")
    pick, because = _without_copies(case, pick, because)
    return _recommendation("look", pick, because, _change(case, realism))


def _augment(case: Case, answers: Mapping[str, Answer]) -> Recommendation:
    coverage, realism = answers["coverage"], answers["realism"]
    pick = coverage.best
    if pick is None:
        because = _why_none(case, coverage, "how much of the data is covered")
    else:
        because = f"It covers more of the data: {_short(case, coverage)}."
        lost = lost_modes(case, pick)
        if lost is not None and lost.found:
            because = (
                f"{case.at_start(pick)} is ahead in coverage, but it has {lost.kind} "
                f"({lost.told}): its samples would thin out what is rare already."
            )
            pick = None
        elif realism.best not in (None, pick):
            because += (
                f" Its samples look less real than those of {case.the(realism.best or '')}, so "
                "look through them first."
            )
    pick, because = _without_copies(case, pick, because)
    change = join(
        _change(case, coverage),
        "Whether a classifier gains by such samples was not measured; try it on held-out data.",
    )
    return _recommendation("augment", pick, because, change)


def _compress(case: Case) -> Recommendation:
    found = encoders(case)
    useful = [recipe for recipe, f in found.items() if f.useful]
    change = (
        "More or fewer latent dimensions; the rate in bits was not measured, and neither was "
        "search by latent with queries of your own."
    )
    if case.things == "points":
        because = "Finding points again was not measured."
        return _recommendation("compress", None, because, change)
    if not found:
        because = "No recipe was measured that finds the code of a picture by an encoder."
        return _recommendation("compress", None, because, "A recipe with an encoder (a VAE).")
    if not useful:
        because = _encoders_fail(case, found)
        return _recommendation(
            "compress", None, because, "A longer budget, or more latent dimensions."
        )
    if len(useful) == 1:
        (pick,) = useful
        f = found[pick]
        unit = f" {f.row.unit}" if f.row.unit in SHORT_UNITS else ""
        value = standing_text(f.standing, f.row.unit)
        others = [r for r in case.judged if r != pick and case.family(r) == "gan"]
        because = f"Its encoder finds a picture in one pass: {f.row.name} {value}."
        if f.row.ceiling is not None:
            because += f" The mean image has {number(f.row.ceiling)}{unit}."
        if others:
            because += (
                f" {case.at_start(*others)} {'have' if len(others) > 1 else 'has'} to search for "
                "every code."
            )
        return _recommendation("compress", pick, because, change)
    comparison = reconstruction(case, among=useful)
    assert comparison is not None
    unlike = [recipe for recipe in useful if recipe in comparison.left_out]
    if comparison.winner is not None and not unlike:
        because = f"Of those with an encoder it is ahead: {_figures(case, comparison)}."
        return _recommendation("compress", comparison.winner, because, change)
    reason = (
        f"{case.the(*unlike)} {'were' if len(unlike) > 1 else 'was'} measured in another way"
        if unlike
        else comparison.why_not
    )
    both = "both" if len(useful) == 2 else "all"
    because = (
        f"{case.at_start(*useful)} {both} have a useful encoder, and none is shown to be ahead: "
        f"{reason}."
    )
    remedy = "measuring them alike" if unlike else comparison.help or "a longer budget"
    return _recommendation("compress", None, because, capital(f"{remedy}."))


def _encoders_fail(case: Case, found: Mapping[str, Found]) -> str:
    """Encoders that are no better than the mean image, or not shown to be."""
    useless = [recipe for recipe, f in found.items() if f.useless]
    open_ = [recipe for recipe in found if recipe not in useless]
    return join(
        f"{case.at_start(*useless)} {'find' if len(useless) > 1 else 'finds'} pictures again no "
        "better than the mean image."
        if useless
        else "",
        f"Not every run of {case.the(*open_)} is shown to find pictures again better than the "
        "mean image."
        if open_
        else "",
    )


def _anomaly(case: Case, answers: Mapping[str, Answer]) -> Recommendation:
    found, density = encoders(case), answers["density"]
    useful = [recipe for recipe, f in found.items() if f.useful]
    without = _encoders_fail(case, found) if found else "No recipe was measured with an encoder."
    change = (
        "Anomalies of your own: nothing in this study measures how well they are told, and the "
        "order may turn with them."
    )
    if density.best in useful:
        because = (
            f"It has an encoder, and held-out data are more probable under it: "
            f"{_short(case, density)}. {FOREIGN}"
        )
        return _recommendation("anomaly", density.best, because, change)
    if len(useful) == 1:
        because = (
            "It is the only one here whose encoder gives every item an error and a code in one "
            f"pass. {FOREIGN}"
        )
        return _recommendation("anomaly", useful[0], because, change)
    if useful:
        both = "both" if len(useful) == 2 else "all"
        because = f"{case.at_start(*useful)} can {both} score items, and none is ahead. {FOREIGN}"
    elif density.best is not None:
        because = (
            f"Held-out data are more probable under {case.the(density.best)}, but a bound by "
            f"annealing takes seconds an item. {without} {FOREIGN}"
        )
    else:
        because = f"{without} No density is ahead of the others either. {FOREIGN}"
    return _recommendation("anomaly", None, because, change)


def _teach(case: Case, folklore: tuple[Folklore, ...]) -> Recommendation:
    if len(case.judged) == 1:
        pick = case.judged[0]
        return _recommendation(
            "teach", pick, "It is the only one here.", "A recipe of another family beside it."
        )
    families = {case.family(recipe) for recipe in case.judged}
    if len(families) == 1:
        because = "Recipes of one family show what a setting does; all belong on the table."
        return _recommendation("teach", None, because, "A recipe of another family beside them.")
    counts = [
        f"{sum(f.state == state for f in folklore)} {state}"
        for state in ("confirmed", "refuted", "undecided")
    ]
    because = (
        f"Show {case.the(*case.judged)} side by side: the contrast is the lesson. Of "
        f"{plural(len(folklore), 'common saying')} these data leave {listing(counts)}."
    )
    return _recommendation("teach", None, because, "Other data: the sayings depend on them.")


def _without_copies(case: Case, pick: str | None, because: str) -> tuple[str | None, str]:
    if pick is None:
        return pick, because
    sign = sign_of_copying(case, pick)
    if sign is None:
        return pick, because
    if not sign.mostly:
        return pick, f"{because} It shows a sign of copying ({sign.kind}{sign.where})."
    return None, (
        f"{case.at_start(pick)} would be ahead, but it copies its training data ({sign.told})."
    )


def _why_none(case: Case, answer: Answer, what: str) -> str:
    if len(case.judged) == 1:
        return f"Only {case.the(*case.judged)} can be judged; there is nothing to choose between."
    if answer.state == "not measured":
        return f"Not measured: {what}."
    if answer.state == "tie":
        top = answer.comparisons[0].top
        return f"{case.at_start(*top)} are alike in {what}: {_short(case, answer)}."
    if answer.comparisons and answer.comparisons[0].winner is None:
        return f"The figures do not rank {what}: {answer.comparisons[0].why_not}."
    if not answer.comparisons or len(answer.comparisons[0].standings) < 2:
        return answer.sentence  # it says why there is nothing to compare
    return f"The figures do not agree on {what}."


def _change(case: Case, answer: Answer) -> str:
    primary = answer.comparisons[0] if answer.comparisons else None
    if primary is None:
        return "Measuring it."
    if primary.help:
        return capital(f"{primary.help}.")
    if primary.lone and primary.state != "alone":
        return "Three seeds or more: one cannot show how much runs of one recipe differ."
    if primary.state == "alone":
        return "Another recipe to compare it with."
    return "A longer or shorter budget, or other data: the order may turn with both."


def _short(case: Case, answer: Answer) -> str:
    return _figures(case, answer.comparisons[0])


def _figures(case: Case, comparison: Comparison) -> str:
    parts = ", ".join(f"{case.titles[s.recipe]} {standing_text(s)}" for s in comparison.standings)
    return f"{named(comparison.name, comparison.unit)}: {parts}"


def _recommendation(key: str, pick: str | None, because: str, change: str) -> Recommendation:
    return Recommendation(key, USES[key], pick, because, change)
