"""The panel on models whose decoders are known, and on the package's own."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from diptych.evaluation.latent.distances import pyramid_distance, squared_distance
from diptych.evaluation.latent.panel import METRICS, latent_panel
from diptych.models.build import build
from diptych.models.game import Game
from diptych.recipes.schema import Recipe


class Known(Game):
    """A game with the decoder it is given and nothing to train."""

    family: ClassVar[str] = "gan"
    averaged: ClassVar[tuple[str, ...]] = ()

    def __init__(self, decode, event_shape, latent_dim):
        super().__init__(event_shape, latent_dim)
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.function = decode

    def turns(self):
        return ()

    def decode_mean(self, z):
        return self.function(z)

    def find_codes(self, images, *, seed=None):
        raise NotImplementedError

    def interpolate(self, start, end, *, steps=9):
        raise NotImplementedError

    def rehearse(self, batch):
        raise NotImplementedError


def by_key(figures):
    return {figure.key: figure for figure in figures}


def test_a_linear_decoder_of_points_is_measured_as_its_closed_form():
    matrix = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    model = Known(lambda z: z @ matrix.T, (2,), 3)
    points = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    figures = by_key(
        latent_panel(
            model,
            distance=squared_distance,
            distance_name="euclid",
            base={"split": "test"},
            reference=points,
            path="linear",
            n=2000,
        )
    )
    assert set(figures) == {
        f"{key}-euclid"
        for key in (
            "path-length",
            "path-length-relative",
            "step-variation",
            "largest-step",
            "detour",
        )
    } | {"latents-used", "directions-used", "dead-latents"}
    # 2 (4 + 1), a little less for the trimmed long paths.
    assert figures["path-length-euclid"].value == pytest.approx(10, rel=0.1)
    # Pairs of standard normal points lie 2 · 2 apart in squared distance.
    ratio = figures["path-length-euclid"].value / figures["path-length-relative-euclid"].value
    assert ratio == pytest.approx(4, rel=0.2)
    assert figures["detour-euclid"].value == pytest.approx(1, abs=1e-4)
    assert figures["step-variation-euclid"].value == pytest.approx(0, abs=1e-4)
    assert figures["latents-used"].value == pytest.approx(25 / 17, rel=1e-3)
    assert figures["directions-used"].value == pytest.approx(25 / 17, rel=1e-3)
    assert figures["dead-latents"].value == pytest.approx(1 / 3)
    for figure in figures.values():
        assert figure.panel == "latent"
        assert figure.floor is None
        assert figure.protocol.parts["split"] == "test"
    assert METRICS.keys() == {key.removesuffix("-euclid") for key in figures}


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_both_families_under_one_protocol(kind, tiny_recipe, disc_data):
    torch.manual_seed(0)
    model = build(Recipe.model_validate(tiny_recipe(kind)), disc_data).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stream = torch.random.get_rng_state()

    def panel(seed=0):
        return latent_panel(
            model,
            distance=pyramid_distance,
            distance_name="pyramid",
            base={},
            reference=torch.from_numpy(disc_data.take("test")),
            n=100,
            seed=seed,
        )

    figures = by_key(panel())
    assert len(figures) == len(METRICS)
    assert figures["detour-pyramid"].value >= 1
    assert 1 <= figures["directions-used"].value <= 4
    assert {figure.value for figure in panel()} == {figure.value for figure in figures.values()}
    assert by_key(panel(1))["path-length-pyramid"].value != figures["path-length-pyramid"].value
    assert torch.equal(stream, torch.random.get_rng_state())
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert figures["path-length-pyramid"].protocol.parts == {
        "metric": "path-length",
        "seed": 0,
        "count": 100,
        "distance": "pyramid",
        "path": "spherical",
        "epsilon": 1e-4,
        "trim": 0.01,
    }


def test_a_decoder_that_ignores_its_code():
    model = Known(lambda z: torch.full((len(z), 1, 8, 8), 0.5), (1, 8, 8), 3)
    (length,) = latent_panel(model, distance=pyramid_distance, distance_name="pyramid", base={})
    assert (length.key, length.value, length.trusted) == ("path-length-pyramid", 0, False)
    assert "ignores its code" in length.note


def test_real_data_without_spread_give_no_scale():
    model = Known(lambda z: z, (2,), 2)
    for reference in (torch.ones(10, 2), torch.ones(1, 2)):
        figures = latent_panel(
            model,
            distance=squared_distance,
            distance_name="euclid",
            base={},
            reference=reference,
            n=100,
        )
        assert "path-length-relative-euclid" not in by_key(figures)


def test_progress_reaches_its_ends():
    said = []
    model = Known(lambda z: z, (2,), 2)
    latent_panel(
        model,
        distance=squared_distance,
        distance_name="euclid",
        base={},
        n=100,
        progress=lambda what, done, total: said.append((what, done, total)),
    )
    last = {what: (done, total) for what, done, total in said}
    assert set(last) == {"path length", "interpolations", "latent usage"}
    assert all(done == total for done, total in last.values())


def test_bytes_and_floats_of_the_reference_are_one_scale():
    model = Known(lambda z: z.sigmoid().view(-1, 1, 1, 2), (1, 1, 2), 2)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 1, 2, 1), dtype=np.uint8)
    reference = torch.from_numpy(pixels)
    scales = [
        by_key(
            latent_panel(
                model,
                distance=squared_distance,
                distance_name="euclid",
                base={},
                reference=given,
                n=100,
            )
        )["path-length-relative-euclid"].value
        for given in (reference, reference.permute(0, 3, 1, 2).float() / 255)
    ]
    assert scales[0] == scales[1]
