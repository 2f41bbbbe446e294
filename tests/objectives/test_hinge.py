"""The hinge losses: closed forms, the margin, and gradients that are 0 or 1 over N."""

import pytest
import torch

from diptych.objectives import discriminator_loss_hinge, generator_loss_hinge

REAL = torch.tensor([-2.0, 0.0, 0.5, 1.0, 3.0], dtype=torch.float64)
FAKE = torch.tensor([-3.0, -1.0, -0.25, 0.0, 2.0], dtype=torch.float64)


def test_values_are_those_worked_out_by_hand():
    of_real = (3.0 + 1.0 + 0.5 + 0.0 + 0.0) / 5
    of_fake = (0.0 + 0.0 + 0.75 + 1.0 + 3.0) / 5
    assert discriminator_loss_hinge(REAL, FAKE).item() == pytest.approx(of_real + of_fake)
    assert generator_loss_hinge(FAKE).item() == pytest.approx(2.25 / 5)


def test_a_discriminator_that_cannot_tell_pays_two_and_one_that_separates_nothing():
    zeros, margin = torch.zeros(4), torch.full((4,), 1.0)
    assert discriminator_loss_hinge(zeros, zeros).item() == 2.0
    assert discriminator_loss_hinge(margin, -margin).item() == 0.0
    assert discriminator_loss_hinge(-margin, margin).item() == 4.0


def test_only_logits_inside_the_margin_are_pushed():
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    of_real, of_fake = torch.autograd.grad(discriminator_loss_hinge(real, fake), [real, fake])
    fifth = torch.tensor(0.2, dtype=torch.float64)
    torch.testing.assert_close(of_real, torch.where(REAL < 1, -fifth, 0 * fifth))
    torch.testing.assert_close(of_fake, torch.where(FAKE > -1, fifth, 0 * fifth))


def test_the_generator_is_pushed_alike_however_sure_the_discriminator_is():
    fake = torch.tensor([-40.0, 0.0, 40.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(generator_loss_hinge(fake), fake)
    torch.testing.assert_close(gradient, torch.full((3,), -1 / 3))


@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_the_mean_is_over_images_only(shape):
    real, fake = REAL.view(shape), FAKE.view(shape)
    twice = discriminator_loss_hinge(torch.cat([real, real]), torch.cat([fake, fake]))
    torch.testing.assert_close(twice, discriminator_loss_hinge(real, fake))
    torch.testing.assert_close(
        generator_loss_hinge(torch.cat([fake, fake])), generator_loss_hinge(fake)
    )
