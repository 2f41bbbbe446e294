"""Questions that one recipe may win: realism, coverage, blur, density."""

from collections.abc import Collection, Iterable, Sequence

from diptych.study.table import Row
from diptych.study.verdict.case import Case
from diptych.study.verdict.comparing import compare_first, compare_metric
from diptych.study.verdict.findings import lower
from diptych.study.verdict.rules import NOISY, QUESTIONS, RACES, Race, race_of
from diptych.study.verdict.wording import (
    capital,
    figures_of,
    join,
    listing,
    percent,
    span,
    standing_text,
)
from diptych.study.verdict.words import Answer, Comparison

__all__ = [
    "blur",
    "density",
    "left_out_sentence",
    "noise_sentence",
    "objections_to",
    "race",
    "remedy_sentence",
]

_DENSITIES = {*RACES["density"].primaries}

TRAINING = "training"
"""The name of the baseline that hands out training items; it is no model to be better than."""


def race(case: Case, question: str) -> Answer:
    """The answer to a question of `RACES`, by its rule alone."""
    rule = race_of(question, case.things)
    primary = compare_first(case, rule.primaries)
    if primary is None:
        return _unmeasured(case, question, rule)
    others = _others(case, rule, primary)
    support = [c for c in others if _supports(case, rule, c)]
    objections = [c for c in support if _objects(c, primary)]
    evidence = (primary, *others)
    figures = figures_of(primary, [case.titles[s.recipe] for s in primary.standings], case.real)
    about = join(figures, _meaning(case, primary), left_out_sentence(case, primary))

    if primary.state == "alone":
        sentence = join(_alone(case, primary), about)
        return Answer(question, QUESTIONS[question], "undecided", None, sentence, evidence)
    if primary.winner is not None and objections:
        claim = _disagreement(case, primary, objections)
        return Answer(
            question, QUESTIONS[question], "undecided", None, join(claim, about), evidence
        )
    if primary.winner is not None:
        rest = [s.recipe for s in primary.standings if s.recipe != primary.winner]
        claim = rule.win.format(best=case.the(primary.winner), rest=case.the(*rest))
        sentence = join(
            _claim(primary, claim), about, _agreement(case, support, primary), _caution(primary)
        )
        return Answer(question, QUESTIONS[question], "clear", primary.winner, sentence, evidence)
    if primary.state == "tie":
        claim = rule.tie.format(both=case.the(*primary.top))
        sentence = join(_claim(primary, claim, _ahead_of(case, primary)), about)
        return Answer(question, QUESTIONS[question], "tie", None, sentence, evidence)
    sentence = join(_open(case, rule, primary), about, remedy_sentence([primary]))
    return Answer(question, QUESTIONS[question], "undecided", None, sentence, evidence)


def blur(case: Case) -> Answer:
    """The race for sharpness, on its guard against noise; points have none."""
    if case.things == "points":
        return Answer("blur", QUESTIONS["blur"], "not measured", None, "Points cannot be blurred.")
    answer = race(case, "blur")
    if answer.best is None:
        return answer
    noise = noise_sentence(case, answer.best)
    if not noise:
        return answer
    warning = f"{noise} Its sharpness may be noise, so nobody is ahead."
    alone = f"By the sharpness alone, {answer.sentence[0].lower()}{answer.sentence[1:]}"
    return Answer(
        answer.key,
        answer.question,
        "undecided",
        None,
        join(warning, alone),
        answer.comparisons,
    )


def noise_sentence(case: Case, recipe: str) -> str:
    """That a recipe's samples have more noise than real images at some seed; else nothing."""
    rows = case.of_recipe(recipe, "noise-ratio")
    noisy = [row for row in rows if lower(row) > NOISY * (row.floor or 1.0)]
    if not noisy:
        return ""
    worst = max(noisy, key=lambda row: row.value)
    return (
        f"{case.at_start(recipe)} has more noise than real images, too: "
        f"{span(worst.value, worst.low, worst.high)} times as much."
    )


def density(case: Case) -> Answer:
    """The race for density; where only some have a bound, theirs is said and nobody is ahead."""
    answer = race(case, "density")
    if not answer.comparisons:
        return answer
    primary = answer.comparisons[0]
    base = case.rows(primary.key)[0].base
    several = len(primary.standings) > 1
    each = "Each figure is a bound" if several else "It is a bound"
    bound = (
        f"{each} by annealed importance sampling with Gaussian noise around the decoder's "
        f"mean{', the same for all' if several else ''}."
        if base.startswith("gaussian-")
        else f"{each}, from an encoder."
    )
    missing = [r for r in case.judged if r not in {s.recipe for s in primary.standings}]
    gans = [r for r in missing if case.family(r) == "gan"]
    without = ""
    if gans:
        without = (
            f"{case.at_start(*gans)} {'have' if len(gans) > 1 else 'has'} no density of "
            f"{'their' if len(gans) > 1 else 'its'} own; the metrics gaussian-ais and "
            "gaussian-bits bound one for every model."
        )
    return Answer(
        answer.key,
        answer.question,
        answer.state,
        answer.best,
        join(answer.sentence, bound, _unlike(case, answer.comparisons), without),
        answer.comparisons,
    )


