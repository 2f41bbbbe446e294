"""Latents for the page: the translation is the model, the map is a map, the atlas is its way."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from diptych import build, load_data
from diptych.data import Data
from diptych.distributions import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
)
from diptych.models import VAE
from diptych.models.drawing import to_bytes
from diptych.models.inversion import search_codes
from diptych.recipes import load_recipe
from diptych.study.evidence import atlas as atlas_module
from diptych.study.evidence import layers as layers_module
from diptych.study.evidence import portable as portable_module
from diptych.study.evidence.atlas import write_atlas
from diptych.study.evidence.codes import path_of, searches
from diptych.study.evidence.latents import write_latents
from diptych.study.evidence.layers import decode
from diptych.study.evidence.map import moving_directions, principal_directions
from diptych.study.evidence.portable import NotPortable, translate, write_decoder
from diptych.study.evidence.queries import choose_queries, query_images, query_rows
from diptych.training.run import Run


def lively(model, seed: int = 0):
    """The model in evaluation mode, with batch statistics and outputs that are far from flat."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.3 * torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
            nn.init.uniform_(module.bias, -0.5, 0.5, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
    decoder = model.decoder if isinstance(model, VAE) else model.generator
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data.mul_(3.0)
    return model.eval()


@pytest.fixture(scope="session")
def runs(tiny_recipe, disc_data):
    """Untrained runs of the two tiny recipes: what is written is a matter of the weights only."""

    def make(kind: str, directory: Path) -> Run:
        recipe = load_recipe(tiny_recipe(kind))
        return Run(directory, recipe, lively(build(recipe, disc_data, seed=1)), {})

    return make


def recipe(kind: str, network: str, likelihood: dict | None = None) -> dict:
    turns = {"vae": ("autoencoder",), "gan": ("discriminator", "generator")}[kind]
    width = {"conv": {"kind": "conv", "width": 4}, "mlp": {"kind": "mlp", "width": 20, "depth": 2}}
    model = {"kind": kind, "latent_dim": 5, "network": width[network]}
    if likelihood is not None:
        model["likelihood"] = likelihood
    return {
        "name": "some", "title": "Some", "summary": "for tests", "model": model,
        "optimizers": {turn: {"learning_rate": 1e-3} for turn in turns},
        "training": {"batch_size": 16},
    }  # fmt: skip


CASES = {
    "vae": recipe("vae", "conv"),
    "vae-mlp": recipe("vae", "mlp"),
    "gan": recipe("gan", "conv"),
    "gan-mlp": recipe("gan", "mlp"),
}


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 13), (4, 9, 11), (2, 8, 30)])
@pytest.mark.parametrize("name", CASES)
def test_the_translation_is_the_model(name, shape):
    model = lively(build(CASES[name], shape))
    portable = translate(model)
    codes = model.sample_codes(16, seed=3)
    with torch.inference_mode():
        expected = model.decode_mean(codes).numpy()
    found = decode(portable, codes.numpy())
    assert found.shape == expected.shape
    assert expected.std() > 0.05, "pictures without contrast would agree with anything"
    assert np.abs(found - expected).max() < 1 / 255


@pytest.mark.parametrize(
    "likelihood",
    [
        BernoulliLikelihood((3, 10, 9)),
        ContinuousBernoulliLikelihood((3, 10, 9)),
        LaplaceLikelihood((3, 10, 9), scale=0.1, bounded_mean=True),
        LaplaceLikelihood((3, 10, 9), scale=0.1, bounded_mean=False),
        GaussianLikelihood((3, 10, 9), sigma=0.1, mode="fixed", bounded_mean=True),
        GaussianLikelihood((3, 10, 9), sigma=0.1, mode="optimal", bounded_mean=False),
    ],
    ids=lambda likelihood: (
        f"{type(likelihood).__name__}-{getattr(likelihood, 'bounded_mean', '')}"
    ),
)
def test_every_likelihood_has_its_mean(likelihood):
    model = lively(build(CASES["vae"], (3, 10, 9)))
    model.likelihood = likelihood
    codes = model.sample_codes(6, seed=2)
    with torch.inference_mode():
        expected = model.decode_mean(codes).numpy()
    found = decode(translate(model), codes.numpy())
    assert np.abs(found - expected).max() < 2e-3 * max(1.0, np.abs(expected).max())


def test_the_mean_of_a_continuous_bernoulli_is_right_around_zero():
    logits = torch.tensor([-30.0, -0.02, -0.0099, -1e-5, 0.0, 1e-5, 0.0099, 0.0101, 5.0, 80.0])
    expected = ContinuousBernoulliLikelihood((1, 1, 10))(logits.view(1, 1, 1, 10)).mean
    found = layers_module._value({"op": "continuous-bernoulli"}, logits.numpy())
    np.testing.assert_allclose(found, expected.flatten().numpy(), atol=1e-6)


