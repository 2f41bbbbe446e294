"""One metric over all recipes: who is ahead, who is alike, and what cannot be told."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from diptych.study.statistics import LEVEL, Difference, Sample, seeds_to_settle, welch
from diptych.study.table import Row
from diptych.study.verdict.case import Case, sample_of
from diptych.study.verdict.rules import (
    ENOUGH_SEEDS,
    FACTOR,
    LONE_TIMES,
    NEAR,
    limits_of,
    smallest_of,
)
from diptych.study.verdict.wording import listing, span
from diptych.study.verdict.words import Comparison, Standing

__all__ = ["compare_first", "compare_metric", "standing_of"]

MOST_SEEDS = 20


def compare_first(case: Case, bases: Iterable[str], *, primary: bool = True) -> Comparison | None:
    """The first of these metrics that can be compared; else the first with any figure."""
    found = [
        comparison
        for base in bases
        for key in case.keys(base)
        if (comparison := compare_metric(case, key, primary=primary)) is not None
    ]

    def use(comparison: Comparison) -> int:
        several = len(comparison.standings) > 1
        judged = all(s.low is not None for s in comparison.standings)
        return 2 * several + (several and judged)

    return max(found, key=use, default=None)  # the first of equals


def compare_metric(
    case: Case, key: str, *, primary: bool = False, among: Collection[str] | None = None
) -> Comparison | None:
    """All recipes (or those named) by one metric; None if none has a figure to be trusted.

    Figures of one protocol are compared: that under which most recipes were measured. With more
    than two recipes every pair's interval is widened, so that the chance of a false lead among all
    of them stays at 5 % (Bonferroni).
    """
    recipes = case.recipes if among is None else among
    rows, left_out = _alike(case, key, recipes)
    if not rows:
        return None
    first = rows[0]
    floor = _floor(rows)
    target = floor if first.better == "closer" else None
    by_recipe = {
        recipe: sample_of((r for r in rows if r.recipe == recipe), target=target)
        for recipe in dict.fromkeys(row.recipe for row in rows)
    }
    sign = -1 if first.better == "higher" else 1
    order = sorted(by_recipe, key=lambda recipe: sign * by_recipe[recipe].mean)
    comparison = Comparison(
        key=key,
        name=first.name,
        unit=first.unit,
        better=first.better,
        floor=floor,
        standings=tuple(standing_of([r for r in rows if r.recipe == recipe]) for recipe in order),
        winner=None,
        primary=primary,
        state="alone",
        top=tuple(order),
        left_out=left_out,
        seeds_left_out=_seeds_left_out(case, key, rows),
        lone=any(sample.seeds < 2 for sample in by_recipe.values()),
        why_not="there is nothing to compare it with",
    )
    if len(order) < 2:
        return comparison
    if first.better == "closer" and floor is None:
        return replace(
            comparison,
            state="undecided",
            why_not="the floor was not measured",
            help="more held-out data, so that a floor can be measured",
        )
    contest = _Contest(case, first.base, sign, floor, target is not None, by_recipe)
    return contest.settle(comparison, order)


def standing_of(rows: Sequence[Row]) -> Standing:
    """A recipe's figure over its seeds; the interval is cut off where no value can be."""
    sample = sample_of(rows)
    low, high = sample.interval() or (None, None)
    least, most = limits_of(rows[0].base, rows[0].unit, rows[0].ceiling)
    if low is not None and least <= min(sample.values):
        low = max(low, least)
    if high is not None and most >= max(sample.values):
        high = min(high, most)
    return Standing(rows[0].recipe, sample.mean, low, high, sample.values)


def _alike(
    case: Case, key: str, recipes: Collection[str]
) -> tuple[tuple[Row, ...], dict[str, str]]:
    """The rows that may be compared, and why recipes are left out."""
    trusted = [row for row in case.rows(key) if row.trusted and row.recipe in recipes]
    protocols = dict.fromkeys(row.protocol for row in trusted)

    def use(protocol: str) -> tuple[int, int]:
        under = [row for row in trusted if row.protocol == protocol]
        return len({row.recipe for row in under}), len(under)

    common = max(protocols, key=use, default="")
    rows = tuple(row for row in trusted if row.protocol == common)
    measured = {row.recipe for row in rows}
    left_out = {}
    for recipe in recipes:
        if recipe in measured:
            continue
        if not case.finished(recipe):
            left_out[recipe] = "no seed finished"
        elif any(row.recipe == recipe for row in trusted):
            left_out[recipe] = "measured under another protocol"
        elif any(row.recipe == recipe for row in case.rows(key)):
            left_out[recipe] = "its figure cannot be trusted"
        else:
            left_out[recipe] = "not measured"
    return rows, left_out


