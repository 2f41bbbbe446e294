"""Baselines are measured as members are, and are what they say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diptych import evaluate, load_data, train
from diptych.data import Data
from diptych.evaluation.fidelity.frechet import frechet_between
from diptych.evaluation.fidelity.two_sample import two_sample_accuracy
from diptych.study import baselines, gaussian
from diptych.study.baselines import measure_baselines
from diptych.study.gaussian import fit_gaussian

SETS = ("fidelity", "collapse", "blur", "copies")


def by_key(entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {figure["key"]: figure for figure in entry["figures"]}


def correlated(count: int, width: int, seed: int) -> np.ndarray:
    """Gaussian rows whose variances fall from 1 as 1/i², in a random rotation."""
    rng = np.random.default_rng(9)
    rotation = np.linalg.qr(rng.normal(size=(width, width)))[0]
    deviations = 1.0 / np.arange(1, width + 1)
    codes = np.random.default_rng(seed).normal(size=(count, width))
    return 3.0 + (codes * deviations) @ rotation.T


# The Gaussian -----------------------------------------------------------------------------------


def test_all_components_give_the_mean_and_covariance_of_the_rows() -> None:
    rows = correlated(500, 12, seed=1)
    fitted = fit_gaussian(rows, components=12)
    again = fitted.directions.T @ torch.diag(fitted.deviations**2) @ fitted.directions
    np.testing.assert_allclose(fitted.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(again, np.cov(rows.T), atol=1e-12)
    assert fitted.sigma == 0.0
    assert fitted.covered == pytest.approx(1.0)


def test_what_is_left_out_becomes_even_noise_and_no_variance_is_lost() -> None:
    rows = correlated(500, 12, seed=1)
    values = np.linalg.eigvalsh(np.cov(rows.T))[::-1]
    fitted = fit_gaussian(rows, components=12, share=0.9)
    k = len(fitted.deviations)
    assert values[:k].sum() >= 0.9 * values.sum() > values[: k - 1].sum()
    assert fitted.sigma**2 == pytest.approx(values[k:].mean())
    assert fitted.covered == pytest.approx(values[:k].sum() / values.sum())


@pytest.mark.parametrize("share", [1.0, 0.9])
def test_draws_have_the_moments_of_the_rows_within_sampling_error(share: float) -> None:
    rows = correlated(2_000, 12, seed=1)
    fitted = fit_gaussian(rows, components=12, share=share)
    count = 20_000
    drawn = fitted.sample(count, generator=torch.Generator().manual_seed(2)).numpy()
    deviations = rows.std(0)
    far = np.abs(drawn.mean(0) - rows.mean(0)) / (deviations / count**0.5)
    assert far.max() < 4.5  # standard errors, of twelve
    # Along every principal direction the variance is its eigenvalue, or sigma² where left out.
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    values, vectors = values[::-1], vectors[:, ::-1]
    values = np.where(np.arange(12) < len(fitted.deviations), values, fitted.sigma**2)
    ratio = (drawn @ vectors).var(0, ddof=1) / values
    assert np.abs(ratio - 1).max() < 4.5 * (2 / count) ** 0.5


def test_the_scale_is_that_of_the_values() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (300, 6)).astype(np.uint8)
    bytewise, whole = fit_gaussian(rows, components=6, scale=1 / 255), rows / 255
    np.testing.assert_allclose(bytewise.mean, whole.mean(0), rtol=1e-12)
    np.testing.assert_allclose(
        bytewise.deviations[0] ** 2, np.linalg.eigvalsh(np.cov(whole.T))[-1], rtol=1e-10
    )


def test_wide_rows_are_fitted_by_projections_as_well_as_exactly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = correlated(400, 60, seed=1)
    exact = fit_gaussian(rows, components=8)
    monkeypatch.setattr(gaussian, "EXACT", 16)
    before = torch.get_rng_state()
    near = fit_gaussian(rows, components=8)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_allclose(near.deviations, exact.deviations, rtol=1e-3)
    assert near.sigma == pytest.approx(exact.sigma, rel=1e-2)
    overlap = (near.directions @ exact.directions.T).abs().diagonal()
    assert bool((overlap > 0.99).all())
    assert torch.equal(near.directions, fit_gaussian(rows, components=8).directions)


def test_identical_rows_are_drawn_again() -> None:
    fitted = fit_gaussian(np.full((10, 4), 0.5), components=4)
    drawn = fitted.sample(3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(drawn, 0.5, atol=1e-7)


def discs(count: int, seed: int) -> np.ndarray:
    """Soft grey discs (N, 8, 8), of two sizes, on grey."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:8, :8]
    middle = rng.uniform(2.5, 4.5, (count, 2, 1, 1))
    radius = np.where(rng.random((count, 1, 1)) < 0.5, 1.2, 2.8)
    distance = np.hypot(rows - middle[:, 0], columns - middle[:, 1])
    return (60 + 120 * np.clip(radius + 0.5 - distance, 0, 1)).astype(np.uint8)


