"""The hybrid as a game: a VAE until its term counts, and what the two turns may touch."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from diptych import evaluate, load_data, train
from diptych.distributions import GaussianLikelihood, LaplaceLikelihood
from diptych.evaluation.collapse.modes import count_modes
from diptych.models import GAN, VAE, VAEGAN, Moment
from diptych.models.build import build
from diptych.networks import MLPDecoder, MLPEncoder

L = 3
SHAPES = [(2,), (1, 4, 4)]
OPEN = math.inf
BEFORE, COUNTS = Moment(0.1, 0), Moment(0.9, 0)
"""Moments before the term's start at 0.2, and after it has risen at 0.5."""


def players(shape: tuple[int, ...]) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "encoder": MLPEncoder(shape, 2 * L, width=8, depth=1).double(),
        "decoder": MLPDecoder(L, shape, width=8, depth=1).double(),
        "likelihood": LaplaceLikelihood(shape, scale=0.2, bounded_mean=len(shape) == 3),
    }


def pair(shape: tuple[int, ...], **settings) -> tuple[VAE, VAEGAN]:
    """A VAE and a hybrid with the same weights and beta."""
    common = {"event_shape": shape, "latent_dim": L, "beta": 0.7, "kl_warmup": 0.5}
    schedule = {"adversarial_start": 0.2, "adversarial_ramp": 0.3, "adversarial_cap": OPEN}
    vae = VAE(**players(shape), **common)
    discriminator = MLPEncoder(shape, 1, width=6, depth=1).double()
    hybrid = VAEGAN(
        **players(shape), discriminator=discriminator, **common, **(schedule | settings)
    )
    return vae, hybrid


def hybrid_of(shape: tuple[int, ...], **settings) -> VAEGAN:
    return pair(shape, **settings)[1]


def batch(shape: tuple[int, ...], n: int = 6) -> Tensor:
    torch.manual_seed(1)
    return torch.rand(n, *shape, dtype=torch.float64)


def lowered(game: VAE, images: Tensor, moment: Moment):
    """The autoencoder's terms with the noise of seed 3, and the gradients of its players."""
    game.zero_grad()
    torch.manual_seed(3)
    terms = game.loss(images, moment)
    terms.loss.backward()
    moved = [*game.encoder.parameters(), *game.decoder.parameters()]
    return terms, [parameter.grad.clone() for parameter in moved]


def pictures(hybrid: VAEGAN, images: Tensor, moment: Moment = COUNTS) -> Tensor:
    """What the autoencoder's turn leaves to be judged, from the noise of seed 3."""
    torch.manual_seed(3)
    hybrid.loss(images, moment)
    kept = hybrid._kept_fakes
    assert kept is not None
    return kept


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("judged", ["both", "reconstructions"])
@pytest.mark.parametrize(
    ("settings", "moment"),
    [({}, BEFORE), ({"adversarial_weight": 0.0}, COUNTS), ({}, Moment(0.2, 0))],
    ids=["before-the-start", "without-weight", "at-the-start"],
)
def test_without_its_term_it_is_the_vae_to_the_bit(shape, judged, settings, moment):
    vae, hybrid = pair(shape, judged=judged, **settings)
    images = batch(shape)
    (plain, gradients), (terms, same) = (lowered(g, images, moment) for g in (vae, hybrid))
    assert torch.equal(terms.loss, plain.loss)
    for name, value in plain.named.items():
        assert torch.equal(terms.named[name], value), name
    assert all(torch.equal(a, b) for a, b in zip(same, gradients, strict=True))
    assert terms.named["adversarial_weight"] == 0.0
    assert "adversarial" not in terms.named


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("judged", ["both", "reconstructions"])
def test_the_loss_and_its_gradient_are_those_of_the_formula(shape, judged):
    """Against the term differentiated in one piece, through the discriminator."""
    vae, hybrid = pair(shape, judged=judged, adversarial_weight=0.5)
    images = batch(shape)
    terms, gradients = lowered(hybrid, images, COUNTS)
    plain, of_the_elbo = lowered(vae, images, COUNTS)

    torch.manual_seed(3)
    decoded = hybrid.decode(hybrid.encode(images).rsample()).mean
    if judged == "both":
        z = torch.randn(3, L, dtype=torch.float64)
        decoded = torch.cat([decoded[:3], hybrid.decode(z).mean])
    inside = 2 * decoded - 1 if len(shape) == 3 else decoded
    adversarial = softplus(-hybrid.discriminator(inside)).mean()
    moved = [*hybrid.encoder.parameters(), *hybrid.decoder.parameters()]
    of_the_term = torch.autograd.grad(adversarial, moved)

    weight = terms.named["adversarial_weight"]
    assert weight > 0
    torch.testing.assert_close(terms.named["adversarial"], adversarial.detach())
    torch.testing.assert_close(terms.loss, plain.loss + weight * adversarial)
    torch.testing.assert_close(terms.named["negative_elbo"], plain.named["negative_elbo"])
    for whole, elbo, term in zip(gradients, of_the_elbo, of_the_term, strict=True):
        torch.testing.assert_close(whole, elbo + weight * term)
    # The weight: half as hard a push on the decoder's last layer, where a half is asked for.
    last = slice(-2, None)  # weight and bias
    pushes = [torch.cat([g.flatten() for g in part[last]]) for part in (of_the_elbo, of_the_term)]
    torch.testing.assert_close(weight * pushes[1].norm(), 0.5 * pushes[0].norm())


