"""R1 without double backward, against R1 with it and against known answers."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from diptych.networks import ConvEncoder
from diptych.objectives import (
    r1_penalty,
    r2_penalty,
    squared_gradient,
    squared_gradient_by_differences,
)

SMOOTH = {"softplus": nn.Softplus, "tanh": nn.Tanh}


def images(n: int = 6, shape=(2, 6, 6), dtype=torch.float64) -> Tensor:
    torch.manual_seed(0)
    return (2 * torch.rand(n, *shape, dtype=dtype) - 1).requires_grad_()


def smooth(kind: str, dtype=torch.float64) -> nn.Module:
    torch.manual_seed(1)
    layer = SMOOTH[kind]
    return nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1), layer(), nn.Flatten(), nn.Linear(180, 7), layer(),
        nn.Linear(7, 1),
    ).to(dtype)  # fmt: skip


def gradient(discriminator: nn.Module, of: Tensor) -> Tensor:
    parts = torch.autograd.grad(
        of.mean(), list(discriminator.parameters()), allow_unused=True, materialize_grads=True
    )
    return torch.cat([part.flatten() for part in parts])


def exactly(discriminator: nn.Module, x: Tensor) -> Tensor:
    return squared_gradient(discriminator(x), x)


def by_differences(discriminator: nn.Module, x: Tensor, **settings) -> Tensor:
    return squared_gradient_by_differences(discriminator, discriminator(x), x, **settings)


@pytest.mark.parametrize("kind", SMOOTH)
def test_the_value_is_exact_for_each_image(kind):
    discriminator, x = smooth(kind), images()
    torch.testing.assert_close(by_differences(discriminator, x), exactly(discriminator, x))
    assert len(by_differences(discriminator, x)) == len(x)


@pytest.mark.parametrize("kind", SMOOTH)
def test_the_gradient_converges_with_the_square_of_the_displacement(kind):
    """Halving the displacement divides the error by 4: forward differences would by 2."""
    discriminator, x = smooth(kind), images()
    exact = gradient(discriminator, exactly(discriminator, x))
    errors = []
    for displacement in (0.2, 0.1, 0.05, 0.025):
        found = gradient(
            discriminator, by_differences(discriminator, x, displacement=displacement)
        )
        errors.append(float((found - exact).norm() / exact.norm()))
    for larger, smaller in pairwise(errors):
        assert larger / smaller == pytest.approx(4.0, rel=0.1)
    assert errors[1] < 0.01, "the default displacement on a smooth network"


@pytest.mark.parametrize("kind", SMOOTH)
def test_rounding_in_single_precision_is_small_at_the_default_displacement(kind):
    network, x = smooth(kind, torch.float32), images().detach().float().requires_grad_()
    double = smooth(kind)
    found = gradient(network, by_differences(network, x)).double()
    expected = gradient(double, by_differences(double, x.detach().double().requires_grad_()))
    assert float((found - expected).norm() / expected.norm()) < 1e-4


def test_a_quadratic_discriminator_has_no_error_at_all():
    """D(x) = a |x|^2 / 2: |grad|^2 = a^2 |x|^2, and central differences are exact on squares."""
    scale = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    x = images()

    def discriminator(inputs: Tensor) -> Tensor:
        return scale * inputs.square().flatten(1).sum(1, keepdim=True) / 2

    norms = squared_gradient_by_differences(discriminator, discriminator(x), x, displacement=0.5)
    squares = x.detach().square().flatten(1).sum(1)
    torch.testing.assert_close(norms, 1.7**2 * squares)
    (found,) = torch.autograd.grad(norms.sum(), scale)
    torch.testing.assert_close(found, 2 * 1.7 * squares.sum())


def leaky(x: Tensor, threshold: Tensor, left: float, right: float) -> Tensor:
    beyond = x - threshold
    return torch.where(beyond > 0, right * beyond, left * beyond)


def test_the_threshold_of_a_rectifier_is_moved_where_double_backward_does_not_see_it():
    """x uniform on [0, 1], slope l below b and r above: E|D'|^2 = b l^2 + (1 - b) r^2.

    Its derivative with respect to b is l^2 - r^2. Double backward says 0: it holds fixed which
    images lie above the threshold.
    """
    left, right = 0.2, 1.5
    x = ((torch.arange(40_000, dtype=torch.float64) + 0.5) / 40_000)[:, None].requires_grad_()
    threshold = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)

    def discriminator(inputs: Tensor) -> Tensor:
        return leaky(inputs, threshold, left, right)

    assert not squared_gradient(discriminator(x), x).requires_grad, "double backward is blind"
    for displacement in (0.01, 0.1, 0.3):
        norms = squared_gradient_by_differences(
            discriminator, discriminator(x), x, displacement=displacement
        )
        assert norms.mean().item() == pytest.approx(0.4 * left**2 + 0.6 * right**2, rel=1e-3)
        (found,) = torch.autograd.grad(norms.mean(), threshold)
        assert found.item() == pytest.approx(left**2 - right**2, rel=0.01)


def test_on_a_leaky_convolutional_discriminator_it_pushes_the_same_way():
    """In float32. The rest of the difference is the thresholds' share, see above."""
    torch.manual_seed(3)
    discriminator = ConvEncoder((1, 28, 28), 1, width=8)
    rows = torch.linspace(-1, 1, 28)
    phase = torch.rand(256, 1, 1, 1) * 6.3
    x = torch.cos(4 * (rows[:, None] + rows * torch.rand(256, 1, 1, 1)) + phase).requires_grad_()
    exact = gradient(discriminator, exactly(discriminator, x))
    found = gradient(discriminator, by_differences(discriminator, x))
    assert found.dtype == torch.float32
    assert float(found @ exact / (found.norm() * exact.norm())) > 0.85
    assert 0.8 < float(found.norm() / exact.norm()) < 1.3
    torch.testing.assert_close(by_differences(discriminator, x), exactly(discriminator, x))


def test_it_takes_no_second_derivative():
    """An operation that has none will do; double backward loses its part without a word."""

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.tanh()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return gradient * (1 - ctx.saved_tensors[0].tanh().square())

    class Layer(nn.Module):
        def forward(self, x):
            return Once.apply(x)

    x = images()
    discriminator = smooth("tanh")
    expected = gradient(discriminator, by_differences(discriminator, x))
    discriminator[1] = Layer()
    torch.testing.assert_close(gradient(discriminator, by_differences(discriminator, x)), expected)
    lost = gradient(discriminator, exactly(discriminator, x))
    assert float((lost - expected).norm() / expected.norm()) > 0.1


def test_flat_discriminators_and_empty_pictures_are_finite():
    x = torch.zeros(3, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    discriminator = smooth("tanh")
    assert bool(gradient(discriminator, by_differences(discriminator, x)).isfinite().all())
    for parameter in discriminator[-1].parameters():
        nn.init.zeros_(parameter)
    norms = by_differences(discriminator, images())
    assert torch.equal(norms, torch.zeros_like(norms))
    assert bool(gradient(discriminator, norms).isfinite().all())


def test_r2_is_r1_of_generated_images():
    discriminator, x = smooth("softplus"), images()
    of_fakes = r2_penalty(discriminator(x), x, 3.0)
    torch.testing.assert_close(of_fakes, 1.5 * exactly(discriminator, x).mean())
    torch.testing.assert_close(of_fakes, r1_penalty(discriminator(x), x, 3.0))