def _unlike(case: Case, shown: Sequence[Comparison]) -> str:
    """A word where densities under other likelihoods are shown beside those compared."""
    primary = shown[0]
    gaussian = case.rows(primary.key)[0].base.startswith("gaussian-")
    bases = {c.key: case.rows(c.key)[0].base for c in shown}
    unlike = [
        c
        for c in shown[1:]
        if bases[c.key] in _DENSITIES and bases[c.key].startswith("gaussian-") != gaussian
    ]
    if not unlike:
        return ""
    names = capital(listing(dict.fromkeys(c.name for c in unlike)))
    whose = case.the(*dict.fromkeys(s.recipe for c in unlike for s in c.standings))
    return (
        f"{names} of {whose} {'belong' if len(unlike) > 1 else 'belongs'} to another likelihood, "
        "so these numbers must not be set against those above."
    )


def remedy_sentence(comparisons: Iterable[Comparison]) -> str:
    """What would help, once."""
    remedies = dict.fromkeys(c.help for c in comparisons if c.help)
    return f"What would help: {'; '.join(remedies)}." if remedies else ""


def left_out_sentence(case: Case, comparison: Comparison) -> str:
    """Who is not compared, and why; recipes that failed are told of elsewhere."""
    reasons: dict[str, list[str]] = {}
    for recipe, reason in comparison.left_out.items():
        if case.finished(recipe):
            reasons.setdefault(reason, []).append(recipe)
    return join(
        *(
            f"{case.at_start(*recipes)} cannot be compared here: "
            + (reason.replace("its figure", "their figures") if len(recipes) > 1 else reason)
            + "."
            for reason, recipes in reasons.items()
        ),
        *(f"{capital(reason)}." for reason in comparison.seeds_left_out.values()),
    )


def objections_to(
    case: Case, question: str, primary: Comparison, among: Collection[str]
) -> list[Comparison]:
    """Supporting metrics by which the winner of the primary is behind, among these recipes."""
    rule = race_of(question, case.things)
    support = [c for c in _others(case, rule, primary, among) if _supports(case, rule, c)]
    return [c for c in support if _objects(c, primary)]


def _supports(case: Case, rule: Race, comparison: Comparison) -> bool:
    return case.rows(comparison.key)[0].base in rule.supporting


def _others(
    case: Case, rule: Race, primary: Comparison, among: Collection[str] | None = None
) -> list[Comparison]:
    """Supporting and shown metrics, of the primary's features where they have any."""
    extractor = case.rows(primary.key)[0].extractor
    found = []
    for base in dict.fromkeys((*rule.supporting, *rule.shown)):
        keys = case.keys(base)
        own = [key for key in keys if case.rows(key)[0].extractor == extractor]
        for key in (own or list(keys))[:1]:
            comparison = compare_metric(case, key, among=among)
            if comparison is not None and key != primary.key:
                found.append(comparison)
    return found


def _objects(comparison: Comparison, primary: Comparison) -> bool:
    return primary.winner is not None and primary.winner in comparison.behind


def _claim(primary: Comparison, claim: str, more: str = "") -> str:
    once = "On one seed, " if primary.lone else ""
    return f"{f'{once}{claim}' if once else capital(claim)}{more}."


def _caution(primary: Comparison) -> str:
    if primary.lone:
        return "One seed cannot show how much runs of one recipe differ."
    if primary.by_runs:
        return (
            "Intervals over two seeds are wide, but every run of the one is far ahead of every "
            "run of the others."
        )
    return ""


def _ahead_of(case: Case, primary: Comparison) -> str:
    return f", ahead of {case.the(*primary.behind_all)}" if primary.behind_all else ""


def _open(case: Case, rule: Race, primary: Comparison) -> str:
    sentence = f"Cannot tell {rule.unclear} at this budget: {primary.why_not}."
    if primary.behind:
        sentence = (
            f"Cannot tell between {case.the(*primary.top)} {rule.unclear} at this budget: "
            f"{primary.why_not}. {_leaders(case, primary)} ahead of {case.the(*primary.behind)}."
        )
    return sentence


def _leaders(case: Case, primary: Comparison) -> str:
    """Who is for certain ahead of those behind: all at the top, or the best alone."""
    if primary.behind_all != primary.behind:
        return f"{case.at_start(primary.top[0])} is"
    return "Both are" if len(primary.top) == 2 else "All of them are"


