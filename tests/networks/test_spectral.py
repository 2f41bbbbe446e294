"""Spectral normalisation: against torch's own, against the SVD, and what it must not disturb."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from diptych.networks.spectral import SpectralConv2d, SpectralLinear


def layers() -> dict[str, tuple[nn.Module, nn.Module, torch.Tensor]]:
    """Ours, the plain layer with the same weights, and an input."""
    torch.manual_seed(0)
    conv, linear = SpectralConv2d(3, 5, 3), SpectralLinear(7, 4)
    plain_conv, plain_linear = nn.Conv2d(3, 5, 3, padding=1), nn.Linear(7, 4)
    for ours, plain in ((conv, plain_conv), (linear, plain_linear)):
        nn.init.normal_(ours.bias)
        plain.load_state_dict({"weight": ours.weight, "bias": ours.bias})
    return {
        "conv": (conv.double(), plain_conv.double(), torch.randn(2, 3, 6, 6).double()),
        "linear": (linear.double(), plain_linear.double(), torch.randn(2, 7).double()),
    }


@pytest.fixture(params=["conv", "linear"])
def case(request):
    return layers()[request.param]


def test_every_training_step_is_that_of_torchs_own_layer(case):
    """torch.nn.utils.spectral_norm iterates in the paper's order, v and then u."""
    ours, plain, x = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = nn.utils.spectral_norm(plain)
    theirs.weight_u.copy_(ours.u)
    rates = [torch.optim.SGD(layer.parameters(), 0.1) for layer in (ours, theirs)]
    for _ in range(4):
        outputs = [layer(x) for layer in (ours, theirs)]
        torch.testing.assert_close(*outputs)
        for optimizer, output in zip(rates, outputs, strict=True):
            optimizer.zero_grad()
            output.tanh().square().sum().backward()
            optimizer.step()
        torch.testing.assert_close(ours.weight.grad, theirs.weight_orig.grad)
        torch.testing.assert_close(ours.u, theirs.weight_u)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_it_converges_to_torchs_parametrization_and_to_the_largest_singular_value(case):
    ours, plain, x = case
    theirs = parametrizations.spectral_norm(plain, n_power_iterations=200)
    for _ in range(300):
        ours.normalised_weight()
    torch.testing.assert_close(ours(x), theirs(x))
    largest = torch.linalg.matrix_norm(ours.weight.flatten(1), ord=2)
    torch.testing.assert_close(ours.normalised_weight() * largest, ours.weight)
    gradients = []
    for layer, weight in ((ours, ours.weight), (theirs, theirs.parametrizations.weight.original)):
        gradients.append(torch.autograd.grad(layer(x).sin().sum(), weight)[0])
    torch.testing.assert_close(*gradients)


def test_the_first_sigma_is_near_the_truth():
    torch.manual_seed(0)
    for _ in range(10):
        layer = SpectralConv2d(64, 64, 3)
        largest = torch.linalg.matrix_norm(layer.normalised_weight().detach().flatten(1), ord=2)
        assert 1.0 <= float(largest) < 1.05


def test_the_gradient_knows_that_sigma_depends_on_the_weight(case):
    """W / sigma does not change when W is scaled, so the gradient is orthogonal to W."""
    ours, _, x = case
    (gradient,) = torch.autograd.grad(ours(x).sin().sum(), ours.weight)
    assert abs(float((gradient * ours.weight.detach()).sum())) < 1e-9
    assert float(gradient.norm()) > 1e-3


def test_evaluation_changes_nothing_and_training_keeps_what_it_learned(case):
    ours, _, x = case
    ours.eval()
    before = copy.deepcopy(ours.state_dict())
    assert torch.equal(ours(x), ours(x))
    for key, value in ours.state_dict().items():
        assert torch.equal(value, before[key])
    nn.init.normal_(ours.weight)
    ours.train()(x)
    assert not torch.equal(ours.u, before["u"])
    assert set(before) == {"weight", "bias", "u", "v"}
    other = copy.deepcopy(ours)
    nn.init.zeros_(other.u)
    other.load_state_dict(ours.state_dict())
    assert torch.equal(other.eval()(x), ours.eval()(x))


def test_a_graph_survives_the_next_forward(case):
    """As in a penalty: the first pass is differentiated after the second has iterated."""
    ours, _, x = case
    alone = copy.deepcopy(ours)
    first = ours(x)
    ours(x)
    (gradient,) = torch.autograd.grad(first.sin().sum(), ours.weight)
    (expected,) = torch.autograd.grad(alone(x).sin().sum(), alone.weight)
    torch.testing.assert_close(gradient, expected)


def test_it_has_a_second_derivative(case):
    ours, _, x = case
    weight = ours.weight.detach().clone().requires_grad_()

    def penalty(value):
        layer = copy.deepcopy(ours).eval()
        del layer.weight
        layer.weight = value
        inputs = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(layer(inputs).sin().sum(), inputs, create_graph=True)
        return gradient.square().sum()

    assert torch.autograd.gradcheck(penalty, [weight])


def test_sigma_stays_in_single_precision_under_autocast():
    torch.manual_seed(0)
    layer = SpectralLinear(300, 200)
    with torch.autocast("cpu", torch.bfloat16):
        weight, output = layer.normalised_weight(), layer(torch.randn(2, 300))
    assert weight.dtype == torch.float32
    assert output.dtype == torch.bfloat16
    assert layer.u.dtype == layer.v.dtype == torch.float32
    torch.testing.assert_close(
        weight, layer.weight / (layer.u @ layer.weight @ layer.v), rtol=1e-3, atol=1e-5
    )
