"""What holds of verdicts in the long run, and whatever the order and the unit."""

import dataclasses
import random

import pytest
from verdict_tables import METRICS, figure, table

from diptych.study.statistics import share_limit
from diptych.study.table import Row, Table
from diptych.study.verdict import judge
from diptych.study.verdict.case import Case
from diptych.study.verdict.comparing import compare_metric
from diptych.study.verdict.copies import copying
from diptych.study.verdict.words import Comparison

STUDIES = 400
OF_FIVE_PERCENT = 0.05 + 3 * (0.05 * 0.95 / STUDIES) ** 0.5


def realism(given: Table) -> tuple[str, str | None]:
    found = next(a for a in judge(given).answers if a.key == "realism")
    return found.state, found.best


def primary(given: Table) -> Comparison:
    return next(a for a in judge(given).answers if a.key == "realism").comparisons[0]


def drawn(rng: random.Random, means: dict[str, float], seeds: int, spread: float) -> Table:
    """Runs whose distances differ between seeds, each measured with an error of its own."""
    error = 0.05
    figures = {
        recipe: {
            "fd": [
                max(0.3, mean * (1 + rng.gauss(0, spread))) + rng.gauss(0, error * mean)
                for _ in range(seeds)
            ]
        }
        for recipe, mean in means.items()
    }
    return table(figures, errors={"fd": error * max(means.values())})


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.2), (2, 0.2), (3, 0.1), (3, 0.3), (5, 0.2)])
def test_equals_are_seldom_told_apart(seeds: int, spread: float) -> None:
    rng = random.Random(100 * seeds)
    means = {"vae": 5.0, "gan": 5.0}
    alarms = sum(realism(drawn(rng, means, seeds, spread))[0] == "clear" for _ in range(STUDIES))
    assert alarms / STUDIES <= OF_FIVE_PERCENT


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize(
    ("base", "mean", "spread"),
    [
        ("recall", 0.87, 0.04),
        ("recall", 0.80, 0.03),
        ("precision", 0.86, 0.05),
        ("sharpness-ratio", 0.97, 0.05),
    ],
)
def test_equals_near_the_floor_are_seldom_told_apart(
    base: str, mean: float, spread: float, seeds: int
) -> None:
    """At the floor one has next to no distance, and any other is many times as far."""
    rng = random.Random(seeds)

    def leads() -> bool:
        figures = {
            recipe: {base: [rng.gauss(mean, spread) for _ in range(seeds)]}
            for recipe in ("vae", "gan")
        }
        case = Case(table(figures, errors={base: 0.006}))
        (key,) = case.keys(base)
        found = compare_metric(case, key)
        return found is not None and found.winner is not None

    assert sum(leads() for _ in range(STUDIES)) / STUDIES <= OF_FIVE_PERCENT


@pytest.mark.parametrize("n", [100, 1000])
def test_samples_of_the_data_are_seldom_called_copies(n: int) -> None:
    """Model and data are one: a hundredth lies near to training items, and a few are equal."""
    rng = random.Random(n)

    def share(p: float) -> float:
        return sum(rng.random() < p for _ in range(n)) / n

    alarms = 0
    for _ in range(STUDIES // 2):
        rows = []
        for base, p in (("nearest-ratio-share", 0.01), ("exact-duplicates", 0.002)):
            floor, seen = share(p), share(p)
            low, high = 1 - share_limit(1 - seen, n), share_limit(seen, n)
            rows.append(
                figure("gan", 0, base, seen, None, floor=floor, n_real=n, low=low, high=high)
            )
        case = Case(table({"gan": {"fd": [1.0]}}, rows=rows))
        alarms += any(finding.found for finding in copying(case, "gan"))
    assert alarms / (STUDIES // 2) <= 0.02


def test_nobody_of_three_equals_is_often_said_to_be_behind() -> None:
    rng = random.Random(7)
    means = {"vae": 5.0, "gan": 5.0, "vae-gan": 5.0}
    alarms = sum(bool(primary(drawn(rng, means, 3, 0.2)).behind) for _ in range(STUDIES))
    assert alarms / STUDIES <= OF_FIVE_PERCENT


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.15), (3, 0.15), (5, 0.3)])
def test_a_large_gap_is_found_nearly_always(seeds: int, spread: float) -> None:
    rng = random.Random(seeds)
    means = {"vae": 10.0, "gan": 2.5}
    found = sum(realism(drawn(rng, means, seeds, spread)) == ("clear", "gan") for _ in range(100))
    assert found >= 95