def _alone(case: Case, primary: Comparison) -> str:
    recipe = primary.standings[0].recipe
    if len(case.recipes) == 1:
        return f"Only {case.the(recipe)} was trained, so there is nothing to compare it with."
    return (
        f"Only {case.the(recipe)} has a figure to go by ({primary.name}), so there is nothing to "
        "compare it with."
    )


def _agreement(case: Case, support: Sequence[Comparison], primary: Comparison) -> str:
    same = [_spoken(case, c) for c in support if c.winner == primary.winner]
    # What has no interval on one seed could not have told.
    open_ = [
        _spoken(case, c)
        for c in support
        if c.winner != primary.winner and all(s.low is not None for s in c.standings)
    ]
    agree = f"{capital(listing(same))} {'agree' if len(same) > 1 else 'agrees'}" if same else ""
    silent = f"{listing(open_)} cannot tell" if open_ else ""
    if agree and silent:
        return f"{agree}; {silent}."
    return f"{agree or capital(silent)}." if agree or silent else ""


def _spoken(case: Case, comparison: Comparison) -> str:
    """The name in a sentence; a density of neighbours is not one of probability."""
    if case.rows(comparison.key)[0].base != "density":
        return comparison.name
    return comparison.name.replace("density", "density of neighbours")


def _disagreement(case: Case, primary: Comparison, objections: Sequence[Comparison]) -> str:
    assert primary.winner is not None
    against = []
    for comparison in objections:
        ahead = comparison.standings[0].recipe
        figures = ", ".join(
            f"{case.titles[s.recipe]} {standing_text(s)}" for s in comparison.standings
        )
        against.append(f"by {_spoken(case, comparison)} {case.the(ahead)} ({figures})")
    return (
        f"The figures disagree, so nobody is ahead: by {primary.name} it is "
        f"{case.the(primary.winner)}, {listing(against)}."
    )


def _meaning(case: Case, primary: Comparison) -> str:
    """Each standing on the way from the baseline to the floor."""
    if primary.floor is None:
        return ""
    protocol = _protocol(case, primary)
    models = [
        (name, row)
        for name, row in case.baselines(primary.key, protocol)
        if name != TRAINING and primary.floor is not None
    ]
    if not models:
        return ""
    floor = primary.floor
    name, base = min(models, key=lambda pair: abs(pair[1].value - floor))
    distance = abs(base.value - floor)
    title = case.baseline_title(name)
    if not distance:
        return ""
    parts: list[str] = []
    worse: list[str] = []
    for standing in primary.standings:
        share = 1 - _distance(primary, standing.mean, floor) / distance
        who = case.the(standing.recipe)
        if share < 0:
            worse.append(standing.recipe)
        else:
            parts.append(f"{who} {'' if parts else 'has gone '}{percent(min(share, 1.0))}")
    value = span(base.value, base.low, base.high)
    way = f"of the way from there to {case.real} {listing(parts)}" if parts else ""
    below = f"{case.the(*worse)} {'are' if len(worse) > 1 else 'is'} worse" if worse else ""
    return f"The baseline {title} has {value}: {'; '.join(p for p in (way, below) if p)}."


def _distance(primary: Comparison, mean: float, floor: float) -> float:
    if primary.better == "closer":
        return abs(mean - floor)
    return max(0.0, floor - mean if primary.better == "higher" else mean - floor)


def _protocol(case: Case, primary: Comparison) -> str:
    recipe = primary.standings[0].recipe
    rows: Sequence[Row] = [r for r in case.rows(primary.key) if r.recipe == recipe and r.trusted]
    return rows[0].protocol


def _unmeasured(case: Case, question: str, rule: Race) -> Answer:
    doubted = [case.rows(key)[0].name for base in rule.primaries for key in case.keys(base)]
    if doubted:
        sentence = (
            f"Cannot tell {rule.unclear}: {listing(dict.fromkeys(doubted))} cannot be trusted "
            f"here. {_first_note(case, rule)} What would help: measuring more {case.things}."
        )
        return Answer(question, QUESTIONS[question], "undecided", None, " ".join(sentence.split()))
    names = listing(rule.primaries[:2]) if len(rule.primaries) > 1 else rule.primaries[0]
    if not case.judged:
        sentence = "Not measured: no run finished."
    else:
        sentence = f"Not measured: ask for the metrics {names}."
        if len(rule.primaries) == 1:
            sentence = f"Not measured: ask for the metric {names}."
    return Answer(question, QUESTIONS[question], "not measured", None, sentence)


def _first_note(case: Case, rule: Race) -> str:
    for base in rule.primaries:
        for key in case.keys(base):
            for row in case.rows(key):
                if row.note:
                    return row.note if row.note.endswith((".", "!", "?")) else f"{row.note}."
    return ""
