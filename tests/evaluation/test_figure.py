import json
from dataclasses import replace

import pytest

from diptych.errors import DataError
from diptych.evaluation import Estimate, Figure, Metric, Protocol, difference, rank

PROTOCOL = Protocol.of(metric="fd", n=10)
FD = Metric("fd", "FD", "u", "lower", "fidelity")
FIGURE = Figure.of(
    FD,
    Estimate(1 / 3, 0.2, 0.5, "bootstrap", "Small."),
    floor=Estimate(0.1, 0.0, 0.2),
    ceiling=9.0,
    protocol=PROTOCOL,
    n_real=10,
    n_fake=12,
    note="Biased.",
    extractor="x",
)


def test_a_figure_takes_what_metric_and_estimate_say():
    assert (FIGURE.key, FIGURE.name) == ("fd-x", "FD (x)")
    assert (FIGURE.low, FIGURE.high, FIGURE.interval) == (0.2, 0.5, "bootstrap")
    assert FIGURE.floor == 0.1
    assert FIGURE.note == "Small. Biased."
    assert Figure.of(FD, 1.0, protocol=PROTOCOL).key == "fd"


def test_json_round_trip_is_exact():
    protocols = {PROTOCOL.fingerprint: dict(PROTOCOL.parts)}
    assert Figure.from_json(json.loads(json.dumps(FIGURE.to_json())), protocols) == FIGURE


def test_no_field_may_be_missing_or_unknown():
    record, protocols = FIGURE.to_json(), {PROTOCOL.fingerprint: dict(PROTOCOL.parts)}
    with pytest.raises(DataError, match="extra"):
        Figure.from_json({**record, "extra": 1}, protocols)
    del record["floor"]
    with pytest.raises(DataError, match="floor"):
        Figure.from_json(record, protocols)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", None), ("value", True), ("value", 10**400), ("value", "1"), ("floor", "x"),
        ("name", 5), ("trusted", "no"), ("n_real", -1e305),
    ],
)  # fmt: skip
def test_what_was_edited_into_no_figure_is_one_sentence(field, value):
    protocols = {PROTOCOL.fingerprint: dict(PROTOCOL.parts)}
    with pytest.raises(DataError, match=f"{field}|trusted or not"):
        Figure.from_json({**FIGURE.to_json(), field: value}, protocols)


def test_a_protocol_that_was_changed_by_hand_is_found_out():
    with pytest.raises(DataError, match="missing or was changed"):
        Figure.from_json(FIGURE.to_json(), {PROTOCOL.fingerprint: {"metric": "fd", "n": 11}})
    with pytest.raises(DataError, match="missing or was changed"):
        Figure.from_json(FIGURE.to_json(), {})


@pytest.mark.parametrize("field", ["value", "floor", "low", "high", "ceiling"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_a_number_is_refused(field, value):
    with pytest.raises(DataError, match="not as a number"):
        replace(FIGURE, **{field: value})


def test_unknown_words_are_refused():
    with pytest.raises(DataError, match="sideways"):
        replace(FIGURE, better="sideways")
    with pytest.raises(DataError, match="kitchen"):
        replace(FIGURE, panel="kitchen")


def test_protocol_is_pinned_and_sees_every_part():
    # A changed fingerprint would make all earlier evaluations incomparable without a word.
    assert PROTOCOL.fingerprint == "fd-4aa287c463ac"
    assert Protocol.of(n=10, metric="fd") == PROTOCOL
    assert hash(Protocol.of(n=10, metric="fd")) == hash(PROTOCOL)
    assert Protocol.of(metric="fd", n=10, k=[1, {"a": 2}]) != PROTOCOL
    with pytest.raises(DataError, match="JSON"):
        Protocol.of(metric="fd", n=object())
    with pytest.raises(DataError, match="JSON"):
        Protocol.of(metric="fd", n=float("nan"))


def test_differences_name_what_differs():
    one = Protocol.of(metric="fd", n=10, net={"layer": 64, "dtype": "fp32"}, k=3)
    two = Protocol.of(metric="fd", n=20, net={"layer": 64, "dtype": "bf16"})
    assert one.differences(two) == [
        "n: 10 against 20",
        "net.dtype: fp32 against bf16",
        "k: 3 against nothing",
    ]
    assert one.differences(one) == []


def test_figures_of_different_protocols_are_neither_subtracted_nor_ranked():
    other = replace(FIGURE, value=1.0, protocol=Protocol.of(metric="fd", n=20))
    with pytest.raises(DataError, match="n: 10 against 20"):
        difference(FIGURE, other)
    with pytest.raises(DataError, match="different protocols"):
        rank([FIGURE, FIGURE, other])
    assert difference(FIGURE, other, force=True) == pytest.approx(-2 / 3)
    assert rank([other, FIGURE], force=True) == [1, 0]


def test_what_cannot_be_trusted_is_not_ranked():
    doubtful = replace(FIGURE, trusted=False, note="Too few.")
    with pytest.raises(DataError, match=r"cannot be trusted here .* Too few\."):
        rank([FIGURE, doubtful])
    assert rank([FIGURE, doubtful], force=True) == [0, 1]


@pytest.mark.parametrize(
    ("better", "order"), [("lower", [1, 2, 0]), ("higher", [0, 2, 1]), ("closer", [2, 0, 1])]
)
def test_the_best_comes_first(better, order):
    values = [3.0, 0.5, 2.0]  # with the floor at 2.1
    figures = [
        replace(FIGURE, value=value, better=better, floor=2.1, low=None, high=None)
        for value in values
    ]
    assert rank(figures) == order
    if better == "closer":
        with pytest.raises(DataError, match="floor was not measured"):
            rank([replace(figure, floor=None) for figure in figures])