def test_it_has_the_moments_of_images_and_yet_is_told_from_them() -> None:
    training, held_out, other = discs(3_000, 1), discs(1_500, 2), discs(1_500, 3)
    _, draw = baselines._pca(load_data(training), seed=0)
    images = draw(1_500).reshape(1_500, -1)
    real, floor = (torch.from_numpy(x.reshape(len(x), -1) / 255.0) for x in (held_out, other))
    ideal = frechet_between(real, floor)
    assert frechet_between(real, images) < 4 * ideal  # what is cut at black and white costs a bit
    assert frechet_between(real, floor + 0.05) > 30 * ideal  # and so little of a shift is seen
    told = [
        two_sample_accuracy(real.float(), x.float(), generator=torch.Generator().manual_seed(0))
        for x in (images, floor)
    ]
    assert told[0].value > 0.9
    assert told[1].value < 0.6


# The entries ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(disc_data: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    study = tmp_path_factory.mktemp("study")
    return study, measure_baselines(disc_data, study, metrics=SETS)


def test_figures_have_the_protocols_and_floors_of_a_run_s(
    measured: tuple[Path, list[Any]],
    disc_data: Data,
    tiny_recipe: Callable[[str], dict[str, Any]],
    tmp_path: Path,
) -> None:
    run = train(tiny_recipe("gan"), disc_data, images=64, out=tmp_path / "run")
    evaluation = evaluate(run, disc_data, metrics=SETS)
    theirs = {figure.key: figure for figure in evaluation.figures}
    assert {figure.panel for figure in evaluation.figures} == set(SETS)
    for entry in measured[1]:
        figures = by_key(entry)
        assert figures.keys() == theirs.keys()
        for key, figure in figures.items():
            assert figure["protocol"] == theirs[key].protocol.fingerprint, key
            assert figure["floor"] == theirs[key].floor, key
        assert entry["protocols"].keys() == evaluation.protocols.keys()


def test_an_entry_is_what_study_json_holds(
    measured: tuple[Path, list[Any]], disc_data: Data
) -> None:
    study, entries = measured
    assert [entry["name"] for entry in entries] == ["pca", "training"]
    for entry in entries:
        json.dumps(entry, allow_nan=False)
        assert entry["directory"] == f"baselines/{entry['name']}"
        with np.load(study / entry["directory"] / "samples.npz", allow_pickle=False) as archive:
            images = archive["images"]
        assert images.dtype == np.uint8
        assert images.shape == (len(disc_data.splits["test"]), 12, 12, 1)
        with Image.open(study / entry["pictures"]["samples"]) as picture:
            assert picture.width > 8 * 12
    assert "160 training images" in entries[0]["sentence"]


def test_training_images_shown_again_are_found_out(measured: tuple[Path, list[Any]]) -> None:
    pca, training = (by_key(entry) for entry in measured[1])
    assert training["exact-duplicates"]["value"] == 1.0
    assert pca["exact-duplicates"]["value"] == 0.0


def test_what_was_measured_is_not_measured_again(
    measured: tuple[Path, list[Any]], disc_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, entries = measured

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("fitted again")

    monkeypatch.setattr(baselines, "fit_gaussian", refuse)
    assert measure_baselines(disc_data, study, metrics=SETS) == entries
    with pytest.raises(AssertionError, match="fitted again"):
        measure_baselines(disc_data, study, metrics=SETS, seed=1)
    with pytest.raises(AssertionError, match="fitted again"):
        measure_baselines(disc_data, study, metrics=("fidelity",))
    (study / "baselines" / "pca" / "samples.npz").unlink()
    with pytest.raises(AssertionError, match="fitted again"):
        measure_baselines(disc_data, study, metrics=SETS)


def test_samples_are_a_function_of_the_seed(disc_data: Data) -> None:
    for make in (baselines._pca, baselines._again):
        first, again, other = (make(disc_data, seed)[1](20) for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert 0.0 <= float(first.min()) <= float(first.max()) <= 1.0


def test_where_all_metrics_need_a_model_there_is_no_entry(disc_data: Data, tmp_path: Path) -> None:
    assert measure_baselines(disc_data, tmp_path, metrics=("negative-elbo",)) == []
    assert not (tmp_path / "baselines").exists()


def test_a_gaussian_of_gaussian_points_cannot_be_told_from_them(tmp_path: Path) -> None:
    rows = correlated(8_000, 3, seed=4).astype(np.float32)
    data = load_data(rows)
    (entry,) = measure_baselines(data, tmp_path, metrics=("fid", "c2st", "one-nn", "sliced-w2"))
    assert entry["name"] == "gaussian"
    figures = by_key(entry)
    for key in ("c2st-coordinates", "one-nn-coordinates"):
        assert abs(figures[key]["value"] - 0.5) < 0.06
    for key in ("fd-coordinates", "sliced-w2-coordinates"):
        assert figures[key]["value"] < 3 * figures[key]["floor"] + 1e-4
    with np.load(tmp_path / "baselines" / "gaussian" / "samples.npz") as archive:
        assert archive["points"].shape == (len(data.splits["test"]), 3)


def test_a_gaussian_does_not_find_the_modes_of_a_ring(tmp_path: Path) -> None:
    data = load_data("ring", num_points=4_000)
    (entry,) = measure_baselines(data, tmp_path, metrics=("collapse",))
    figures = by_key(entry)
    assert figures["high-quality-share"]["value"] < 0.1 < figures["high-quality-share"]["floor"]
