"""From study.json to rows, and from rows to files and back."""

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diptych.errors import DiptychError
from diptych.study.table import Table
from diptych.study.tabulate import COLUMNS, tidy_rows, write_tables


def figure(key: str, name: str, value: float, **more: Any) -> dict[str, Any]:
    return {
        "key": key, "name": name, "value": value, "unit": "share", "better": "higher",
        "panel": "fidelity", "low": None, "high": None, "interval": "", "floor": None,
        "ceiling": None, "n_real": 1000, "n_fake": None, "protocol": f"{key}-01", "note": "",
        "trusted": True, **more,
    }  # fmt: skip


def results() -> dict[str, Any]:
    facts = {
        "parameters": {"encoder": 10, "decoder": 20}, "images_seen": 64, "train_seconds": 1.5,
        "evaluation_seconds": 2.0, "images_per_second": 42.7,
    }  # fmt: skip
    return {
        "schema": 2,
        "data": {"name": "d", "kind": "images", "shape": [1, 8, 8]},
        "budget": {"minutes": None, "images": 64},
        "protocols": {
            "fid-01": {"features": {"extractor": "inception"}},
            "x-01": {"by": "search"},
        },
        "members": [
            {
                "recipe": "vae", "title": "VAE", "family": "vae", "seed": 0,
                "status": "finished", "reason": "", **facts,
                "figures": [
                    figure("recall-classifier", "recall (classifier)", 1 / 3, low=0.1, high=0.6),
                    figure("fid", "FID", 8.75, note='a "note", with\na line', trusted=False),
                ],
            },
            {
                "recipe": "vae", "title": "VAE", "family": "vae", "seed": 1,
                "status": "diverged", "reason": "the loss is not finite", **facts, "figures": [],
            },
            {"recipe": "gan", "title": "GAN", "seed": 0, "status": "waiting"},
        ],
        "baselines": [
            {"name": "pca", "title": "PCA Gaussian", "figures": [figure("fid", "FID", 12.0)]}
        ],
    }  # fmt: skip


def test_rows_and_members() -> None:
    table = Table.from_results(json.loads(json.dumps(results())))
    recall, fid, baseline = table.rows
    assert (recall.key, recall.base, recall.extractor) == (
        "recall-classifier",
        "recall",
        "classifier",
    )
    assert (fid.base, fid.extractor) == ("fid", "inception"), "FID has no brackets: the protocol"
    assert (recall.value, recall.low, recall.high, recall.floor) == (1 / 3, 0.1, 0.6, None)
    assert not fid.trusted
    assert (baseline.kind, baseline.recipe, baseline.seed) == ("baseline", "pca", None)
    assert [(m.recipe, m.seed, m.status) for m in table.members] == [
        ("vae", 0, "finished"), ("vae", 1, "diverged"), ("gan", 0, "waiting"),
    ]  # fmt: skip
    assert table.members[0].parameters == 30
    assert table.members[2].train_seconds is None
    assert table.baselines == {"pca": "PCA Gaussian"}
    assert table.protocols["x-01"] == {"by": "search"}


def test_brackets_that_are_no_extractor() -> None:
    given = results()
    given["members"][0]["figures"] = [figure("dci-completeness", "DCI completeness (lasso)", 0.5)]
    assert Table.from_results(given).rows[0].base == "dci-completeness"


def test_what_is_optional_may_be_missing() -> None:
    bare = {"members": [{"recipe": "vae", "status": "waiting", "seed": 3}]}
    (member,) = Table.from_results(bare).members
    assert (member.title, member.seed, member.family) == ("vae", 3, "")


