"""The losses of the two players: formulas, fixed point, and gradients that stay alive."""

import math

import pytest
import torch

from diptych.objectives import (
    discriminator_loss,
    generator_loss_minimax,
    generator_loss_non_saturating,
)

SAFE = torch.linspace(-15, 15, 61, dtype=torch.float64)
EXTREMES = [-50.0, -30.0, -15.0, -1.0, 0.0, 1.0, 15.0, 30.0, 50.0]


def gradient(loss, logit, dtype=torch.float64):
    logits = torch.tensor([logit], dtype=dtype, requires_grad=True)
    return torch.autograd.grad(loss(logits), logits)[0].item()


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def test_losses_equal_their_formulas():
    d_real, d_fake = torch.sigmoid(SAFE), torch.sigmoid(SAFE.flip(0) + 0.3)
    fake_logits = SAFE.flip(0) + 0.3
    torch.testing.assert_close(
        discriminator_loss(SAFE, fake_logits), -d_real.log().mean() - (1 - d_fake).log().mean()
    )
    torch.testing.assert_close(generator_loss_minimax(fake_logits), (1 - d_fake).log().mean())
    torch.testing.assert_close(generator_loss_non_saturating(fake_logits), -d_fake.log().mean())


@pytest.mark.parametrize("logit", EXTREMES)
def test_gradients_equal_their_formulas_to_relative_precision(logit):
    zero = torch.zeros(1, dtype=torch.float64)
    for loss, expected in (
        (lambda x: discriminator_loss(x, zero), -sigmoid(-logit)),
        (lambda x: discriminator_loss(zero, x), sigmoid(logit)),
        (generator_loss_non_saturating, -sigmoid(-logit)),
        (generator_loss_minimax, -sigmoid(logit)),
    ):
        assert gradient(loss, logit) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-50.0, 50.0])
def test_no_gradient_dies_at_large_logits(logit, dtype):
    """An epsilon inside a logarithm would give exactly 0 on one side."""
    zero = torch.zeros(1, dtype=dtype)
    for loss in (
        lambda x: discriminator_loss(x, zero),
        lambda x: discriminator_loss(zero, x),
        generator_loss_non_saturating,
        generator_loss_minimax,
    ):
        assert gradient(loss, logit, dtype) != 0.0


def test_the_non_saturating_loss_is_alive_where_the_minimax_loss_fades():
    sure_it_is_fake = -20.0
    assert gradient(generator_loss_non_saturating, sure_it_is_fake) == pytest.approx(-1.0)
    assert abs(gradient(generator_loss_minimax, sure_it_is_fake)) < 1e-8


def test_both_games_share_the_fixed_point():
    """Where D cannot tell: D's loss is 2 log 2, and both G gradients are the same -1/2."""
    zeros = torch.zeros(5, dtype=torch.float64)
    assert discriminator_loss(zeros, zeros).item() == pytest.approx(1.386294361119891)
    assert generator_loss_non_saturating(zeros).item() == pytest.approx(math.log(2))
    assert generator_loss_minimax(zeros).item() == pytest.approx(-math.log(2))
    assert gradient(generator_loss_non_saturating, 0.0) == pytest.approx(-0.5)
    assert gradient(generator_loss_minimax, 0.0) == pytest.approx(-0.5)
    assert gradient(lambda x: discriminator_loss(x, x), 0.0) == 0.0


def test_the_two_generator_losses_differ_away_from_it():
    for logit in (-3.0, 3.0):
        logits = torch.tensor([logit], dtype=torch.float64)
        assert generator_loss_minimax(logits) != generator_loss_non_saturating(logits)
        assert gradient(generator_loss_minimax, logit) != pytest.approx(
            gradient(generator_loss_non_saturating, logit), rel=0.1
        )


def test_minimax_is_the_discriminators_own_term_with_the_opposite_sign():
    fake = SAFE.clone().requires_grad_()
    of_d = torch.autograd.grad(discriminator_loss(SAFE, fake), fake)[0]
    of_g = torch.autograd.grad(generator_loss_minimax(fake), fake)[0]
    assert torch.equal(of_g, -of_d)


def test_the_optimal_discriminator_attains_the_jensen_shannon_divergence():
    """At D* = p / (p + q) the loss is 2 log 2 - 2 JSD(p, q); any other D is worse."""
    p = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    q = torch.tensor([0.4, 0.4, 0.1, 0.1], dtype=torch.float64)
    counts = 10

    def expected_loss(logits):
        real = torch.repeat_interleave(logits, (p * counts).round().long())
        fake = torch.repeat_interleave(logits, (q * counts).round().long())
        return discriminator_loss(real, fake).item()

    middle = (p + q) / 2
    jsd = 0.5 * (p * (p / middle).log()).sum() + 0.5 * (q * (q / middle).log()).sum()
    best = (p / q).log()
    assert expected_loss(best) == pytest.approx(2 * math.log(2) - 2 * jsd.item())
    torch.manual_seed(0)
    assert all(
        expected_loss(best + 0.1 * torch.randn(4, dtype=torch.float64)) > expected_loss(best)
        for _ in range(10)
    )


@pytest.mark.parametrize("shape", [(12,), (12, 1)])
def test_the_mean_is_over_images_only(shape):
    logits = SAFE[:12].view(shape)
    twice = torch.cat([logits, logits])
    torch.testing.assert_close(
        discriminator_loss(twice, twice), discriminator_loss(logits, logits)
    )
    torch.testing.assert_close(
        generator_loss_non_saturating(twice), generator_loss_non_saturating(logits)
    )
