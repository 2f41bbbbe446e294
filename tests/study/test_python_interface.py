"""The package as people import it."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

import diptych
from diptych.evaluation.extractors import choose
from diptych.evaluation.extractors.classifier import train_classifier
from diptych.recipes import load_recipe


def test_the_public_names_are_there() -> None:
    assert set(diptych.__all__) == {
        "GAN", "VAE", "Game", "Turn", "__version__", "build", "compare", "evaluate",
        "evaluate_sets", "load", "load_data", "open_study", "recipes", "resume", "train",
    }  # fmt: skip
    for name in diptych.__all__:
        assert getattr(diptych, name) is not None
    assert dir(diptych) == sorted(diptych.__all__)
    assert "vae" in diptych.recipes.builtin_names()
    with pytest.raises(AttributeError, match="no attribute 'vea'"):
        _ = diptych.vea


def test_importing_is_instant(environment) -> None:
    code = "import sys, diptych; print('torch' in sys.modules, 'numpy' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == ["False", "False"]


def test_the_snippet_of_the_readme(tiny_recipe, disc_data, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(choose, "train_classifier", partial(train_classifier, steps=15))
    data = diptych.load_data(np.array(disc_data.array), labels=disc_data.labels)
    run = diptych.train(tiny_recipe("vae"), data, images=160, seed=0)
    x = torch.from_numpy(data.take("test", 5)).permute(0, 3, 1, 2) / 255
    assert run.model.sample(64).shape == (64, 1, 12, 12)
    assert run.model.reconstruct(x).shape == x.shape
    mean = run.model.encode(x).mean
    assert mean.shape == (5, 4)
    path = run.model.interpolate(mean[:1], mean[1:2], steps=9)
    assert path.shape == (1, 9, 1, 12, 12)
    torch.testing.assert_close(path[0, -1], run.model.decode(mean[1:2]).mean[0].detach())
    scores = diptych.evaluate(run, data)
    assert scores["negative ELBO"].unit == "nats per image"
    assert scores["negative ELBO"].value == diptych.evaluate(run, data)["negative ELBO"].value
    both = [load_recipe(tiny_recipe(kind)) for kind in ("vae", "gan")]
    study = diptych.compare(both, data, images=160, seeds=2, metrics=("fidelity", "blur"))
    assert study.directory.parent.name == "studies"
    page = study.report(tmp_path / "report.html")
    assert page.stat().st_size > 1_000
    assert study.report(format="md").read_text().startswith("#")
    assert study.verdict.headline
    assert {row.recipe for row in study.table.rows if row.kind == "member"} == {
        "tiny-vae", "tiny-gan",
    }  # fmt: skip
    assert diptych.open_study(study.directory).results == study.results
