from functools import partial

import numpy as np
import pytest

from diptych import evaluate_sets, load_data
from diptych.errors import DataError
from diptych.evaluation import measuring, two_sets
from diptych.evaluation.extractors import choose
from diptych.evaluation.extractors.classifier import train_classifier

RNG = np.random.default_rng(3)
BLOBS = np.clip(RNG.normal(128, 60, (240, 12, 12, 1)), 0, 255).astype(np.uint8)
FLAT = np.clip(RNG.normal(128, 6, (120, 12, 12, 1)), 0, 255).astype(np.uint8)
FIDELITY = ("fid", "prdc")


@pytest.fixture(autouse=True)
def quick_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "train_classifier", partial(train_classifier, steps=10))


def test_the_same_distribution_scores_its_floor_and_another_does_not():
    same = evaluate_sets(BLOBS[:160], BLOBS[160:], features=["pixels"], metrics=FIDELITY)
    other = evaluate_sets(BLOBS[:160], FLAT, features=["pixels"], metrics=FIDELITY)
    figure = same["fd-pixels"]
    assert figure.value == pytest.approx(figure.floor, rel=0.3)
    assert other["fd-pixels"].value > 1.5 * other["fd-pixels"].floor
    assert other["fd-pixels"].floor == figure.floor  # the real side is the same


def test_the_real_set_is_parted_and_nothing_is_used_twice():
    halves = evaluate_sets(BLOBS, FLAT, features=["pixels"], metrics=FIDELITY)
    assert halves["fd-pixels"].n_real == 120
    with_classifier = evaluate_sets(
        BLOBS, FLAT, features=["classifier", "pixels"], metrics=FIDELITY
    )
    assert with_classifier["fd-classifier"].n_real == 60
    assert with_classifier["fd-pixels"].n_real == 60


def test_no_item_is_in_two_sets_and_rows_are_not_paired(monkeypatch):
    numbered = np.zeros((250, 12, 12, 1), np.uint8)
    numbered[:, 0, 0, 0] = np.arange(250)
    seen = []
    monkeypatch.setattr(
        two_sets, "measure_features", lambda _, sets, *__, **___: seen.append(sets)
    )
    for features in (["pixels"], ["classifier"]):
        with pytest.raises(DataError, match="nothing that was asked for"):
            evaluate_sets(numbered, numbered, features=features, metrics=FIDELITY)
        real, floor, fake = (
            set(items[:, 0, 0, 0].tolist())
            for items in (seen[-1].real, seen[-1].floor, seen[-1].fake)
        )
        assert len(real) == len(floor) == len(fake)
        assert not real & floor
        # The same rows of both sets would be pairs, where one is the other in disguise.
        share = len(real & fake) / len(real)
        assert share == pytest.approx(len(real) / 250, abs=0.15)


def test_copies_are_looked_for_everywhere_whatever_describes_the_images(monkeypatch):
    monkeypatch.setattr(measuring, "EXPENSIVE", frozenset({"wavelets"}))
    train, real = BLOBS[:160], BLOBS[160:]
    result = evaluate_sets(
        real, train[100:], train=train, features=["wavelets"], metrics=["copies", "fid"]
    )
    assert result["exact-duplicates"].value == 1.0
    assert result["authenticity-pixels"].value == 0
    assert result["fd-wavelets"].n_real == 40
    assert [each["name"] for each in result.features] == ["wavelets", "pixels"]


def test_more_than_half_leaves_no_floor():
    whole = evaluate_sets(BLOBS, FLAT, n=120, features=["pixels"], metrics=FIDELITY)
    assert whole["fd-pixels"].floor is not None
    more = evaluate_sets(BLOBS, BLOBS, n=200, features=["pixels"], metrics=FIDELITY)
    assert more["fd-pixels"].n_real == 200
    assert more["fd-pixels"].floor is None
    assert any("No floors" in remark for remark in more.remarks)
    assert any("exact copies" in remark for remark in more.remarks)  # the set against itself
    assert whole.remarks == ("array: 120 items are the reference, 120 others for the floor.",)


def test_a_split_is_the_reference_when_it_is_asked_for():
    data = load_data(BLOBS)
    result = evaluate_sets(data, FLAT, split="test", features=["pixels"], metrics=FIDELITY)
    figure = result["fd-pixels"]
    assert figure.n_real == len(data.splits["test"])
    assert figure.protocol.parts["split"] == "test"
    with pytest.raises(DataError, match="--split test"):
        evaluate_sets(data, FLAT, split="train")


def test_grey_beside_colour_is_repeated():
    colour = np.repeat(BLOBS, 3, axis=3)
    grey = evaluate_sets(BLOBS, colour[:120], features=["pixels"], metrics=FIDELITY)
    both = evaluate_sets(colour, colour[:120], features=["pixels"], metrics=FIDELITY)
    assert grey["fd-pixels"].value == pytest.approx(both["fd-pixels"].value)