def test_the_multiplications_are_those_that_torch_makes():
    model = lively(build(CASES["vae"], (3, 17, 13)))
    counted = 0

    def count(module, inputs, output):
        nonlocal counted
        if isinstance(module, nn.Linear):
            counted += module.weight.numel()
        elif isinstance(module, nn.ConvTranspose2d):
            counted += module.weight.numel() * inputs[0].shape[2] * inputs[0].shape[3]
        else:
            counted += module.weight.numel() * output.shape[2] * output.shape[3]

    for module in model.decoder.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        model.decode_mean(model.sample_codes(1))
    assert translate(model).multiplications == counted


class Squared(nn.Module):
    def forward(self, x):
        return x.square()


def test_an_unknown_part_is_refused_by_name(tmp_path):
    model = build(CASES["gan"], (1, 12, 12)).eval()
    model.generator.append(Squared())
    assert write_decoder(model, tmp_path) == (
        None,
        "Its decoder has a part that the page does not know: Squared().",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(1, 1, 5, padding=2),
        nn.Conv2d(1, 1, 3, padding=1, stride=2),
        nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1),
        nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1, output_padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
    ],
)
def test_a_convolution_of_another_kind_is_not_taken_for_ours(layer):
    model = build(CASES["gan"], (1, 12, 12)).eval()
    model.generator.append(layer)
    with pytest.raises(NotPortable, match="does not know"):
        translate(model)


def test_what_decodes_in_a_way_of_its_own_is_found_out(tmp_path):
    class Negative(VAE):
        def decode_mean(self, z):
            return 1.0 - super().decode_mean(z)

    plain = lively(build(CASES["vae"], (1, 12, 12)))
    plain.__class__ = Negative
    name, reason = write_decoder(plain, tmp_path)
    assert name is None
    assert reason is not None
    assert "differ from the model's" in reason


def test_too_large_a_decoder_is_refused_with_its_size(monkeypatch):
    model = build(CASES["vae"], (1, 28, 28)).eval()
    monkeypatch.setattr(portable_module, "MOST_MULTIPLICATIONS", 100_000)
    with pytest.raises(NotPortable, match="million multiplications"):
        translate(model)
    monkeypatch.undo()
    monkeypatch.setattr(portable_module, "MOST_BYTES", 1_000)
    with pytest.raises(NotPortable, match="MB"):
        translate(model)


def test_weights_beyond_half_precision_are_refused():
    model = build(CASES["vae"], (1, 12, 12)).eval()
    model.decoder.project.weight.data[0, 0] = 1e6
    with pytest.raises(NotPortable, match="half precision"):
        translate(model)


def test_the_file_holds_the_layers_and_their_weights(tmp_path):
    model = lively(build(CASES["gan"], (3, 9, 11)))
    assert write_decoder(model, tmp_path) == ("decoder.json", None)
    content = json.loads((tmp_path / "decoder.json").read_text())
    portable = translate(model)
    block = np.frombuffer(base64.b64decode(content["weights"]), "<f2")
    assert np.array_equal(block, portable.weights)
    assert content["layers"] == json.loads(json.dumps(portable.layers))
    assert (content["latent_dim"], content["event_shape"]) == (5, [3, 9, 11])


def test_the_path_is_the_models_own():
    assert path_of(lively(build(CASES["vae"], (1, 12, 12)))) == "linear"
    assert path_of(lively(build(CASES["gan"], (1, 12, 12)))) == "spherical"


def test_queries_are_spread_over_the_classes(disc_data: Data, tmp_path: Path):
    entry = choose_queries(disc_data, tmp_path)
    rows = query_rows(disc_data)
    assert entry == {
        "picture": "pictures/queries.png",
        "labels": [0, 1] * 6,
        "count": 12,
    }
    assert len(set(rows.tolist())) == 12
    assert set(rows.tolist()) <= set(disc_data.splits["test"].tolist())
    assert disc_data.labels is not None
    assert disc_data.labels[rows].tolist() == entry["labels"]
    with Image.open(tmp_path / "pictures/queries.png") as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (12, 12 * 14 - 2, 3)
    for place, row in enumerate(rows):
        cell = sheet[:, 14 * place : 14 * place + 12, 0]
        assert np.array_equal(cell, disc_data.array[row, :, :, 0])
    torch.testing.assert_close(
        query_images(disc_data)[3, 0],
        torch.from_numpy(np.array(disc_data.array[rows[3], :, :, 0])) / 255,
    )


