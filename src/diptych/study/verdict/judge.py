"""`judge`: from the table of a study to its verdict."""

from diptych.study.table import Table
from diptych.study.verdict.case import Case
from diptych.study.verdict.collapse import collapse
from diptych.study.verdict.copies import copies
from diptych.study.verdict.cost import cost
from diptych.study.verdict.folklore import folklore
from diptych.study.verdict.headline import headline, standfirst
from diptych.study.verdict.latent import latent
from diptych.study.verdict.races import blur, density, race
from diptych.study.verdict.uses import recommend
from diptych.study.verdict.words import Verdict

__all__ = ["judge"]


def judge(table: Table) -> Verdict:
    """The verdict of a study: eight answers, five recommendations, the folklore that applies.

    It is a pure function of the table. A recipe none of whose seeds finished is ahead of nobody,
    figures that are not to be trusted decide nothing, and figures of unlike protocols are not
    compared. Rules and thresholds are in `rules`, the statistics in `diptych.study.statistics`.

    Args:
        table: of a study, finished or not; any metric may be missing.
    """
    case = Case(table)
    answers = {
        answer.key: answer
        for answer in (
            race(case, "realism"),
            race(case, "coverage"),
            collapse(case),
            blur(case),
            density(case),
            latent(case),
            copies(case),
            cost(case),
        )
    }
    sayings = folklore(case, answers)
    return Verdict(
        headline=headline(case, answers),
        standfirst=standfirst(case),
        answers=tuple(answers.values()),
        recommendations=recommend(case, answers, sayings),
        folklore=sayings,
        titles=case.titles,
    )