def test_copies_are_looked_for_in_what_the_generator_was_trained_on():
    train, real = BLOBS[:120], BLOBS[120:]
    with pytest.raises(DataError, match="nothing that was asked for could be measured"):
        evaluate_sets(real, FLAT, features=["pixels"], metrics=["copies"])
    copied = evaluate_sets(real, train, train=train, features=["pixels"], metrics=["copies"])
    assert copied.figures
    exact = next(figure for figure in copied.figures if "exact" in figure.key)
    assert exact.value == 1.0
    assert exact.floor == 0.0


def test_a_reference_that_was_trained_on_is_refused():
    with pytest.raises(DataError, match="also stand in --train"):
        evaluate_sets(BLOBS, FLAT, train=BLOBS, features=["pixels"])


def test_a_third_set_is_brought_to_the_same_channels_or_refused():
    colour = np.repeat(BLOBS, 3, axis=3)
    result = evaluate_sets(
        colour[:120], FLAT, train=BLOBS[120:], features=["pixels"], metrics=["copies"]
    )
    assert result["exact-duplicates"].value == 0
    with pytest.raises(DataError, match="bring all three to one size"):
        evaluate_sets(BLOBS[:120], FLAT, train=colour[120:], features=["pixels"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "foo"}, "must be one of train, validation, test"),
        ({"n": 0}, "at least 6"),
        ({"n": 50.5}, "whole number"),
        ({"resize": "foo"}, "must be one of tf1, torch, pil"),
        ({"features": "pixel"}, "Did you mean pixels"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(settings, message):
    with pytest.raises(DataError, match=message):
        evaluate_sets(BLOBS, FLAT, **{"features": ["pixels"], **settings})


def test_images_of_nothing_do_not_look_perfect():
    black = evaluate_sets(BLOBS, np.zeros_like(FLAT), features=["pixels"], metrics=["prdc"])
    assert black["coverage-pixels"].value < 0.5 * black["coverage-pixels"].floor


def test_a_cache_that_cannot_be_written_costs_no_result(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "file"))
    assert evaluate_sets(BLOBS, FLAT, features=["pixels"], metrics=["fid"]).figures


def test_points_are_compared_without_features():
    points = RNG.normal(size=(200, 2)).astype(np.float32)
    result = evaluate_sets(points, points + 5)
    assert result["fd-coordinates"].value == pytest.approx(50, rel=0.2)
    with pytest.raises(DataError, match="their own features"):
        evaluate_sets(points, points, features=["pixels"])


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        (BLOBS[:, :8], "--size 12x12 brings both to one size"),
        (np.concatenate([BLOBS, BLOBS], 3), "save both in one mode"),
        (RNG.normal(size=(50, 2)).astype(np.float32), "give two sets of one kind"),
    ],
)
def test_sets_that_do_not_fit_are_one_sentence(fake, message):
    with pytest.raises(DataError, match=message):
        evaluate_sets(BLOBS, fake)


def test_a_split_that_is_too_small_is_told():
    with pytest.raises(DataError, match="at least 6 are needed"):
        evaluate_sets(BLOBS[:30], FLAT, split="test", features=["pixels"])


def test_the_seed_decides_the_parting_and_the_same_seed_the_figures():
    first = evaluate_sets(BLOBS, FLAT, features=["pixels"], metrics=FIDELITY, seed=1)
    again = evaluate_sets(BLOBS, FLAT, features=["pixels"], metrics=FIDELITY, seed=1)
    other = evaluate_sets(BLOBS, FLAT, features=["pixels"], metrics=FIDELITY, seed=2)
    assert first.figures == again.figures
    assert first["fd-pixels"].protocol != other["fd-pixels"].protocol


def test_a_generator_that_collapsed_to_one_image_is_measured_and_not_refused():
    same = np.full((120, 12, 12, 1), 90, np.uint8)
    result = evaluate_sets(BLOBS, same, features=["pixels", "wavelets"])
    assert result["recall-pixels"].value == 0
    assert result["fd-pixels"].value > result["fd-pixels"].floor
    assert "blur" not in result.skipped


@pytest.mark.parametrize("count", [1, 5])
def test_too_few_images_are_one_sentence(count):
    with pytest.raises(DataError, match=f"leave {count} items of each set"):
        evaluate_sets(BLOBS, FLAT[:count], features=["pixels"])


def test_rows_that_are_only_measured_are_not_split(tmp_path):
    np.savez(tmp_path / "same.npz", images=np.full((7, 12, 12), 3, np.uint8))
    for _ in range(2):  # packed, then from the cache
        data = load_data(tmp_path / "same.npz", split=False, cache_dir=tmp_path / "cache")
        assert {name: len(rows) for name, rows in data.splits.items()} == {
            "train": 0, "validation": 0, "test": 7,
        }  # fmt: skip
    with pytest.raises(DataError, match="at least 10"):
        load_data(tmp_path / "same.npz", cache_dir=tmp_path / "cache")
