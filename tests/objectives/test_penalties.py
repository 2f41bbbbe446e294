"""R1 on discriminators whose gradient is known."""

import pytest
import torch
from torch import nn

from diptych.objectives import r1_penalty

GAMMA = 3.7


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.randn(6, 2, 3, 2, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def weight():
    torch.manual_seed(1)
    return torch.randn(12, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def smooth():
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Softplus(), nn.Linear(5, 1)).double()


@pytest.mark.parametrize("column", [False, True])
def test_of_a_linear_discriminator_it_is_half_gamma_squared_norm(images, weight, column):
    logits = images.flatten(1) @ weight
    penalty = r1_penalty(logits[:, None] if column else logits, images, GAMMA)
    torch.testing.assert_close(penalty, GAMMA / 2 * weight.square().sum())
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(gradient, GAMMA * weight)


def test_the_norm_is_of_each_image_and_over_all_its_values(images):
    """D(x) = |x|^2 / 2 has gradient x, so R1 = gamma/2 mean_n |x_n|^2.

    One norm over the whole batch would be N times, a norm per channel a part of it.
    """
    logits = images.square().flatten(1).sum(1) / 2
    expected = GAMMA / 2 * images.flatten(1).norm(dim=1).square().mean()
    torch.testing.assert_close(r1_penalty(logits, images, GAMMA), expected)


def test_doubling_the_batch_does_not_change_it(images, smooth):
    once = r1_penalty(smooth(images), images, GAMMA)
    doubled = images.detach().repeat(2, 1, 1, 1).requires_grad_()
    torch.testing.assert_close(r1_penalty(smooth(doubled), doubled, GAMMA), once)


def test_its_gradient_is_that_of_finite_differences(images, smooth):
    parameters = dict(smooth.named_parameters())

    def penalty(*values):
        logits = torch.func.functional_call(
            smooth, dict(zip(parameters, values, strict=True)), (images,)
        )
        return r1_penalty(logits, images, GAMMA)

    values = tuple(p.detach().clone().requires_grad_() for p in parameters.values())
    assert torch.autograd.gradcheck(
        lambda *three: penalty(*three, values[3].detach()), values[:3], atol=1e-6
    )


def test_it_is_not_detached_and_reaches_every_layer(images, smooth):
    penalty = r1_penalty(smooth(images), images, GAMMA)
    penalty.backward()
    *felt, last_bias = smooth.parameters()
    assert all(bool(p.grad.abs().sum() > 0) for p in felt)
    assert last_bias.grad is None, "a constant in the logit has no slope"


def test_a_flat_discriminator_costs_nothing_and_has_a_finite_gradient(images):
    weight = torch.zeros(12, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty(images.flatten(1) @ weight, images, GAMMA)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert penalty.item() == 0.0
    assert torch.equal(gradient, torch.zeros_like(gradient)), "a square root would give NaN"


def test_half_precision_gradients_are_summed_in_single():
    images = torch.full((1, 1, 64, 64), 0.5, dtype=torch.bfloat16, requires_grad=True)
    penalty = r1_penalty((images * 1.0).sum().view(1), images, 2.0)
    assert penalty.dtype == torch.float32
    assert penalty.item() == 64 * 64