def _seeds_left_out(case: Case, key: str, used: Sequence[Row]) -> dict[str, str]:
    """Of recipes that are compared: the seeds that are not, in words."""
    places = {(row.recipe, row.seed) for row in used}
    measured = {(row.recipe, row.seed): row for row in case.rows(key)}
    told = {}
    for recipe in dict.fromkeys(row.recipe for row in used):
        reasons: dict[str, list[str]] = {}
        for member in case.finished(recipe):
            place = recipe, member.seed
            if place in places:
                continue
            row = measured.get(place)
            reason = (
                "not measured"
                if row is None
                else "measured under another protocol"
                if row.trusted
                else "its figure cannot be trusted"
            )
            reasons.setdefault(reason, []).append(str(member.seed))
        if reasons:
            told[recipe] = "; ".join(
                f"{'seeds' if len(seeds) > 1 else 'seed'} {listing(seeds)} of "
                f"{case.the(recipe)} {'are' if len(seeds) > 1 else 'is'} left out: "
                + (reason.replace("its figure", "their figures") if len(seeds) > 1 else reason)
                for reason, seeds in reasons.items()
            )
    return told


def _floor(rows: Sequence[Row]) -> float | None:
    floors = [row.floor for row in rows if row.floor is not None]
    return math.fsum(floors) / len(floors) if floors else None