def _spoiled(path: str, value: Any) -> dict[str, Any]:
    given = results()
    at: Any = given
    *way, last = path.split("/")
    for step in way:
        at = at[int(step) if step.isdigit() else step]
    at[int(last) if last.isdigit() else last] = value
    return given


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("schema", 1, "schema 1"),
        ("schema", None, "schema None"),
        ("members", {}, "no list of members"),
        ("members/0", 7, "no recipe"),
        ("members/0/recipe", "", "no recipe"),
        ("members/0/status", None, "no status"),
        ("members/0/seed", "zero", "seed=zero"),
        ("members/0/parameters", {"encoder": "many"}, "encoder=many"),
        ("members/0/figures", "none", "no list"),
        ("members/0/figures/0", [], "no key"),
        ("members/0/figures/0/value", None, "no value"),
        ("members/0/figures/0/value", float("nan"), "value=nan"),
        pytest.param("members/0/figures/0/value", 10**400, "value=1000", id="huge"),
        ("members/0/figures/0/value", True, "value=True"),
        ("members/0/figures/0/low", "low", "low=low"),
        ("members/0/figures/0/better", "bigger", "better='bigger'"),
        ("baselines/0/name", None, "A baseline"),
        ("protocols", [1], "protocols="),
        ("data", "fashion", "data='fashion'"),
        ("data/shape", ["28", "28"], "shape="),
        ("data/splits", {"test": "all"}, "test=all"),
        ("budget/images", "many", "images=many"),
        ("members/1/seed", 0, "twice"),
    ],
)
def test_what_is_malformed_is_one_sentence(path: str, value: Any, named: str) -> None:
    with pytest.raises(DiptychError) as caught:
        Table.from_results(_spoiled(path, value))
    told = str(caught.value)
    assert named in told
    assert "\n" not in told
    assert told.endswith(".")


def test_a_list_is_no_study() -> None:
    with pytest.raises(DiptychError, match="no list of members"):
        Table.from_results([])  # type: ignore[arg-type]


def test_csv_comes_back_as_it_was(tmp_path: Path) -> None:
    table = Table.from_results(results())
    path = write_tables(table, tmp_path)[0]
    assert path == tmp_path / "results.csv"
    with path.open(encoding="utf-8", newline="") as file:
        back = list(csv.DictReader(file))
    assert list(back[0]) == list(COLUMNS)

    def parsed(name: str, cell: str) -> Any:
        if cell == "":
            return None
        return cell == "true" if COLUMNS[name] is bool else COLUMNS[name](cell)

    again = [{name: parsed(name, cell) for name, cell in row.items()} for row in back]
    assert again == list(tidy_rows(table))
    assert [(row["kind"], row["recipe"], row["seed"], row["key"]) for row in again] == [
        ("member", "vae", 0, "recall-classifier"),
        ("member", "vae", 0, "fid"),
        ("member", "vae", 1, None),
        ("member", "gan", 0, None),
        ("baseline", "pca", None, "fid"),
    ]
    assert again[0]["value"] == 1 / 3
    assert again[0]["metric"] == "recall (classifier)"
    assert again[1]["note"] == 'a "note", with\na line'
    assert again[2]["status"] == "diverged"


def test_parquet_comes_back_with_its_types(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = Table.from_results(results())
    assert write_tables(table, tmp_path)[1] == tmp_path / "results.parquet"
    back = parquet.read_table(tmp_path / "results.parquet")
    assert back.to_pylist() == list(tidy_rows(table))
    kinds = {str: "string", int: "int64", float: "double", bool: "bool"}
    assert {field.name: str(field.type) for field in back.schema} == {
        name: kinds[kind] for name, kind in COLUMNS.items()
    }


def test_without_pyarrow_there_is_the_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert write_tables(Table.from_results(results()), tmp_path) == [tmp_path / "results.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_verdict_needs_neither_torch_nor_numpy() -> None:
    program = (
        "import sys\n"
        "import diptych.study.table, diptych.study.tabulate, diptych.study.statistics\n"
        "from diptych.study.verdict import judge\n"
        "judge(diptych.study.table.Table((), ()))\n"
        "assert not {'torch', 'numpy', 'scipy', 'pyarrow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
