"""The command line in this process: what `diptych ...` prints, where, and how it ends."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from diptych import train
from diptych.__main__ import main
from diptych.evaluation.extractors import choose
from diptych.evaluation.extractors.classifier import train_classifier
from diptych.recipes import load_recipe, recipe_yaml


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def diptych(tmp_path, monkeypatch, capsys) -> Callable[..., Ended]:
    """Run `diptych ARGUMENTS` in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    # Enough to run through; what the features are worth is tested elsewhere.
    monkeypatch.setattr(choose, "train_classifier", partial(train_classifier, steps=15))

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["diptych", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture
def refused(diptych) -> Callable[..., str]:
    """Run a command that must end with a sentence on stderr and exit code 2; give the sentence."""

    def run(*arguments: object) -> str:
        ended = diptych(*arguments)
        assert (ended.code, ended.out) == (2, ""), ended
        assert "pydantic" not in ended.err
        if ended.err.startswith("diptych: "):
            assert ended.err.count("\n") == 1
        return " ".join(ended.err.replace("│", " ").split())

    return run


@pytest.fixture(scope="session")
def recipe_files(tiny_recipe, tmp_path_factory) -> dict[str, Path]:
    """YAML files of the tiny recipes by kind."""
    folder = tmp_path_factory.mktemp("recipes")
    files = {}
    for kind in ("vae", "gan"):
        files[kind] = folder / f"{kind}.yaml"
        files[kind].write_text(recipe_yaml(load_recipe(tiny_recipe(kind))))
    return files


@pytest.fixture(scope="session")
def runs(tiny_recipe, disc_data, tmp_path_factory) -> dict[str, Path]:
    """A finished run of each kind; for reading."""
    folder = tmp_path_factory.mktemp("finished")
    return {
        kind: train(tiny_recipe(kind), disc_data, images=160, out=folder / kind).directory
        for kind in ("vae", "gan")
    }
