"""The VAE as a game: what its loss weighs, what its encoder sees, what its verbs return."""

import math

import pytest
import torch
from torch import Tensor, nn

from diptych.distributions import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
    bounded_log_variance,
)
from diptych.models import VAE, Moment
from diptych.networks import MLPDecoder, MLPEncoder

START, MIDDLE, END = (Moment(progress, 0) for progress in (0.0, 0.25, 1.0))
SHAPE = (1, 4, 4)
L = 3


class Constant(nn.Module):
    """A network that answers the same to everything, and remembers what it was asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = nn.Parameter(answer)
        self.asked: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(x.detach())
        return self.answer.expand(len(x), *self.answer.shape)


def likelihood(kind: str, shape: tuple[int, ...]) -> nn.Module:
    if kind == "bernoulli":
        return BernoulliLikelihood(shape)
    if kind == "continuous-bernoulli":
        return ContinuousBernoulliLikelihood(shape)
    if kind == "laplace":
        return LaplaceLikelihood(shape, scale=0.2, bounded_mean=len(shape) == 3)
    return GaussianLikelihood(shape, sigma=0.2, mode="fixed", bounded_mean=len(shape) == 3)


def constant_vae(answer: Tensor, posterior: Tensor, kind: str = "gaussian", **settings) -> VAE:
    shape = tuple(answer.shape)
    return VAE(
        Constant(posterior),
        Constant(answer),
        likelihood(kind, shape),
        event_shape=shape,
        latent_dim=len(posterior) // 2,
        **settings,
    ).double()


def small_vae(shape=SHAPE, kind="gaussian", **settings) -> VAE:
    torch.manual_seed(0)
    return VAE(
        MLPEncoder(shape, 2 * L, width=8, depth=1),
        MLPDecoder(L, shape, width=8, depth=1),
        likelihood(kind, shape),
        event_shape=shape,
        latent_dim=L,
        **settings,
    ).double()


@pytest.fixture
def images():
    torch.manual_seed(1)
    return torch.rand(5, *SHAPE, dtype=torch.float64)


POSTERIOR = torch.tensor([0.5, -1.0, 0.3, -0.7], dtype=torch.float64)
"""Means 0.5 and -1, raw log-variances 0.3 and -0.7."""


def kl_of(posterior: Tensor) -> float:
    mean, raw = posterior.chunk(2)
    log_variance = bounded_log_variance(raw)
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum().item()


@pytest.mark.parametrize("kind", ["gaussian", "laplace", "bernoulli", "continuous-bernoulli"])
def test_the_loss_sums_over_pixels(images, kind):
    """An image of twice as many pixels, each of them repeated, costs twice as much."""
    answer = torch.randn(SHAPE, dtype=torch.float64)
    images = images.round() if kind == "bernoulli" else images
    small = constant_vae(answer, POSTERIOR, kind).loss(images, END)
    wide = constant_vae(answer.repeat(1, 1, 2), POSTERIOR, kind).loss(
        images.repeat(1, 1, 1, 2), END
    )
    torch.testing.assert_close(wide.named["reconstruction"], 2 * small.named["reconstruction"])
    torch.testing.assert_close(wide.named["kl"], small.named["kl"])
    tall = constant_vae(answer.repeat(3, 1, 1), POSTERIOR, kind).loss(
        images.repeat(1, 3, 1, 1), END
    )
    torch.testing.assert_close(tall.named["reconstruction"], 3 * small.named["reconstruction"])


def test_doubling_the_batch_does_not_change_the_loss(images):
    vae = constant_vae(torch.zeros(SHAPE, dtype=torch.float64), POSTERIOR)
    torch.testing.assert_close(
        vae.loss(images, END).loss, vae.loss(images.repeat(2, 1, 1, 1), END).loss
    )


@pytest.mark.parametrize("beta", [0.0, 1.0, 5.0])
def test_beta_weighs_the_kl_summed_over_latents(images, beta):
    vae = constant_vae(torch.zeros(SHAPE, dtype=torch.float64), POSTERIOR, beta=beta)
    terms = vae.loss(images, END)
    kl = kl_of(POSTERIOR)
    assert terms.named["kl"].item() == pytest.approx(kl)
    expected = terms.named["reconstruction"].item() + beta * kl
    assert terms.loss.item() == pytest.approx(expected)


def test_the_warmup_arrives_at_exactly_the_elbo(images):
    vae = constant_vae(torch.zeros(SHAPE, dtype=torch.float64), POSTERIOR, kl_warmup=0.5)
    for moment, weight in ((START, 0.0), (MIDDLE, 0.5), (Moment(0.5, 7), 1.0), (END, 1.0)):
        terms = vae.loss(images, moment)
        expected = terms.named["reconstruction"] + weight * terms.named["kl"]
        torch.testing.assert_close(terms.loss, expected)
    assert torch.equal(terms.loss, terms.named["negative_elbo"])


def test_free_bits_lift_what_is_optimised_and_not_what_is_reported(images):
    vae = constant_vae(torch.zeros(SHAPE, dtype=torch.float64), POSTERIOR, free_nats=10.0)
    terms = vae.loss(images, END)
    assert terms.named["kl"].item() == pytest.approx(kl_of(POSTERIOR))
    assert (terms.loss - terms.named["reconstruction"]).item() == pytest.approx(2 * 10.0)


def test_the_encoder_sees_images_around_zero_and_points_as_they_are(images):
    vae = constant_vae(torch.zeros(SHAPE, dtype=torch.float64), POSTERIOR)
    vae.encode(images)
    torch.testing.assert_close(vae.encoder.asked[-1], 2 * images - 1)
    points = torch.randn(4, 2, dtype=torch.float64)
    of_points = constant_vae(torch.zeros(2, dtype=torch.float64), POSTERIOR)
    of_points.encode(points)
    assert torch.equal(of_points.encoder.asked[-1], points)


def test_the_posterior_samples_have_its_mean_and_deviation(images):
    vae = constant_vae(torch.zeros(SHAPE, dtype=torch.float64), POSTERIOR)
    torch.manual_seed(2)
    n = 40_000
    with torch.no_grad():
        posterior = vae.encode(images[:1])
        z = posterior.sample((n,))[:, 0]
    mean, raw = POSTERIOR.chunk(2)
    std = torch.exp(0.5 * bounded_log_variance(raw))
    torch.testing.assert_close(posterior.mean[0], mean)
    assert float(((z.mean(0) - mean) / std).abs().max()) < 5 / math.sqrt(n)
    assert float((z.std(0) / std - 1).abs().max()) < 5 / math.sqrt(2 * n)


@pytest.mark.parametrize("kind", ["gaussian", "laplace", "bernoulli", "continuous-bernoulli"])
def test_encode_and_decode_return_distributions_over_whole_rows(images, kind):
    vae = small_vae(kind=kind)
    posterior = vae.encode(images)
    z = posterior.rsample()
    assert posterior.log_prob(z).shape == (5,)
    assert vae.prior().log_prob(z).shape == (5,)
    decoded = vae.decode(z)
    assert decoded.log_prob(images.round()).shape == (5,)
    torch.testing.assert_close(vae.decode_mean(z), decoded.mean)


def test_images_are_explained_one_by_one(images):
    vae = small_vae().eval()
    together = vae.log_evidence_bound(images, seed=0)
    assert together.shape == (5,)
    torch.testing.assert_close(together[:1], vae.log_evidence_bound(images[:1], seed=0))


def test_the_reported_bound_knows_neither_beta_nor_free_bits(images):
    plain = small_vae().log_evidence_bound(images, seed=3)
    weighed = small_vae(beta=7.0, free_nats=2.0, kl_warmup=0.9).log_evidence_bound(images, seed=3)
    assert torch.equal(plain, weighed)


def test_optimal_sigma_is_fitted_by_training_and_never_by_evaluation(images):
    vae = small_vae()
    vae.likelihood = GaussianLikelihood(
        SHAPE, sigma=0.7, mode="optimal", bounded_mean=True
    ).double()
    vae.eval()
    vae.loss(images, END)
    vae.log_evidence_bound(images, seed=0)
    assert vae.likelihood.log_sigma.item() == pytest.approx(math.log(0.7))
    vae.train()
    vae.loss(images, END)
    assert vae.likelihood.log_sigma.item() != pytest.approx(math.log(0.7))


@pytest.mark.parametrize("shape", [SHAPE, (2,)])
def test_the_gradient_reaches_the_encoder_through_the_sample_alone(shape):
    """With beta 0 only the reparameterised sample connects the two."""
    vae = small_vae(shape, beta=0.0)
    vae.loss(torch.rand(6, *shape, dtype=torch.float64), END).loss.backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in vae.encoder.parameters())


def test_interpolation_is_the_straight_line_between_codes():
    vae = small_vae((2,))
    start, end = torch.randn(2, 3, L, dtype=torch.float64)
    path = vae.interpolate(start, end, steps=5)
    for index, t in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
        torch.testing.assert_close(path[:, index], vae.decode_mean(torch.lerp(start, end, t)))


def test_reconstruction_decodes_the_mean_of_the_posterior(images):
    vae = small_vae()
    expected = vae.decode(vae.encode(images).mean).mean
    torch.testing.assert_close(vae.reconstruct(images), expected.detach())


def test_a_model_in_double_precision_samples_in_double_precision():
    assert small_vae().sample(3, seed=0).dtype == torch.float64


def test_samples_do_not_depend_on_how_they_are_batched():
    vae = small_vae()
    torch.testing.assert_close(
        vae.sample(7, seed=0, batch_size=3), vae.sample(7, seed=0, batch_size=100)
    )