def weight_at(progress: float, **settings) -> float:
    hybrid, images = hybrid_of((2,), **settings), batch((2,))
    return float(lowered(hybrid, images, Moment(progress, 0))[0].named["adversarial_weight"])


def test_the_weight_rises_from_nothing_over_parts_of_the_budget():
    full = weight_at(0.5)
    assert full > 0
    assert weight_at(1.0) == full
    assert [weight_at(at) for at in (0.0, 0.1, 0.1999, 0.2)] == [0.0] * 4
    for at, part in ((0.2003, 0.001), (0.26, 0.2), (0.35, 0.5), (0.485, 0.95)):
        assert weight_at(at) == pytest.approx(part * full)
    assert weight_at(0.2, adversarial_ramp=0.0) == pytest.approx(full)
    assert weight_at(0.0, adversarial_start=0.0, adversarial_ramp=0.0) == pytest.approx(full)


def test_the_weight_is_as_large_as_asked_and_capped_per_value_of_an_image():
    quarter, whole = (weight_at(1.0, adversarial_weight=w) for w in (0.25, 1.0))
    assert quarter == pytest.approx(0.25 * whole)
    cap = weight_at(1.0) / 2 / 4  # points of 2 dimensions; a quarter of what it would be
    assert weight_at(1.0, adversarial_cap=cap) == pytest.approx(2 * cap)
    assert weight_at(0.35, adversarial_cap=cap) == pytest.approx(cap)


def test_the_last_layer_is_the_decoders():
    hybrid = build(RECIPE, (1, 12, 12))
    assert isinstance(hybrid, VAEGAN)
    convolution = hybrid.decoder.body[-1]
    assert [id(p) for p in hybrid._last_layer()] == [id(convolution.weight), id(convolution.bias)]


RECIPE = {
    "name": "tiny",
    "title": "Tiny",
    "summary": "for tests",
    "model": {"kind": "vae-gan", "latent_dim": 2, "network": {"kind": "conv", "width": 4}},
}


