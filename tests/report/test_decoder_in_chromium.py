"""The page's decoder, in a real browser, against the models it was translated from."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import diptych.report
from diptych import build
from diptych.data.pictures import to_visible
from diptych.models.drawing import to_bytes
from diptych.models.paths import linear_path, spherical_path
from diptych.study.evidence.portable import translate

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed here")

SCRIPT = Path(diptych.report.__file__).parent / "static" / "decoder.js"
DECODE = """([description, codes]) => {
  const model = Decoder.read(description);
  return codes.map((code) => Array.from(Decoder.decode(model, code)));
}"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Any]:
    """An empty page that has the decoder."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        page.add_script_tag(content=SCRIPT.read_text(encoding="utf-8"))
        yield page
        browser.close()


def model_of(kind: str, network: str, shape: tuple[int, int, int], likelihood: str = "laplace"):
    """An untrained model whose statistics and outputs are far from flat."""
    sizes = {"conv": {"kind": "conv", "width": 6}, "mlp": {"kind": "mlp", "width": 21, "depth": 2}}
    turns = {"vae": ("autoencoder",), "gan": ("discriminator", "generator")}[kind]
    spec: dict[str, Any] = {"kind": kind, "latent_dim": 7, "network": sizes[network]}
    if kind == "vae":
        spec["likelihood"] = {"kind": likelihood}
    recipe = {
        "name": "some", "title": "Some", "summary": "for tests", "model": spec,
        "optimizers": {turn: {"learning_rate": 1e-3} for turn in turns},
        "training": {"batch_size": 16},
    }  # fmt: skip
    model = build(recipe, shape, seed=3).eval()
    generator = torch.Generator().manual_seed(4)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.3 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
        elif isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data.mul_(3.0 if isinstance(module, nn.Linear) else 10.0)
    return model


CASES = [
    ("vae", "conv", (1, 28, 28), "laplace"),
    ("gan", "conv", (1, 28, 28), ""),
    ("vae", "conv", (3, 17, 13), "gaussian"),
    ("gan", "conv", (4, 9, 11), ""),
    ("vae", "conv", (4, 16, 23), "continuous-bernoulli"),
    ("vae", "mlp", (1, 9, 11), "continuous-bernoulli"),
    ("gan", "mlp", (3, 10, 7), ""),
    ("vae", "mlp", (2, 5, 6), "gaussian"),
]


@pytest.mark.parametrize(("kind", "network", "shape", "likelihood"), CASES)
def test_it_decodes_what_torch_decodes(tab, kind, network, shape, likelihood):
    model = model_of(kind, network, shape, likelihood)
    codes = model.sample_codes(4, seed=5)
    with torch.inference_mode():
        expected = model.decode_mean(codes).permute(0, 2, 3, 1).flatten(1).numpy()
    found = np.array(tab.evaluate(DECODE, [translate(model).to_json(), codes.tolist()]))
    assert found.shape == expected.shape
    assert expected.std() > 0.05, "pictures without contrast would agree with anything"
    assert np.abs(found - expected).max() < 1 / 255


def test_half_precision_is_read_to_the_bit(tab):
    values = np.array([0, 1, -2.5, 65504, 6e-8, -6.1e-5, 3.14159, 1e-4], np.float16)
    text = base64.b64encode(values.astype("<f2").tobytes()).decode()
    found = tab.evaluate("(text) => Array.from(Decoder.unpack(text))", text)
    assert found == values.astype(np.float32).tolist()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_it_paints_what_pictures_show(tab, channels):
    images = torch.rand(1, channels, 5, 6, generator=torch.Generator().manual_seed(1))
    images = images * 1.4 - 0.2  # some values are out of range
    values = images[0].permute(1, 2, 0).flatten().tolist()
    paint = """([x, channels]) => {
      const bytes = new Uint8ClampedArray((4 * x.length) / channels);
      Decoder.paint(Float32Array.from(x), channels, bytes);
      return Array.from(bytes);
    }"""
    found = np.array(tab.evaluate(paint, [values, channels])).reshape(5, 6, 4)
    expected = to_visible(to_bytes(images))[0].astype(int)
    assert (found[..., 3] == 255).all()
    assert np.abs(found[..., :3] - expected).max() <= 1


@pytest.mark.parametrize("path", [linear_path, spherical_path])
def test_it_goes_the_way_that_the_models_go(tab, path):
    name = path.__name__.removesuffix("_path")
    generator = torch.Generator().manual_seed(2)
    start, end = torch.randn(2, 1, 9, generator=generator, dtype=torch.float64)
    go = """([path, start, end, steps]) => {
      const [a, b] = [Float64Array.from(start), Float64Array.from(end)];
      const at = (i) => Array.from(Decoder.between(path, a, b, i / (steps - 1)));
      return Array.from({ length: steps }, (_, i) => at(i));
    }"""
    for other in (end, -2 * start, 3 * start):  # opposite and equal directions are straight lines
        expected = torch.cat(path(start, other, 7)).numpy()
        found = tab.evaluate(go, [name, start[0].tolist(), other[0].tolist(), 7])
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_its_random_codes_are_normal_and_belong_to_their_seed(tab):
    draw = "(seeds) => seeds.map((seed) => Array.from(Decoder.normals(seed, 20000)))"
    draws = np.array(tab.evaluate(draw, [1, 2, 3]))
    assert np.abs(draws.mean(1)).max() < 0.03
    assert np.abs(draws.std(1) - 1).max() < 0.03
    assert np.abs((np.abs(draws) < 1).mean(1) - 0.6827).max() < 0.015
    assert np.abs(np.corrcoef(draws) - np.eye(3)).max() < 0.03
    assert np.array_equal(tab.evaluate(draw, [2])[0], draws[1])