def test_more_seeds_find_a_smaller_gap() -> None:
    means = {"vae": 6.0, "gan": 4.5}
    power = []
    for seeds in (2, 3, 6):
        rng = random.Random(seeds)
        found = (realism(drawn(rng, means, seeds, 0.15))[0] == "clear" for _ in range(100))
        power.append(sum(found))
    assert power[0] < power[1] < power[2]
    assert power[2] > 50


FIGURES = {
    "vae": {"fd": [9.8, 10.1, 9.6], "recall": [0.60, 0.61, 0.59]},
    "gan": {"fd": [2.4, 2.7, 2.2], "recall": [0.77, 0.70, 0.76]},
    "vae-gan": {"fd": [2.5, 2.65, 2.2], "recall": [0.74, 0.78, 0.75]},
}


def test_the_order_of_rows_and_seeds_tells_nothing() -> None:
    given = table(FIGURES)
    shuffled = list(given.rows)
    random.Random(0).shuffle(shuffled)
    again = dataclasses.replace(given, rows=tuple(shuffled))
    assert judge(again) == judge(given)


def test_the_order_of_recipes_tells_nothing() -> None:
    one = primary(table(FIGURES))
    other = primary(table(dict(reversed(FIGURES.items()))))
    assert (one.top, one.behind, one.state) == (other.top, other.behind, other.state)


@pytest.mark.parametrize("scale", [1e-3, 250.0])
@pytest.mark.parametrize("base", ["fd", "recall"])
def test_another_unit_tells_the_same(scale: float, base: str) -> None:
    def moved(row: Row) -> Row:
        def times(number: float | None) -> float | None:
            return None if number is None else scale * number

        return dataclasses.replace(
            row, value=scale * row.value, low=times(row.low), high=times(row.high),
            floor=times(row.floor),
        )  # fmt: skip

    given = table({recipe: {base: metrics[base]} for recipe, metrics in FIGURES.items()})
    rows = tuple(moved(row) for row in given.rows)
    key = "realism" if base == "fd" else "coverage"
    one, other = (
        next(a for a in judge(t).answers if a.key == key)
        for t in (given, dataclasses.replace(given, rows=rows))
    )
    assert (one.state, one.best) == (other.state, other.best)
    assert one.comparisons[0].effect == pytest.approx(other.comparisons[0].effect)
    assert one.comparisons[0].smallest is not None
    assert other.comparisons[0].smallest == pytest.approx(scale * one.comparisons[0].smallest)


def test_higher_is_better_mirrors_lower_is_better() -> None:
    """Turning the sign of every figure and of its aim changes nothing but the sign."""
    assert METRICS["fd"][2] == "lower"
    given = table({recipe: {"fd": metrics["fd"]} for recipe, metrics in FIGURES.items()})
    rows = tuple(
        dataclasses.replace(
            row, value=-row.value, low=-(row.high or 0), high=-(row.low or 0),
            floor=-(row.floor or 0), better="higher",
        )
        for row in given.rows
    )  # fmt: skip
    one, other = primary(given), primary(dataclasses.replace(given, rows=rows))
    assert (one.top, one.behind, one.state) == (other.top, other.behind, other.state)
    assert one.smallest == pytest.approx(other.smallest)
