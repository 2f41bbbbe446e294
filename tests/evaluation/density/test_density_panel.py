import dataclasses

import pytest
import torch

from diptych.distributions import GaussianLikelihood
from diptych.errors import DataError
from diptych.evaluation.density import of_model, panel
from diptych.evaluation.density.estimates import mean_over_items, students_quantile
from diptych.evaluation.density.panel import METRICS, density_curve, density_panel
from diptych.models import GAN, VAE
from diptych.networks import MLPDecoder, MLPEncoder

SHAPE = (1, 4, 4)
OWN = ["negative-elbo", "bits-per-dimension", "iwae", "ais", "bdmc-gap"]
SHARED = ["gaussian-ais", "gaussian-bdmc-gap", "gaussian-bits", "gaussian-sigma"]


@pytest.fixture(autouse=True)
def little_work(monkeypatch):
    few = of_model.Settings(4, 4, 3, 4, 6, 3, 2, 30, 40, 8)
    monkeypatch.setitem(of_model.SETTINGS, "quick", few)


class Images(torch.nn.Module):
    def __init__(self, decoder, shape):
        super().__init__()
        self.decoder, self.shape = decoder, shape

    def forward(self, z):
        return 0.5 * torch.tanh(self.decoder(z)).view(-1, *self.shape)


def vae(shape=SHAPE):
    torch.manual_seed(0)
    return VAE(
        MLPEncoder(shape, 4, width=8, depth=1),
        MLPDecoder(2, shape, width=8, depth=1),
        GaussianLikelihood(shape, sigma=0.3, mode="fixed", bounded_mean=len(shape) == 3),
        event_shape=shape,
        latent_dim=2,
    )


def gan(shape=SHAPE):
    torch.manual_seed(0)
    return GAN(
        Images(MLPDecoder(2, shape, width=8, depth=1), shape),
        MLPEncoder(shape, 1, width=8, depth=1),
        event_shape=shape,
        latent_dim=2,
    )


def pictures(count, seed, shape=SHAPE):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, *shape, generator=generator) * 255).round() / 255


def measured(model, **settings):
    shape = model.event_shape
    given = {"likelihood": None, "base": {"split": "test"}} | settings
    return density_panel(model, pictures(9, 0, shape), pictures(6, 1, shape), **given)


def test_a_vae_has_both_scales_and_a_gan_the_shared_one():
    figures = {f.key: f for f in measured(vae(), likelihood={"kind": "gaussian"})}
    others = {f.key: f for f in measured(gan())}
    assert list(figures) == OWN + SHARED
    assert list(others) == SHARED
    assert (figures["negative-elbo"].name, figures["negative-elbo"].unit) == (
        "negative ELBO",
        "nats per image",
    )
    assert figures["bits-per-dimension"].name == "bits per dimension"
    for key in SHARED:  # may be compared: one protocol for both families
        assert figures[key].protocol == others[key].protocol
    for key in OWN:
        assert figures[key].protocol.parts["likelihood"] == {"kind": "gaussian"}
    for figure in [*figures.values(), *others.values()]:
        assert figure.panel == "density"
        assert figure.key in METRICS
        if figure.low is not None:
            assert figure.low < figure.value < figure.high
            assert "Student" in figure.interval


def test_bounds_stand_in_their_order():
    figures = {f.key: f for f in measured(vae())}
    # On so few latents all but the ELBO are exact to a fraction of a nat.
    assert figures["iwae"].value == pytest.approx(figures["ais"].value, abs=2.0)
    assert abs(figures["bdmc-gap"].value) < 1
    assert figures["ais"].trusted
    nats, bits = figures["gaussian-ais"].value, figures["gaussian-bits"].value
    assert bits == pytest.approx(8 - nats / (16 * 0.6931471805599453))


def test_a_wide_gap_takes_the_trust_away(monkeypatch):
    monkeypatch.setattr(panel, "LARGEST_GAP_NATS", -100.0)
    monkeypatch.setattr(panel, "LARGEST_GAP_BITS", -100.0)
    figures = {f.key: f for f in measured(gan())}
    assert not figures["gaussian-ais"].trusted
    assert not figures["gaussian-bits"].trusted
    assert "too wide to trust" in figures["gaussian-ais"].note
    assert figures["gaussian-bdmc-gap"].trusted


def test_points_are_measured_in_nats_per_point():
    for model in (vae((2,)), gan((2,))):
        figures = {f.key: f for f in measured(model)}
        assert "gaussian-bits" not in figures
        assert "bits-per-dimension" not in figures
        assert figures["gaussian-ais"].unit == "nats per point"
        assert "dequantization" not in figures["gaussian-ais"].protocol.parts


def test_a_curve_given_is_the_curve_used():
    model = gan()
    curve = density_curve(model, pictures(6, 1))
    given = measured(model, curve=curve)
    assert [f.to_json() for f in given] == [f.to_json() for f in measured(model)]
    wider = dataclasses.replace(curve, sigma=2 * curve.sigma)
    assert measured(model, curve=wider)[0].value < given[0].value


def test_the_model_and_the_ambient_stream_are_left_as_they_were():
    model = vae().train()
    model.decoder.requires_grad_(False)
    before = torch.random.get_rng_state()
    first = measured(model)
    assert torch.equal(before, torch.random.get_rng_state())
    assert model.training
    assert [p.requires_grad for p in model.decoder.parameters()] == [False] * 4
    assert all(p.requires_grad for p in model.encoder.parameters())
    assert all(p.grad is None for p in model.parameters())
    assert [f.to_json() for f in first] == [f.to_json() for f in measured(model)]
    assert first[0].value != measured(model, seed=1)[0].value


@pytest.mark.parametrize("degrees", [1, 2, 4, 5, 7, 15, 99])
def test_students_quantile(degrees):
    stats = pytest.importorskip("scipy.stats")
    assert students_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=2e-3)


def test_one_item_has_no_interval():
    estimate = mean_over_items(torch.tensor([3.0]))
    assert (estimate.value, estimate.low, estimate.interval) == (3.0, None, "")


def test_odd_items_are_refused():
    with pytest.raises(DataError, match="shape"):
        density_panel(vae(), pictures(3, 0, (1, 5, 5)), pictures(3, 0), likelihood=None, base={})
    with pytest.raises(DataError, match="at least one item"):
        density_panel(vae(), pictures(0, 0), pictures(3, 0), likelihood=None, base={})
    with pytest.raises(DataError, match="NaN or infinite"):
        density_panel(gan(), pictures(3, 0) / 0, pictures(3, 0), likelihood=None, base={})