def test_queries_of_many_classes_and_of_none():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (600, 8, 8), np.uint8)
    many = load_data(images, labels=np.arange(600) % 30)
    assert many.labels is not None
    assert len(set(many.labels[query_rows(many)].tolist())) == 12
    plain = load_data(images)
    assert len(set(query_rows(plain).tolist())) == 12
    few = load_data(images[:40], labels=np.zeros(40, np.int64))
    assert sorted(set(query_rows(few).tolist())) == sorted(few.splits["test"].tolist())


def test_points_have_no_queries_and_no_latents(tmp_path):
    assert choose_queries(load_data("ring"), tmp_path) is None
    model = build("gan-mlp", (2,)).eval()
    run = Run(tmp_path, load_recipe("gan-mlp"), model, {})
    assert write_latents(run, load_data("ring"), tmp_path) is None


def test_principal_directions_are_those_of_the_covariance():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(400, 6, generator=generator) * torch.tensor([1, 5, 0.1, 3, 0.5, 1.0])
    codes = codes @ torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    found = principal_directions(codes)
    values, vectors = np.linalg.eigh(np.cov(codes.double().numpy().T))
    np.testing.assert_allclose(
        np.abs(found.numpy() @ vectors[:, ::-1][:, :2]), np.eye(2), atol=1e-6
    )
    assert bool((found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all())
    assert values[-1] > values[-2] > values[-3]


def test_moving_directions_are_the_singular_vectors_of_a_linear_decoder():
    generator = torch.Generator().manual_seed(1)
    frame = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q
    pictures = torch.linalg.qr(torch.randn(30, 5, generator=generator, dtype=torch.float64)).Q
    gains = torch.tensor([0.1, 7.0, 1.0, 0.5, 3.0], dtype=torch.float64)
    codes = torch.randn(200, 5, generator=generator, dtype=torch.float64)
    found = moving_directions(codes, codes @ frame @ (gains * pictures).T + 2.0)
    torch.testing.assert_close(
        (found @ frame).abs(),
        torch.eye(5, dtype=torch.float64)[[1, 4]],
        atol=1e-9,
        rtol=0,
    )


def test_one_latent_has_one_direction():
    codes = torch.arange(10.0)[:, None]
    assert principal_directions(codes).tolist() == [[1.0], [0.0]]


def watched_search(watch):
    torch.manual_seed(0)
    matrix = torch.randn(3, 10, dtype=torch.float64)
    images = torch.randn(4, 10, dtype=torch.float64)
    torch.manual_seed(7)
    found = search_codes(
        lambda z: torch.tanh(z @ matrix), images, 3, steps=40, batch=5, watch=watch
    )
    return found, lambda z: (torch.tanh(z @ matrix) - images).square().mean(1)


def test_watching_changes_nothing_and_sees_the_best_restart():
    found, error = watched_search((0, 10, 40))
    plain, _ = watched_search(())
    assert plain.watched is None
    assert torch.equal(found.codes, plain.codes)
    assert found.watched is not None
    assert found.watched.shape == (3, 4, 3)
    assert torch.equal(found.watched[2], found.codes), "the last step is where it ends"
    # The start is one of those that the prior gave to this very image.
    torch.manual_seed(7)
    starts = torch.randn(16, 3, dtype=torch.float64).view(4, 4, 3)
    torch.testing.assert_close(
        (starts - found.watched[0]).abs().amax(2).min(0).values,
        torch.zeros(4, dtype=torch.float64),
    )
    assert bool((error(found.watched[0]) > error(found.watched[2])).all())


def unpacked(text: str, latent_dim: int) -> torch.Tensor:
    block = np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)
    return torch.from_numpy(block).view(-1, latent_dim)


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_the_entry_agrees_with_the_model(runs, disc_data: Data, tmp_path: Path, kind: str):
    run = runs(kind, tmp_path)
    folder = tmp_path / "page"
    entry = json.loads(json.dumps(write_latents(run, disc_data, folder), allow_nan=False))
    model, latent_dim = run.model, run.model.latent_dim
    assert (entry["search"], entry["path"]) == {
        "vae": (False, "linear"),
        "gan": (True, "spherical"),
    }[kind]
    assert entry["decoder"] == {"file": "page/decoder.json"}
    assert entry["atlas"] is None
    assert entry["why_not"] is None
    codes = unpacked(entry["queries"]["codes"], latent_dim)
    images = query_images(disc_data)
    with torch.inference_mode():
        errors = (model.decode_mean(codes) - images).square().flatten(1).mean(1)
    np.testing.assert_allclose(entry["queries"]["errors"], errors.numpy(), atol=2e-6)

    drawn = entry["map"]
    dots = unpacked(drawn["codes"], latent_dim).double()
    places = (dots - torch.tensor(drawn["origin"])) @ torch.tensor(drawn["directions"]).double().T
    np.testing.assert_allclose(drawn["xy"], places.numpy(), atol=1e-3)
    assert len(drawn["labels"]) == len(drawn["xy"])
    if kind == "vae":
        assert entry["queries"]["steps"] is None
        assert drawn["labels"] == disc_data.labels_of("test").tolist()
    else:
        assert set(drawn["labels"]) <= {0, 1}
        steps = entry["queries"]["steps"]
        with Image.open(tmp_path / steps["picture"]) as picture:
            sheet = np.asarray(picture)
        assert sheet.shape == (4 * 14 - 2, 6 * 14 - 2, 3)
        assert np.array_equal(sheet[14:26, 70:82, 0], to_bytes(images[1:2])[0, :, :, 0])
        found = to_bytes(model.decode_mean(codes[1:2]))[0, :, :, 0]
        difference = np.abs(sheet[14:26, 56:68, 0].astype(int) - found.astype(int))
        assert difference.max() <= 1, "the last step is the code of the query"
        starts, ends = np.array(steps["errors"])[:, 0], np.array(steps["errors"])[:, -1]
        assert (ends < starts).all()
        np.testing.assert_allclose(ends, entry["queries"]["errors"][:4], rtol=0.02)