def test_one_seed_starts_vae_and_hybrid_from_the_same_weights():
    vae = {**RECIPE, "model": {**RECIPE["model"], "kind": "vae"}}
    plain, hybrid = (build(recipe, (1, 12, 12), seed=4) for recipe in (vae, RECIPE))
    for name, value in plain.state_dict().items():
        assert torch.equal(hybrid.state_dict()[name], value), name
    assert hybrid.count_parameters().keys() - plain.count_parameters() == {"discriminator"}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_discriminators_side_is_that_of_a_gan(shape):
    """The same networks, real images and fakes in a GAN give the same loss, R1 and gradients."""
    settings = {"r1_gamma": 0.6, "r1_interval": 3}
    hybrid, images = hybrid_of(shape, **settings), batch(shape)
    gan = GAN(
        hybrid.decoder,
        copy.deepcopy(hybrid.discriminator),
        event_shape=shape,
        latent_dim=L,
        **settings,
    )
    for step in range(4):
        fakes = pictures(hybrid, images)
        gan._kept_fakes = fakes.clone()
        sides = []
        for game in (hybrid, gan):
            terms = game.loss_discriminator(images, Moment(0.0, step))
            game.discriminator.zero_grad()
            terms.loss.backward()
            sides.append((terms, [p.grad for p in game.discriminator.parameters()]))
        (ours, gradients), (theirs, expected) = sides
        assert ours.named.keys() == theirs.named.keys()
        assert ("r1" in ours.named) == (step % 3 == 0)
        torch.testing.assert_close(ours.loss, theirs.loss)
        torch.testing.assert_close(ours.named, theirs.named)
        torch.testing.assert_close(gradients, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_judged(shape):
    """In [-1, 1]: means of p(x|z) for codes of the batch and, by default, of the prior."""
    images = batch(shape)
    torch.manual_seed(3)
    hybrid = hybrid_of(shape)
    torch.manual_seed(3)
    again = hybrid.decode(hybrid.encode(images).rsample()).mean
    samples = hybrid.decode(torch.randn(3, L, dtype=torch.float64)).mean
    if len(shape) == 3:
        again, samples = 2 * again - 1, 2 * samples - 1
    for moment in (BEFORE, COUNTS):
        torch.testing.assert_close(
            pictures(hybrid, images, moment), torch.cat([again[:3], samples]).detach()
        )
        alone = pictures(hybrid_of(shape, judged="reconstructions"), images, moment)
        torch.testing.assert_close(alone, again.detach())


@pytest.mark.parametrize("judged", ["both", "reconstructions"])
@pytest.mark.parametrize("moment", [BEFORE, COUNTS])
def test_no_loss_reaches_the_other_sides_players(judged, moment):
    """Even where nothing is frozen: the engine's freezing is a second lock."""
    hybrid, images = hybrid_of((1, 4, 4), judged=judged, r1_gamma=1.0), batch((1, 4, 4))
    for kept in (True, False):  # with the fakes of the autoencoder's turn, and with fresh ones
        hybrid.zero_grad()
        if kept:
            pictures(hybrid, images, moment)
        hybrid.loss_discriminator(images, moment).loss.backward()
        for name, parameter in hybrid.named_parameters():
            assert (parameter.grad is not None) == name.startswith("discriminator"), name
    hybrid.zero_grad()
    hybrid.loss(images, moment).loss.backward()
    for name, parameter in hybrid.named_parameters():
        assert (parameter.grad is None) == name.startswith("discriminator"), name


def test_the_discriminator_learns_from_the_first_step():
    hybrid, images = hybrid_of((1, 4, 4)), batch((1, 4, 4), 32)
    optimizer = torch.optim.SGD(hybrid.discriminator.parameters(), lr=0.5)
    losses = []
    for step in range(30):
        pictures(hybrid, images, Moment(0.0, step))
        terms = hybrid.loss_discriminator(images, Moment(0.0, step))
        optimizer.zero_grad()
        terms.loss.backward()
        assert all(bool(p.grad.abs().sum() > 0) for p in hybrid.discriminator.parameters())
        optimizer.step()
        losses.append(float(terms.loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_fakes_are_judged_once():
    hybrid, images = hybrid_of((2,)), batch((2,))
    pictures(hybrid, images)
    first = hybrid.loss_discriminator(images, BEFORE).loss
    assert hybrid._kept_fakes is None
    assert not torch.equal(hybrid.loss_discriminator(images, BEFORE).loss, first), "fresh noise"


def test_a_batch_of_one_can_be_trained_on():
    hybrid, image = hybrid_of((2,)), batch((2,), 1)
    assert pictures(hybrid, image).shape == (1, 2)
    assert pictures(hybrid, batch((2,), 5)).shape == (5, 2), "as many as the batch has"
    assert bool(hybrid.loss_discriminator(image, COUNTS).loss.isfinite())


@pytest.mark.parametrize(("judged", "batches"), [("both", 12), ("reconstructions", 6)])
def test_it_rehearses_what_is_decoded_in_training(judged, batches):
    """Batch statistics must also be those of samples, if samples were judged under theirs."""
    hybrid, seen = hybrid_of((1, 4, 4), judged=judged), []
    hybrid.decoder.register_forward_hook(lambda decoder, codes, output: seen.append(len(output)))
    for images in (batch((1, 4, 4)),) * 6:
        hybrid.rehearse(images)
    assert len(seen) == batches
    assert sum(seen) == 6 * 6 + (batches - 6) * 3


@pytest.mark.parametrize("shape", SHAPES)
def test_it_answers_as_the_vae_does(shape):
    vae, hybrid = (game.eval() for game in pair(shape))
    images, codes = batch(shape), vae.sample_codes(4, seed=1)
    assert isinstance(hybrid, VAE)
    assert hybrid.family == "hybrid"
    assert torch.equal(hybrid.sample(4, seed=1), vae.sample(4, seed=1))
    assert torch.equal(hybrid.reconstruct(images), vae.reconstruct(images))
    assert torch.equal(hybrid.encode(images).mean, vae.encode(images).mean)
    paths = [game.interpolate(*codes.split(2), steps=3) for game in (vae, hybrid)]
    assert torch.equal(*paths)
    bounds = [game.log_evidence_bound(images, seed=2) for game in (vae, hybrid)]
    assert torch.equal(*bounds)


def test_an_estimated_sigma_is_fitted_to_reconstructions_alone():
    """Decoded prior codes have no image they should resemble."""

    def fitted(game: VAE) -> Tensor:
        game.likelihood = GaussianLikelihood((2,), sigma=0.3, mode="optimal", bounded_mean=False)
        lowered(game.double(), batch((2,)), COUNTS)
        return game.likelihood.log_sigma

    plain, hybrid = (fitted(game) for game in pair((2,)))
    assert torch.equal(plain, hybrid)


def test_it_learns_the_ring(tmp_path):
    """Eight narrow Gaussians on a circle: all are found, and no mode is left for another."""
    ring = load_data("ring")
    run = train("vae-gan-mlp", ring, images=38_400, seed=0, out=tmp_path / "run")
    samples = run.model.sample(2_500, seed=1)
    count = count_modes(samples, torch.from_numpy(ring.truth.centers), ring.truth.sigma)
    print(count)  # shown with pytest -rP
    assert count.found == 8
    assert count.reverse_kl < 0.1
    weight = run.history[-1]["autoencoder/adversarial_weight"]
    assert 0.0 < weight <= 20.0, "ten times the two values of a point"


def test_what_measures_a_vae_measures_it(tiny_recipe, disc_data, tmp_path):
    """Bounds, posterior and reconstruction by encoder: the same figures, none of a search."""
    wanted = ["active-units", "negative-elbo", "iwae", "reconstruction-mse"]
    found = []
    for kind in ("vae", "vae-gan"):
        run = train(tiny_recipe(kind), disc_data, images=160, out=tmp_path / kind)
        found.append(evaluate(run, disc_data, metrics=wanted, n=20))
    for evaluation in found:
        assert [figure.key for figure in evaluation.figures] == wanted
    assert found[1].subject["family"] == "hybrid"
    # How codes were found and the likelihood are in the protocols: the figures may be compared.
    protocols = [[figure.protocol for figure in evaluation.figures] for evaluation in found]
    assert protocols[0] == protocols[1]
