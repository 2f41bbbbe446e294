"""docs/metrics.md explains every metric there is, each in the same five lines."""

import re
from pathlib import Path

import pytest

from diptych.evaluation.extractors.choose import EXTRACTORS
from diptych.evaluation.measuring import all_metrics

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
ENTRIES = re.split(r"^### ", PAGE, flags=re.M)[1:]
LABELS = ["What", "Formula", "Trust it when", "It fools you when", "Source"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.splitlines()[0])
def test_each_entry_has_the_five_lines(entry):
    assert re.findall(r"^- \*\*(.+?)\*\*", entry, flags=re.M) == LABELS


@pytest.mark.parametrize("key", [metric.key for metric in all_metrics()])
def test_every_metric_is_explained(key):
    headings = [entry.splitlines()[0] for entry in ENTRIES]
    assert any(f"`{key}`" in heading for heading in headings)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_every_extractor_is_explained(name):
    assert f"`{name}`" in PAGE.partition("## Feature extractors")[2]


def test_keys_are_unique_across_panels():
    keys = [metric.key for metric in all_metrics()]
    assert len(keys) == len(set(keys))