def test_the_same_seed_gives_the_same_entry_and_moves_no_other_stream(runs, disc_data, tmp_path):
    run = runs("gan", tmp_path)
    torch.manual_seed(3)
    first = write_latents(run, disc_data, tmp_path / "a", seed=5)
    after = torch.rand(1)
    second = write_latents(run, disc_data, tmp_path / "b", seed=5)
    assert first == second
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))
    for name in ("decoder.json", "search.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_data_without_labels_is_coloured_by_brightness(tmp_path):
    rng = np.random.default_rng(0)
    data = load_data(rng.integers(0, 256, (100, 12, 12), np.uint8))
    for kind in ("vae", "gan"):
        model = lively(build(CASES[kind], data))
        run = Run(tmp_path, load_recipe(CASES[kind]), model, {})
        entry = write_latents(run, data, tmp_path / kind)
        assert entry is not None
        drawn = entry["map"]
        assert set(drawn["labels"]) == {None}
        codes = unpacked(drawn["codes"], model.latent_dim)
        if kind == "vae":
            expected = data.take("test").reshape(len(codes), -1).mean(1) / 255
        else:
            expected = to_bytes(model.decode_mean(codes)).reshape(len(codes), -1).mean(1) / 255
        np.testing.assert_allclose(drawn["values"], expected, atol=2e-3)
        assert "brightness" in drawn["sentence"]


def test_a_large_decoder_leaves_an_atlas(runs, disc_data, tmp_path, monkeypatch):
    monkeypatch.setattr(portable_module, "MOST_MULTIPLICATIONS", 1_000)
    run = runs("vae", tmp_path)
    entry = write_latents(run, disc_data, tmp_path / "page")
    assert entry is not None
    assert entry["decoder"] is None
    assert "multiplications" in entry["why_not"]
    atlas = entry["atlas"]
    assert len(atlas["pairs"]) == 28
    assert atlas["columns"] == atlas["steps"] == 11
    codes = unpacked(entry["queries"]["codes"], run.model.latent_dim)
    with Image.open(tmp_path / atlas["picture"]) as picture:
        sheet = np.asarray(picture.convert("RGB")).astype(int)
    assert sheet.shape == (28 * 14 - 2, 11 * 14 - 2, 3)
    row = atlas["pairs"].index([1, 3])
    middle = run.model.interpolate(codes[1:2], codes[3:4], steps=11)[:, 5]
    expected = to_bytes(middle)[0, :, :, 0].astype(int)
    found = sheet[14 * row : 14 * row + 12, 70:82, 0]
    assert np.abs(found - expected).max() <= 1


def test_a_heavy_atlas_is_made_smaller(monkeypatch, tmp_path):
    model = lively(build(CASES["vae"], (3, 24, 20)))
    codes = model.sample_codes(4, seed=0)
    monkeypatch.setattr(atlas_module, "MOST_BYTES", 3_000)
    entry = write_atlas(model, codes, codes[:1], tmp_path)
    content = (tmp_path / "atlas.webp").read_bytes()
    assert len(content) <= 3_000
    height, width = entry["cell"]
    assert height < 24
    assert width < 20
    with Image.open(tmp_path / "atlas.webp") as picture:
        assert picture.size == (11 * (width + 2) - 2, 10 * (height + 2) - 2)


def test_a_game_without_an_encoder_is_said_to_search():
    assert searches(build(CASES["gan"], (1, 12, 12)))
    assert not searches(build(CASES["vae"], (1, 12, 12)))
