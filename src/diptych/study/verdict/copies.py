"""Are samples copies of training items, against the floor and planted copies?"""

from diptych.study.statistics import share_limit
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
from diptych.study.verdict.races import TRAINING
from diptych.study.verdict.rules import QUESTIONS
from diptych.study.verdict.wording import join, listing, number, percent
from diptych.study.verdict.words import Answer

__all__ = ["copies", "copying", "sign_of_copying"]


def copying(case: Case, recipe: str) -> tuple[Finding, ...]:
    """Signs that samples are training items, as far as they were looked for."""
    found = [
        looked(
            "exact copies",
            case.of_recipe(recipe, "exact-duplicates"),
            lambda row: lower(row) > _chance(row),
            percent,
            lambda share, row: f"{share} exact copies{_against(row)}",
        ),
        looked(
            "near-copies",
            case.of_recipe(recipe, "nearest-ratio-share"),
            lambda row: (
                lower(row)
                > max(
                    _chance(row),
                    rules.COPIED_TIMES * (row.floor or 0.0),
                    (row.floor or 0.0) + rules.COPIED_SHARE,
                )
            ),
            percent,
            lambda share, row: (
                f"{share} suspiciously near to a training {case.things[:-1]}{_against(row)}"
            ),
        ),
        looked(
            "nearer to training than to unseen items",
            [row for row in case.of_recipe(recipe, "nearest-ratio") if row.floor],
            lambda row: upper(row) < rules.COPIED_RATIO * (row.floor or 0.0),
            number,
            lambda ratio, row: (
                f"a median distance ratio of {ratio} (floor {number(row.floor or 0)})"
            ),
        ),
        looked(
            "nearer than a test by rank allows",
            case.of_recipe(recipe, "copying-ct"),
            lambda row: upper(row) < min(0.0, row.floor or 0.0) + rules.COPIED_Z,
            number,
            lambda z, row: f"a C_T (z of that test) of {z} (floor {number(row.floor or 0)})",
        ),
        looked(
            "members can be told",
            case.of_recipe(recipe, "membership-auc"),
            lambda row: lower(row) > (0.5 if row.floor is None else row.floor) + rules.COPIED_AUC,
            number,
            lambda auc, row: (
                f"an AUC of {auc} in telling training from unseen items (0.5 is guessing)"
            ),
        ),
    ]
    return tuple(finding for finding in found if finding is not None)


def sign_of_copying(case: Case, recipe: str) -> Finding | None:
    """The sign that most seeds show, or None: what one seed of several shows takes no lead."""
    signs = [finding for finding in copying(case, recipe) if finding.found]
    return max(signs, key=lambda f: f.found / f.seeds, default=None)


def copies(case: Case) -> Answer:
    """Per recipe: whether samples are copies, against the floor and planted copies."""
    by_recipe = {recipe: copying(case, recipe) for recipe in case.judged}
    bases = (
        *("exact-duplicates", "nearest-ratio-share", "nearest-ratio", "copying-ct"),
        "membership-auc",
    )
    evidence = evidence_of(case, bases)
    if not any(by_recipe.values()):
        return unmeasured(
            case, "copies", ("nearest-ratio-share", "exact-duplicates"), "copying", evidence
        )
    sentences, decided = [], True
    for recipe, findings in by_recipe.items():
        troubles = [finding for finding in findings if finding.found]
        if troubles:
            said = listing(f"{f.kind}{f.where}, {f.sentence}" for f in troubles)
            verb = (
                "copies its training data"
                if any(f.mostly for f in troubles)
                else "shows a sign of copying, but at too few seeds to say that it copies"
            )
            sentences.append(f"{case.at_start(recipe)} {verb} ({said}).")
        elif findings:
            said = ", ".join(f.told if f.spread else f.sentence for f in findings[:2])
            sentences.append(f"{case.at_start(recipe)} shows no sign of copying ({said}).")
        else:
            sentences.append(f"{case.at_start(recipe)}: not measured.")
            decided = False
    sentence = join(*sentences, _sight(case), seeds_seen(case))
    return Answer(
        "copies",
        QUESTIONS["copies"],
        "clear" if decided else "undecided",
        None,
        sentence,
        evidence,
    )


def _chance(row: Row) -> float:
    """The share that unseen items might have: the floor's own upper end, as it was counted too."""
    floor = row.floor or 0.0
    return floor if row.n_real is None else share_limit(min(1.0, floor), max(1, row.n_real))


def _against(row: Row) -> str:
    return "" if row.floor is None else f" (floor {percent(row.floor)})"


def _sight(case: Case) -> str:
    """Whether the instrument would see copies: planted ones, or the baseline that copies."""
    for base in ("nearest-ratio-share", "exact-duplicates"):
        for key in case.keys(base):
            row = case.rows(key)[0]
            for name, copied in case.baselines(key, row.protocol):
                if name == TRAINING:
                    title = case.baseline_title(name)
                    return f"The baseline {title} has {percent(copied.value)} there."
            if row.ceiling is not None:
                return f"Planted copies have {percent(row.ceiling)} there, so they would be seen."
    return ""
