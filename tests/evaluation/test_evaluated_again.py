"""What depends on real data alone is made once on a machine."""

import numpy as np
import pytest
import torch
from PIL import Image

from diptych import load_data, train
from diptych.errors import DataError
from diptych.evaluation import measuring
from diptych.evaluation.evaluate import evaluate
from diptych.evaluation.fidelity import frechet_infinity, kept_moments
from diptych.evaluation.fidelity.frechet import moments
from diptych.evaluation.fidelity.frechet_infinity import Blocks
from diptych.evaluation.fidelity.kept_moments import moments_kept
from diptych.evaluation.two_sets import evaluate_sets

WIDE = kept_moments.NARROWEST


class Counting:
    """Pixels under fixed random weights, and how many images passed, set by set."""

    name, fid_name, caveat = "counting", "", ""

    def __init__(self, width: int = 16, seed: int = 0) -> None:
        self.passed: list[int] = []
        self.width, self.seed = width, seed

    @property
    def protocol(self):
        return {"extractor": self.name, "width": self.width, "seed": self.seed}

    def features(self, items, /, *, progress=None):
        pixels = torch.as_tensor(np.asarray(items)).flatten(1).float() / 255
        self.passed.append(len(pixels))
        generator = torch.Generator().manual_seed(self.seed)
        return pixels @ torch.randn(pixels.shape[1], self.width, generator=generator)


@pytest.fixture
def extractor(monkeypatch, tmp_path) -> Counting:
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    counting = Counting()
    monkeypatch.setattr(measuring, "make_extractor", lambda name, **settings: counting)
    return counting


def blobs(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)


def test_a_folder_is_described_once_whatever_is_held_against_it(extractor, tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    for number, image in enumerate(blobs(80, 0)):
        Image.fromarray(image[..., 0]).save(folder / f"{number:03}.png")
    asked = {"features": ["pixels"], "metrics": ["fid", "kid"]}
    first = evaluate_sets(str(folder), blobs(40, 1), **asked)
    assert extractor.passed == [40, 40, 40]  # samples, reference, floor
    evaluate_sets(str(folder), blobs(40, 2), **asked)
    assert extractor.passed[3:] == [40]  # samples alone
    again = evaluate_sets(str(folder), blobs(40, 1), **asked)
    assert [f.value for f in again.figures] == [f.value for f in first.figures]
    assert [f.floor for f in again.figures] == [f.floor for f in first.figures]
    extractor.seed = 1  # another network
    evaluate_sets(str(folder), blobs(40, 1), **asked)
    assert extractor.passed[5:] == [40, 40, 40]


def test_runs_of_other_studies_share_what_is_known_of_the_data(
    extractor, tiny_recipe, disc_file, tmp_path
):
    data = load_data(disc_file)
    asked = {"features": ["pixels"], "metrics": ["fid"]}
    for number in range(2):
        run = train(
            tiny_recipe("vae"), data, images=16, seed=number, out=tmp_path / f"{number}" / "vae"
        )
        evaluate(run, load_data(disc_file), **asked)
    assert extractor.passed == [20, 20, 20, 20]  # of the second run its samples alone


def test_two_panels_share_one_pass(extractor):
    extractor.width = 2
    asked = {"features": ["pixels"], "metrics": ["fid", "exact-duplicates"]}
    evaluate_sets(blobs(80, 0), blobs(40, 1), train=blobs(50, 2), **asked)
    assert sorted(extractor.passed) == [40, 40, 40, 50]


def counted_moments(monkeypatch) -> list[int]:
    calls: list[int] = []
    monkeypatch.setattr(
        kept_moments, "moments", lambda items: calls.append(len(items)) or moments(items)
    )
    return calls


def test_covariances_of_real_features_come_back_to_the_bit(monkeypatch, tmp_path):
    calls = counted_moments(monkeypatch)
    items = torch.randn(30, WIDE, generator=torch.Generator().manual_seed(0))
    made, kept = moments_kept(items, tmp_path), moments_kept(items, tmp_path)
    assert calls == [30]
    for one, other, plain in zip(made, kept, moments(items), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, plain)
    moments_kept(items + 1, tmp_path)
    moments_kept(items, None)
    moments_kept(items[:, :8], tmp_path)
    assert calls == [30, 30, 30, 30]
    assert len(list(tmp_path.iterdir())) == 2  # narrow ones are not worth a file


def test_a_damaged_file_is_made_again(monkeypatch, tmp_path):
    calls = counted_moments(monkeypatch)
    items = torch.randn(20, WIDE, generator=torch.Generator().manual_seed(1))
    made = moments_kept(items, tmp_path)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)
    again = moments_kept(items, tmp_path)
    assert calls == [20, 20]
    assert torch.equal(made[1], again[1])
    assert torch.equal(moments_kept(items, tmp_path)[1], made[1])
    assert calls == [20, 20]


def test_blocks_of_the_reference_are_summed_once(monkeypatch, tmp_path):
    calls = counted_moments(monkeypatch)
    assert frechet_infinity.moments_kept is moments_kept
    items = torch.randn(24, WIDE, generator=torch.Generator().manual_seed(2))
    found = [
        Blocks(items, generator=torch.Generator().manual_seed(3), cache_dir=tmp_path).moments()
        for _ in range(2)
    ]
    assert calls == [12, 12]
    assert torch.equal(found[0][1], found[1][1])
    torch.testing.assert_close(found[0][1], moments(items)[1])


def test_the_type_of_inception_is_refused_where_there_is_none():
    with pytest.raises(DataError, match="which is a choice of the features inception only"):
        evaluate_sets(blobs(40, 0), blobs(40, 1), features=["pixels"], dtype="bf16")
