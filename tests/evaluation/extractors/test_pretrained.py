"""Tiny networks of random weights, where transformers can be imported."""

import sys
import warnings

import numpy as np
import pytest
import torch

from diptych.errors import DataError, MissingData
from diptych.evaluation.extractors.pretrained import PretrainedFeatures


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Saved networks of 16 numbers, by kind; "whole" is a CLIP with its text half."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers = pytest.importorskip("transformers")
        folder = tmp_path_factory.mktemp("networks")
        tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        vision = {**tiny, "intermediate_size": 16, "image_size": 28, "patch_size": 14}
        dino = {**tiny, "image_size": 28, "patch_size": 14}
        text = {**tiny, "intermediate_size": 16, "vocab_size": 9}
        transformers.utils.logging.disable_progress_bar()
        torch.manual_seed(0)
        made = {
            "dinov2": transformers.Dinov2Model(transformers.Dinov2Config(**dino)),
            "clip": transformers.CLIPVisionModelWithProjection(
                transformers.CLIPVisionConfig(**vision, projection_dim=8)
            ),
            "whole": transformers.CLIPModel(
                transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
            ),
        }
        for name, network in made.items():
            network.save_pretrained(folder / name)
    return folder


def images(count=20, channels=3):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, 30, 20, channels), dtype=np.uint8)


@pytest.mark.parametrize(
    ("kind", "folder", "size"),
    [("dinov2", "dinov2", 16), ("clip", "clip", 8), ("clip", "whole", 8)],
)
def test_features_of_an_image_are_its_own(folders, kind, folder, size):
    extractor = PretrainedFeatures(kind, folders / folder)
    seen = []
    found = extractor.features(images(), progress=lambda *step: seen.append(step))
    assert found.shape == (20, size)
    assert seen == [(f"{kind} features", 16, 20), (f"{kind} features", 20, 20)]
    torch.testing.assert_close(extractor.features(images()[7:8]), found[7:8], rtol=1e-3, atol=1e-5)
    assert not torch.allclose(found[0], found[1], rtol=1e-3)
    assert extractor.name == kind
    assert extractor.fid_name == ""


def test_the_protocol_names_the_weights(folders):
    one, same = (PretrainedFeatures("clip", folders / "clip").protocol for _ in range(2))
    other = PretrainedFeatures("clip", folders / "whole").protocol
    assert one == same
    assert one["weights"] != other["weights"]
    assert one["size"] == 28


def test_grey_is_repeated(folders):
    extractor = PretrainedFeatures("dinov2", folders / "dinov2", channels=1)
    grey = images(2, 1)
    torch.testing.assert_close(
        extractor.features(grey), extractor.features(np.repeat(grey, 3, 3)), rtol=1e-4, atol=1e-5
    )
    assert "Grey images are repeated" in extractor.caveat


def test_another_network_and_no_network_are_refused(folders, tmp_path):
    with pytest.raises(DataError, match="cannot be used as dinov2: it holds a network of type cl"):
        PretrainedFeatures("dinov2", folders / "clip")
    with pytest.raises(MissingData, match=r"give a folder with config.json and model\.saf"):
        PretrainedFeatures("clip", tmp_path)


def test_weights_that_are_pickles_are_refused(folders, tmp_path):
    (tmp_path / "config.json").write_bytes((folders / "clip" / "config.json").read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="cannot be used as clip"):
        PretrainedFeatures("clip", tmp_path)


def test_a_missing_package_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingData, match="features dinov2 need the package transformers, which"):
        PretrainedFeatures("dinov2", tmp_path)
