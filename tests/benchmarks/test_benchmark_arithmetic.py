"""The arithmetic of the benchmarks: turns, medians, ratios, tables. Nothing here is timed."""

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.apart import Failed, Missing, apart
from benchmarks.interleave import Clock, Sample, Spread, Timings, Variant, interleave
from benchmarks.memory import above, parsed
from benchmarks.quality import compared
from benchmarks.table import Note, Row, rows_of, shown, to_json, to_markdown, to_text


class FakeClock:
    """Time that passes only where a variant says so."""

    def __init__(self):
        self.wall = self.cpu = 0.0

    def clock(self):
        return Clock(lambda: self.wall, lambda: self.cpu)

    def variant(self, name, amount, seconds, calls):
        """Work of `amount`; call k takes seconds[k] by the wall, half of it of processor."""
        durations = itertools.cycle(seconds)

        def work():
            calls.append(name)
            taken = next(durations)
            self.wall += taken
            self.cpu += taken / 2
            return amount

        return Variant(name, work)


def test_rounds_alternate_and_warmups_are_not_timed():
    time, calls = FakeClock(), []
    variants = [time.variant(name, 1, [1.0], calls) for name in "abc"]
    timings = interleave(variants, rounds=3, warmups=1, clock=time.clock())
    assert "".join(calls) == "abc" + "abc" + "cba" + "abc"
    assert {name: len(samples) for name, samples in timings.samples.items()} == dict.fromkeys(
        "abc", 3
    )


def test_rates_are_medians_by_both_clocks():
    time, calls = FakeClock(), []
    work = time.variant("a", 12, [99.0, 1.0, 2.0, 6.0], calls)  # the 99 is the warm-up
    timings = interleave([work], rounds=3, clock=time.clock())
    assert timings.rate("a", "wall") == Spread(6.0, 2.0, 12.0)
    assert timings.rate("a", "cpu") == Spread(12.0, 4.0, 24.0)
    assert timings.seconds("a", "wall").median == pytest.approx(2 / 12)


def test_ratio_is_the_median_of_ratios_within_rounds():
    def samples(*seconds):
        return [Sample(1.0, each, each) for each in seconds]

    # A machine that slows down tenfold in one round: the ratio of medians would be 1.5.
    timings = Timings({"fast": samples(1, 20, 2), "slow": samples(2, 40, 3)})
    assert timings.ratio("fast", "slow") == Spread(2.0, 1.5, 2.0)
    assert timings.ratio("slow", "fast").median == 0.5


def test_a_sample_measured_elsewhere_is_taken_as_it_is():
    time = FakeClock()
    given = Sample(5.0, 2.0, 1.0)
    timings = interleave([Variant("far", lambda: given)], rounds=1, clock=time.clock())
    assert list(timings.samples["far"]) == [given]
    assert given.rate("cpu") == 5.0
    assert given.rate("wall") == 2.5


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_nothing_or_equal_names_are_refused(names):
    with pytest.raises(ValueError, match=r"names|at least one"):
        interleave([Variant(name, lambda: 1.0) for name in names])


def test_rows_have_rates_and_ratios_and_skip_a_peer_that_is_missing():
    timings = Timings({"peer": [Sample(10, 2.0, 1.0)], "ours": [Sample(30, 2.0, 1.0)]})
    rows = rows_of("T", timings, ratio_to={"x peer": "peer", "x other": "other"})
    assert [dict(row.cells) for row in rows] == [
        {"variant": "peer", "images / CPU-s": 10.0, "images / s": 5.0, "x peer": 1},
        {
            "variant": "ours",
            "images / CPU-s": 30.0,
            "images / s": 15.0,
            "x peer": Spread(3.0, 3.0, 3.0),
        },
    ]


def test_tables_show_every_column_and_note():
    rows = [
        Row("T", {"a": 1234567, "b": Spread(0.5, 0.25, 1.0)}),
        Row("T", {"a": 2, "c": "x"}),
        Note("T", "a note"),
    ]
    assert to_markdown(rows).splitlines() == [
        "### T",
        "",
        "| a | b | c |",
        "|---|---|---|",
        "| 1,234,567 | 0.5 (0.25-1) | - |",
        "| 2 | - | x |",
        "",
        "a note",
    ]
    text = to_text(rows).splitlines()
    assert text[0] == "T"
    assert text[-1] == "  a note"
    assert to_json(rows)[0]["rows"][0]["b"] == {"median": 0.5, "low": 0.25, "high": 1.0}


def test_numbers_keep_three_digits_or_the_whole_number():
    assert [shown(each) for each in (12345.6, 0.012345, None)] == ["12,346", "0.0123", "-"]


def test_quality_is_within_the_spread_only_if_the_means_are_nearer_than_the_seeds():
    near = compared({"fp32": [10.0, 12.0], "bf16": [11.0, 12.5]})
    assert near["bf16 - fp32"] == "+0.75"
    assert near["seed spread"] == "2.00"
    assert near["within seed spread"] == "yes"
    far = compared({"fp32": [10.0, 12.0], "bf16": [14.0, 15.0]})
    assert far["within seed spread"] == "no"


def test_memory_is_read_from_the_status_of_a_process():
    status = (
        "Name:\tpython\nVmHWM:\t  900 kB\nRssAnon:\t 500 kB\nRssFile:\t 200 kB\nRssShmem:\t 0 kB\n"
    )
    before = parsed(status)
    assert before == (500 * 1024, 200 * 1024, 900 * 1024)
    after = before._replace(anonymous=before.anonymous + 10**9)
    assert above(before, after)["anonymous, GB"] == 1.0
    assert above(before, after)["mapped, GB"] == 0.0


def counting(start):
    """Built in the other process; each call gives one more."""
    numbers = itertools.count(start)
    return {"next": lambda: float(next(numbers))}


def unbuildable(error):
    if error == "missing":
        import a_peer_that_nobody_has  # noqa: F401  # type: ignore[import-not-found]
    raise RuntimeError("this one is broken")


def test_a_variant_keeps_its_state_in_its_own_process():
    with apart(counting, start=7) as (variant,):
        samples = [variant.work() for _ in range(2)]
    assert variant.name == "next"
    assert [sample.amount for sample in samples] == [7.0, 8.0]
    assert all(sample.cpu >= 0 and sample.wall >= 0 for sample in samples)


def test_what_is_missing_or_broken_over_there_is_said_here():
    with (
        pytest.raises(Missing, match="a_peer_that_nobody_has"),
        apart(unbuildable, error="missing"),
    ):
        pass
    with pytest.raises(Failed, match="this one is broken"), apart(unbuildable, error="other"):
        pass