@dataclass(frozen=True)
class _Contest:
    """The pairs of one metric. `sign` is -1 where higher is better, so that less is better."""

    case: Case
    base: str
    sign: int
    floor: float | None
    distances: bool
    samples: dict[str, Sample]

    @property
    def level(self) -> float:
        return 1 - (1 - LEVEL) / math.comb(len(self.samples), 2)

    def settle(self, comparison: Comparison, order: Sequence[str]) -> Comparison:
        best = order[0]
        verdicts = {other: self.pair(best, other) for other in order[1:]}
        behind = tuple(other for other, says in verdicts.items() if says == "apart")
        top = (best, *(other for other in order[1:] if other not in behind))
        runner = order[1]
        difference = self.difference(best, runner)
        comparison = replace(
            comparison,
            behind=behind,
            top=top,
            behind_all=tuple(
                last for last in behind if all(self.pair(one, last) == "apart" for one in top)
            ),
            effect=None if difference.effect is None else abs(difference.effect),
            difference=(difference.value, difference.low, difference.high),
            smallest=self.smallest(best, runner),
        )
        if len(top) == 1:
            few = self.difference(best, runner).says(self.smallest(best, runner)) == "unclear"
            return replace(comparison, winner=best, state="ahead", why_not="", by_runs=few)
        if all(self.pair(one, other) == "alike" for one, other in combinations(top, 2)):
            return replace(
                comparison, state="tie", why_not="the difference is too small to be worth naming"
            )
        rival = next((other for other in top[1:] if self.pair(best, other) == "unclear"), top[1])
        why_not, remedy = self.doubt(best, rival, comparison)
        return replace(comparison, state="undecided", why_not=why_not, help=remedy)

    def difference(self, one: str, other: str) -> Difference:
        return welch(self.samples[one], self.samples[other], self.level)

    def pair(self, better: str, other: str) -> Literal["apart", "alike", "unclear"]:
        difference = self.difference(better, other)
        says = difference.says(self.smallest(better, other))
        if difference.lone:
            return "apart" if self.by_runs(better, other) else "unclear"
        if says == "unclear" and self.by_runs(better, other):
            return "apart"
        return says

    def by_runs(self, better: str, other: str) -> bool:
        """Whether every run of the one is far ahead of every run of the other.

        For one or two seeds: one shows no spread, and with two the factor of Student's t is so
        large that a lead which was clear at the first seed would not be with a second like it.
        """
        one, two = self.samples[better], self.samples[other]
        if min(one.seeds, two.seeds) >= ENOUGH_SEEDS:
            return False
        band, sign = self.smallest(better, other), self.sign
        return all(
            sign * (away.mean - near.mean) > 0
            and welch(near, away).says(band) == "apart"
            and self.far(near.mean, away.mean, band)
            for near in one.runs
            for away in two.runs
        )

    def smallest(self, one: str, other: str) -> float:
        """The smallest difference worth naming, in the unit of the figure."""
        rule = smallest_of(self.base)
        if rule.absolute is not None:
            size = rule.absolute * (self.case.dimensions if rule.per_dimension else 1)
            return max(size, self.bracket())
        means = [self.samples[one].mean, self.samples[other].mean]
        if self.distances or self.floor is None:
            scales = [abs(mean) for mean in means]
        else:
            scales = [abs(mean - self.floor) for mean in means]
        return rule.relative * max(*scales, abs(self.floor or 0.0))

    def bracket(self) -> float:
        """How far log p(x) lies above an AIS bound at most: the BDMC gap, in the figure's unit."""
        if self.base not in ("gaussian-ais", "gaussian-bits"):
            return 0.0
        gaps = [
            row.value
            for recipe in self.samples
            for row in self.case.of_recipe(recipe, "gaussian-bdmc-gap")
        ]
        nats = max([0.0, *gaps])
        return nats / (self.case.dimensions * math.log(2)) if "bits" in self.base else nats

    def far(self, near: float, away: float, smallest: float) -> bool:
        """Whether the lead is one that the spread between seeds could hardly make."""
        if smallest_of(self.base).absolute is not None:
            return abs(away - near) >= LONE_TIMES * smallest
        if self.floor is not None:
            if not self.distances:
                near, away = (max(0.0, self.sign * (mean - self.floor)) for mean in (near, away))
            near = max(near, NEAR * abs(self.floor))
        elif self.sign < 0:
            near, away = away, near
        return away > 0 and away >= FACTOR * near

    def doubt(self, best: str, rival: str, comparison: Comparison) -> tuple[str, str]:
        """Why the best is not ahead of a rival, and what might settle it."""
        unit = comparison.unit
        difference = self.difference(best, rival)
        samples = self.samples[best], self.samples[rival]
        lone = [r for r in (best, rival) if self.samples[r].seeds < 2]
        if difference.low is None or difference.high is None:
            return (
                "one seed without an interval shows no difference",
                "three seeds or more, which show how much runs of one recipe differ",
            )
        if lone:
            apart = difference.low > 0 or difference.high < 0
            whose = "each" if len(lone) == 2 else f"of {self.case.the(*lone)}"
            # Others may have finished, whose figures are left out.
            one = "one usable seed" if set(lone) & set(comparison.seeds_left_out) else "one seed"
            if not apart:
                why = "the intervals overlap"
            elif smallest_of(self.base).absolute is not None:
                why = f"the lead is less than {LONE_TIMES:g} times the smallest worth naming"
            else:
                why = f"the lead is less than a factor of {FACTOR:g}"
            return (
                f"{why}, and {one} {whose} cannot show how much seeds differ",
                "three seeds or more",
            )
        several = len(self.samples) > 2
        pair = f" of {self.case.the(best, rival)}" if several else ""
        what = f"the {'distances' if self.distances else 'means'}{pair}"
        what += " to the floor differ" if self.distances else " differ"
        why = f"{what} by {span(*_turned(difference), unit)}, so "
        if difference.low <= 0 <= difference.high:
            why += "it may be nothing or the other way round"
        else:
            why += (
                f"it may be smaller than {span(self.smallest(best, rival), None, None, unit)}, "
                "the smallest difference worth naming"
            )
        noisy = any((s.within or 0) > (s.between or 0) for s in samples)
        seeds = seeds_to_settle(*samples, self.level, MOST_SEEDS)
        if seeds is not None:
            remedy = f"about {seeds} seeds each, if the difference stays as it is"
            return why, remedy + (f", or measuring more {self.case.things}" if noisy else "")
        other_ways = f"measuring more {self.case.things}; " if noisy else ""
        return why, (
            f"{other_ways}a longer budget, which may part them (to name a difference so small "
            f"would take more than {MOST_SEEDS} seeds each)"
        )


def _turned(difference: Difference) -> tuple[float, float | None, float | None]:
    """The difference as a positive number with its interval."""
    value, low, high = difference.value, difference.low, difference.high
    if value >= 0 or low is None or high is None:
        return value, low, high
    return -value, -high, -low
