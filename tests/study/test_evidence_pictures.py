"""Evidence is checked on models that copy or drop a class, so that the answer is known."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from diptych.data import load_data
from diptych.evaluation.ground import lay_ground
from diptych.evaluation.measuring import all_metrics
from diptych.evaluation.results import Notebook
from diptych.evaluation.selection import Selection
from diptych.evaluation.sets import Sets
from diptych.study.evidence.classes import class_evidence
from diptych.study.evidence.copies import copies_evidence
from diptych.study.evidence.missing import Neighbourhoods, missing_evidence
from diptych.study.evidence.pictures import write_pictures


class Replays(torch.nn.Module):
    """A model whose samples are known: rows of bytes (N, H, W, C), over and over."""

    def __init__(self, rows):
        super().__init__()
        self.rows = torch.from_numpy(np.array(rows)).permute(0, 3, 1, 2).float() / 255

    def sample(self, count, *, seed=None):
        return self.rows[torch.arange(count) % len(self.rows)]


def run_of(rows):
    return SimpleNamespace(model=Replays(rows))


def picture(folder, entry):
    return np.asarray(Image.open(folder.parent / entry["picture"]))


def cell(sheet, row, column, height, width, gap=2):
    top, left = row * (height + gap), column * (width + gap)
    return sheet[top : top + height, left : left + width]


def figures_of(data, rows, n=None):
    """The figures of the evaluation for the same samples, by key without the extractor."""
    ground = lay_ground(data, n=n)
    notebook = Notebook(Selection.of(("fidelity", "copies"), all_metrics()), lambda *_: None)
    ground.measure(notebook, ground.sets(Replays(rows).sample(ground.n)))
    figures = notebook.close({}).figures
    return {figure.key.removesuffix("-classifier"): figure for figure in figures}


@pytest.fixture(scope="module")
def data(disc_data):
    return disc_data


def test_a_planted_copy_is_found_and_comes_first(data, tmp_path):
    folder = tmp_path / "page"
    samples = data.take("validation").copy()  # unseen, so as good as held out
    copied = data.take("train")[7]
    samples[13] = copied
    copies = write_pictures(run_of(samples), data, folder)["copies"]
    sheet = picture(folder, copies)
    first, nearest, elsewhere = (cell(sheet, row, 0, 12, 12)[..., :1] for row in range(3))
    assert np.array_equal(first, copied)
    assert np.array_equal(nearest, copied)
    assert not np.array_equal(elsewhere, copied)
    assert any(np.array_equal(elsewhere, image) for image in data.take("test"))
    assert copies["distances"][0][0] == 0
    assert copies["distances"][0][1] > 0
    assert "the same as a training image" in copies["sentence"]
    ratios = [a / b for a, b in copies["distances"]]
    assert ratios == sorted(ratios)
    assert (copies["columns"], len(ratios)) == (8, 8)
    assert sheet.shape == (3 * 12 + 2 * 2, 8 * 12 + 7 * 2, 3)


def test_the_numbers_said_are_the_figures_of_the_evaluation(data, tmp_path):
    rows = data.take("validation")[::-1]
    found = write_pictures(run_of(rows), data, tmp_path / "page")
    figures = figures_of(data, rows)
    share = figures["nearest-ratio-share"]
    assert f"({share.value:.2%})" in found["copies"]["sentence"]
    assert f"and {share.floor:.2%} of unseen" in found["copies"]["sentence"]
    assert "With 20 held-out images" in found["copies"]["sentence"]
    assert not share.trusted
    coverage = figures["coverage"].value
    count = len(data.splits["test"])
    assert f"(coverage {coverage:.1%})" in found["missing"]["sentence"]
    assert found["missing"]["sentence"].startswith(f"{round(count * (1 - coverage)):,} of {count}")
    worst = min(share for share in found["classes"]["coverage"] if share is not None)
    assert worst == figures["class-coverage"].value


def test_a_class_that_was_dropped_is_told_and_shown(tmp_path):
    # Two classes far apart in feature space; every sample lies among the first.
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [50.0, 0.0]])
    labels = torch.arange(60) % 3 // 2  # 40 of the first, 20 of the second
    features = centres[labels] + torch.randn(60, 2, generator=generator)
    samples = torch.randn(200, 2, generator=generator)
    images = (100 * labels + 50).to(torch.uint8)[:, None, None, None].expand(60, 5, 3, 1)
    around = Neighbourhoods.of(features, samples)
    sets = Sets(fake=images[:1], real=images)
    missing = missing_evidence(sets, around, tmp_path)
    sheet = np.asarray(Image.open(tmp_path / "missing.png"))
    for place in range(16):  # the second class, and nothing else
        assert (cell(sheet, place // 8, place % 8, 5, 3) == 150).all()
    assert not bool(around.covered[labels == 1].any())
    assert bool(around.covered[labels == 0].any())
    gone = int((~around.covered).sum())
    assert missing["sentence"].startswith(f"{gone} of 60 held-out images ({gone / 60:.1%})")
    logits = Sets(fake=torch.tensor([[5.0, 0.0]]).expand(200, 2), real=torch.eye(2)[labels] * 5)
    classes = class_evidence(logits, labels, around.covered, ("near", "far"))
    assert classes["coverage"][1] == 0
    assert classes["coverage"][0] > 0.9
    assert classes["samples"] == [1, 0]
    assert classes["real"] == pytest.approx([2 / 3, 1 / 3])
    assert "least covered class is far: 0.0%" in classes["sentence"]
    assert "No sample is taken for far." in classes["sentence"]
    assert "100.0% of held-out images right" in classes["sentence"]


def test_the_farthest_come_first_and_by_their_own_measure():
    # Held-out points on a line: a tight cluster and a loose one, each with one sample beside it.
    tight, loose = torch.arange(8) * 0.01, 100 + torch.arange(8) * 10.0
    real = torch.cat([tight, loose])[:, None]
    around = Neighbourhoods.of(real, torch.tensor([[1.0], [171.0]]))
    # In absolute terms the loose ones are farther from a sample, in their own spacing the tight.
    assert around.reach[:8].min() > around.reach[8:].max()
    by_hand = [min(abs(float(x) - 1), abs(float(x) - 171)) for x in real[:, 0]]
    radii = [sorted(abs(float(x - y)) for y in real[:, 0])[5] for x in real[:, 0]]
    expected = [d / r for d, r in zip(by_hand, radii, strict=True)]
    assert around.reach.tolist() == pytest.approx(expected, rel=1e-5)
    assert around.covered.tolist() == [share < 1 for share in expected]


def test_duplicates_without_room_are_counted_but_not_shown(tmp_path):
    # Ten equal held-out items have balls of radius 0; ten others lie far from the sample.
    others = 10 + torch.arange(10.0)[:, None]
    real = torch.cat([torch.zeros(10, 1), others])
    images = torch.cat([torch.full((10,), 9), torch.full((10,), 90)])
    images = images.to(torch.uint8)[:, None, None, None].expand(20, 2, 2, 1)
    around = Neighbourhoods.of(real, torch.full((20, 1), 1.0))
    assert not bool(around.covered.any())
    missing = missing_evidence(Sets(fake=images[:1], real=images), around, tmp_path)
    assert missing["sentence"].startswith("20 of 20")
    sheet = np.asarray(Image.open(tmp_path / "missing.png"))
    assert (cell(sheet, 0, 0, 2, 2) == 90).all()
    assert (cell(sheet, 1, 1, 2, 2) == 90).all()
    assert (cell(sheet, 1, 2, 2, 2) == 9).all()


def test_without_training_images_or_a_ruler():
    some = torch.zeros(3, 2, 2, 1, dtype=torch.uint8)
    assert (
        copies_evidence(Sets(some, some), Sets(torch.rand(3, 2), torch.rand(3, 2)), None) is None
    )


def test_enough_held_out_images_set_the_threshold(tmp_path):
    # On a line the ratio of a point is known: its distances to two lattices.
    held_out, train = torch.arange(200.0)[:, None], torch.arange(200.0)[:, None] + 0.5
    held_out[7] = 7.4  # 0.1 from training, 0.6 from the next held-out item: a ratio of 1/6
    held_out[90] = 90.3
    images = torch.zeros(200, 2, 2, 1, dtype=torch.uint8)
    fake = torch.arange(200.0)[:, None] + 0.25  # never nearer to training
    fake[:3] = torch.tensor([[20.45], [30.44], [40.3]])  # ratios of 1/9, 6/44 and 2/3
    floor = held_out + 0.2  # the second comes to lie on a training item
    sentence = copies_evidence(
        Sets(images, images, images, images), Sets(fake, held_out, floor, train), tmp_path
    )["sentence"]
    assert "0.11 times as far" in sentence
    assert "Of held-out images 1% reach 0.29 or less" in sentence  # 0.2 / 0.7 of the second
    assert "so do 2 of 200 samples (1.00%) and 0.50% of unseen" in sentence
    assert "With" not in sentence


def test_held_out_images_that_repeat_training_images_calibrate_nothing(tmp_path):
    images = torch.zeros(10, 2, 2, 1, dtype=torch.uint8)
    points = torch.arange(10.0)[:, None]
    copies = copies_evidence(
        Sets(images, images, None, images),
        Sets(points + 0.3, points, None, points),
        tmp_path,
    )
    assert "no ratio can be called suspicious" in copies["sentence"]


def test_any_kind_of_picture_and_twice_the_same(tmp_path):
    shape = (9, 7, 4)  # odd sides, not square, and an alpha channel
    rng = np.random.default_rng(3)
    path = tmp_path / "odd.npz"
    np.savez(path, images=rng.integers(0, 256, (120, *shape), np.uint8))
    data = load_data(path)
    rows = data.take("validation")
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = write_pictures(run_of(rows), data, tmp_path / "page")
    assert torch.equal(before, torch.random.get_rng_state())
    again = write_pictures(run_of(rows), data, tmp_path / "again" / "page")
    assert json.dumps(first) == json.dumps(again)
    assert first["classes"] is None  # no labels
    for entry in (first["copies"], first["missing"]):
        one, two = (tmp_path / entry["picture"]), (tmp_path / "again" / entry["picture"])
        assert one.read_bytes() == two.read_bytes()
    height, width = shape[:2]
    columns = first["copies"]["columns"]
    sheet = picture(tmp_path / "page", first["copies"])
    assert sheet.shape[:2] == (3 * height + 4, columns * (width + 2) - 2)


def test_points_have_no_pictures(tmp_path):
    data = replace(load_data("ring"), labels=None)
    found = write_pictures(SimpleNamespace(model=None), data, tmp_path)
    assert found == {"copies": None, "classes": None, "missing": None}
    assert not list(tmp_path.iterdir())
