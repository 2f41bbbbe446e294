import json

import pytest

from diptych.errors import DataError
from diptych.evaluation.figure import Figure, protocol_of

FIGURE = Figure("FD (x)", 1 / 3, "u", "lower", 0.1, 10, 12, protocol_of(metric="fd", n=10), "n")


def test_json_round_trip_is_exact():
    assert Figure.from_json(json.loads(json.dumps(FIGURE.to_json()))) == FIGURE


def test_a_note_may_be_missing_but_nothing_else():
    record = FIGURE.to_json()
    del record["note"]
    assert Figure.from_json(record).note == ""
    del record["floor"]
    with pytest.raises(DataError, match="floor"):
        Figure.from_json(record)
    with pytest.raises(DataError, match="extra"):
        Figure.from_json({**FIGURE.to_json(), "extra": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_a_number_is_refused(value):
    with pytest.raises(DataError, match="not as a number"):
        Figure("a", value, "", "lower", None, None, None, "p")
    with pytest.raises(DataError, match="not as a number"):
        Figure("a", 0.0, "", "lower", value, None, None, "p")


def test_unknown_direction_is_refused():
    with pytest.raises(DataError, match="sideways"):
        Figure("a", 0.0, "", "sideways", None, None, None, "p")


def test_protocol_is_pinned_and_sees_every_part():
    # A changed fingerprint would make all earlier evaluations incomparable without a word.
    assert protocol_of(metric="fd", n=10) == "fd-4aa287c463ac"
    assert protocol_of(n=10, metric="fd") == protocol_of(metric="fd", n=10)
    assert protocol_of(metric="fd", n=10, k=[1, {"a": 2}]) != protocol_of(metric="fd", n=10)
    with pytest.raises(DataError, match="JSON"):
        protocol_of(metric="fd", n=object())
    with pytest.raises(DataError, match="JSON"):
        protocol_of(metric="fd", n=float("nan"))
