import json

import pytest

from diptych.errors import DataError
from diptych.evaluation import Figure, Metric, Protocol
from diptych.evaluation.results import Evaluation, Notebook, read_evaluation
from diptych.evaluation.selection import Selection

METRICS = [
    Metric("fd", "FD", "", "lower", "fidelity"),
    Metric("recall", "recall", "", "higher", "fidelity"),
    Metric("precision", "precision", "", "higher", "fidelity"),
    Metric("density", "density", "", "closer", "fidelity"),
    Metric("coverage", "coverage", "", "higher", "fidelity"),
    Metric("sharpness", "sharpness ratio", "", "closer", "blur"),
]
EVERYTHING = Selection.of([], METRICS)


def figure(metric: Metric, value: float = 1.0) -> Figure:
    return Figure.of(metric, value, protocol=Protocol.of(metric=metric.key, n=5))


def evaluation(*figures: Figure, subject="a run") -> Evaluation:
    return Evaluation({"run": subject}, figures, (), {}, {}, 1.0)


def test_a_selection_takes_panels_groups_and_single_metrics():
    chosen = Selection.of(["blur", "fid", "prdc"], METRICS)
    kept = [metric.key for metric in METRICS if chosen.keeps(figure(metric))]
    assert kept == ["fd", "recall", "precision", "density", "coverage", "sharpness"]
    assert chosen.within("blur") is None
    assert chosen.within("fidelity") == {"fd", "precision", "recall", "density", "coverage"}
    assert not chosen.wants("copies")
    only = Selection.of(["recall"], METRICS)
    assert [m.key for m in METRICS if only.keeps(figure(m))] == ["recall"]
    assert not only.wants("blur")


def test_nothing_chosen_is_everything():
    assert all(EVERYTHING.keeps(figure(metric)) for metric in METRICS)


def test_an_unknown_metric_is_refused_with_a_hint():
    with pytest.raises(DataError, match="did you mean precision"):
        Selection.of(["precison"], METRICS)
    with pytest.raises(DataError, match="the panels are fidelity, collapse"):
        Selection.of(["zzzzzz"], METRICS)


def test_every_metric_stands_in_the_json_form_by_its_key():
    whole = evaluation(figure(METRICS[0]), figure(METRICS[-1]))
    record = json.loads(json.dumps(whole.to_json()))
    assert list(record["metrics"]) == ["fd", "sharpness"]
    assert record["metrics"]["fd"].keys() >= {
        "value", "low", "high", "floor", "n_real", "n_fake", "protocol",
    }  # fmt: skip
    assert record["protocols"][record["metrics"]["fd"]["protocol"]] == {"metric": "fd", "n": 5}
    assert Evaluation.from_json(record) == whole
    assert whole["fd"] is whole["FD"]
    with pytest.raises(KeyError, match="there are fd, sharpness"):
        whole["fid"]


def test_a_panel_that_cannot_be_measured_does_not_end_the_others():
    notebook = Notebook(EVERYTHING)

    def fails() -> list[Figure]:
        raise DataError("too few of them")

    notebook.measure("blur", fails)
    notebook.measure("fidelity", lambda: [figure(METRICS[0])])
    result = notebook.close({})
    assert result.skipped == {"blur": "too few of them"}
    assert result.keys() == ["fd"]
    assert result.panel_seconds.keys() == {"fidelity"}


def test_figures_come_in_the_order_of_the_panels():
    notebook = Notebook(EVERYTHING)
    notebook.measure("blur", lambda: [figure(METRICS[-1])])
    notebook.measure("fidelity", lambda: [figure(METRICS[1]), figure(METRICS[0])])
    assert notebook.close({}).keys() == ["recall", "fd", "sharpness"]


def test_what_was_asked_for_and_gives_nothing_is_told():
    notebook = Notebook(Selection.of(["blur", "fid"], METRICS))
    notebook.measure("fidelity", lambda: [figure(METRICS[0])])
    notebook.measure("blur", list)
    assert "nothing of it applies" in notebook.close({}).skipped["blur"]
    with pytest.raises(DataError, match="nothing that was asked for could be measured"):
        Notebook(Selection.of(["blur"], METRICS)).close({})


def test_what_was_not_asked_for_is_not_measured():
    notebook = Notebook(Selection.of(["blur"], METRICS))
    notebook.measure("fidelity", lambda: pytest.fail("it was not asked for"))
    notebook.skip("fidelity", "nobody asked")
    notebook.measure("blur", lambda: [figure(METRICS[-1])])
    assert notebook.close({}).skipped == {}


def test_earlier_figures_of_the_same_subject_are_kept():
    old = evaluation(figure(METRICS[0], 1.0), figure(METRICS[-1], 2.0))
    new = evaluation(figure(METRICS[0], 3.0))
    both = new.together_with(old)
    assert (both["fd"].value, both["sharpness"].value) == (3.0, 2.0)
    assert new.together_with(evaluation(figure(METRICS[-1]), subject="another")) is new


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "is not an evaluation"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"schema": 1}', "has schema 1"),
        ('{"schema": 2}', "is damaged"),
        ('{"schema": 2, "metrics": 3, "protocols": {}, "subject": {}}', "is damaged"),
    ],
)
def test_a_bad_file_is_one_sentence(text, message, tmp_path):
    file = tmp_path / "evaluation.json"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_evaluation(tmp_path)


def test_a_run_that_was_not_evaluated_is_told(tmp_path):
    with pytest.raises(DataError, match="has no evaluation"):
        read_evaluation(tmp_path)
