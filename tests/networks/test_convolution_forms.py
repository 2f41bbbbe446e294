"""Every faster form of a convolution against its slow twin: values and two derivatives."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from diptych.networks import ConvEncoder, convolution
from diptych.networks.convolution import Geometry, down, pays_down, pays_up, spread, up
from diptych.networks.faster import flatten_pixels, in_one_pass, use_faster_layers

CL = torch.channels_last
HALVING = ((4, 4), (2, 2), (1, 1))
GEOMETRIES = [
    Geometry(*HALVING, (8, 8)),
    Geometry(*HALVING, (6, 10)),
    Geometry(*HALVING, (7, 9)),  # odd: a row and a column that no output reaches
    Geometry((3, 3), (1, 1), (1, 1), (4, 5)),
    Geometry((4, 4), (1, 1), (0, 0), (4, 4)),
    Geometry((5, 3), (2, 1), (2, 0), (9, 6)),
    Geometry((1, 1), (1, 1), (0, 0), (1, 1)),  # a head on pooled pictures
    Geometry((1, 3), (1, 1), (0, 1), (1, 4)),
]


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return values.contiguous(memory_format=CL)


def three(geometry, inputs, outputs, count=3):
    x = numbers(count, inputs, *geometry.fine, seed=1)
    y = numbers(count, outputs, *geometry.coarse, seed=2)
    w = numbers(outputs, inputs, *geometry.kernel, seed=3)
    return x, y, w


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("inputs", [1, 3])
def test_the_three_maps_are_adjoint(geometry, inputs):
    x, y, w = three(geometry, inputs, 5)
    products = [
        (y * down(x, w, None, geometry)).sum(),
        (x * up(y, w, None, geometry)).sum(),
        (w * spread(x, y, geometry)).sum(),
    ]
    torch.testing.assert_close(torch.stack(products), products[0].expand(3))


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("inputs", [1, 2])
def test_first_and_second_derivatives_are_those_of_finite_differences(geometry, inputs):
    x, y, w = (values.requires_grad_() for values in three(geometry, inputs, 2, count=2))
    for function, arguments in (
        (lambda a, b: down(a, b, None, geometry), (x, w)),
        (lambda a, b: up(a, b, None, geometry), (y, w)),
        (lambda a, b: spread(a, b, geometry), (x, y)),
    ):
        assert torch.autograd.gradcheck(function, arguments, fast_mode=True)
        assert torch.autograd.gradgradcheck(function, arguments, fast_mode=True)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_each_form_is_its_stock_twin(geometry):
    for inputs in (1, 3):
        x, y, w = three(geometry, inputs, 5)
        stock = convolution._stock_up(y, w, geometry)
        assert stock.shape == x.shape
        if inputs == 1:
            torch.testing.assert_close(convolution._up_to_one(y, w, geometry), stock)
        if geometry.doubles:
            torch.testing.assert_close(convolution._up_by_rearranging(y, w), stock)
        torch.testing.assert_close(
            convolution._spread_by_product(x, y, geometry),
            convolution._stock_spread(x, y, geometry),
        )


def test_the_forms_are_taken_where_they_pay():
    halving = Geometry(*HALVING, (32, 32))
    assert pays_down(halving, 3, torch.float32, to_images=True)
    assert not pays_down(halving, 3, torch.float32, to_images=False)
    assert not pays_down(halving, 64, torch.bfloat16, to_images=True)
    assert pays_down(Geometry(*HALVING, (8, 8)), 128, torch.bfloat16, to_images=False)
    assert not pays_down(Geometry(*HALVING, (8, 8)), 128, torch.float32, to_images=False)
    assert pays_up(halving, 1, torch.float32)
    assert not pays_up(halving, 32, torch.bfloat16)


def test_patches_of_a_small_coarse_side_are_summed_by_a_product_in_half_precision(monkeypatch):
    geometry = Geometry(*HALVING, (8, 8))
    x, y, _ = (values.bfloat16().contiguous(memory_format=CL) for values in three(geometry, 8, 16))
    product = spread(x, y, geometry)
    monkeypatch.setattr(convolution, "FEW_POSITIONS", 0)
    stock = spread(x, y, geometry)
    assert product.dtype == stock.dtype == torch.bfloat16
    exact = convolution._stock_spread(x.double(), y.double(), geometry)
    for found in (product, stock):  # both within the rounding of bfloat16
        assert (found.double() - exact).abs().max() <= 2**-7 * exact.abs().max()


def networks(channels):
    torch.manual_seed(0)
    discriminator = nn.Sequential(
        nn.Conv2d(channels, 8, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 16, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(16 * 16, 1),
    )
    generator = nn.Sequential(
        nn.Unflatten(1, (6, 1, 1)),
        nn.ConvTranspose2d(6, 16, 4, 1, 0, bias=False),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, channels, 4, 2, 1),
        nn.Tanh(),
    )
    return generator.double().to(memory_format=CL), discriminator.double().to(memory_format=CL)


@pytest.mark.parametrize("channels", [1, 3])
def test_networks_of_faster_layers_have_the_same_gradients(channels):
    generator, discriminator = networks(channels)
    faster = copy.deepcopy(generator), copy.deepcopy(discriminator)
    assert use_faster_layers(faster[0]) == 3
    assert use_faster_layers(faster[1]) == 3
    z = numbers(5, 6, 1, 1).flatten(1)

    def gradients(pair):
        g, d = pair
        images = g(z).requires_grad_()
        logits = d(images)
        (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        loss = F.softplus(-logits).mean() + slope.square().sum()  # a penalty: two derivatives
        return loss, *torch.autograd.grad(loss, [*g.parameters(), *d.parameters()])

    for slow, fast in zip(gradients((generator, discriminator)), gradients(faster), strict=True):
        torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("channels", [1, 3])
def test_under_autocast_they_round_no_worse_than_the_stock_layers(channels):
    _, exact = networks(channels)
    stock = copy.deepcopy(exact).float()
    faster = copy.deepcopy(stock)
    assert use_faster_layers(faster) == 3
    images = numbers(64, channels, 16, 16)

    def gradients(network, dtype, half):
        x = images.to(dtype).contiguous(memory_format=CL).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = network(x)
        loss = F.softplus(logits.to(dtype)).mean()
        return torch.autograd.grad(loss, [x, *network.parameters()])

    true = gradients(exact, torch.float64, half=False)
    slow, fast = (gradients(network, torch.float32, half=True) for network in (stock, faster))
    for right, one, other in zip(true, slow, fast, strict=True):
        assert other.dtype == torch.float32
        assert (other - right).norm() < 1.3 * (one - right).norm() + 1e-3 * right.norm()


def test_adding_up_in_the_last_layer_rounds_little_more_than_the_stock_kernel():
    geometry = Geometry(*HALVING, (28, 28))
    _, y, w = three(geometry, 1, 32, count=16)
    y, w = (values.bfloat16().contiguous(memory_format=CL) for values in (y, w))
    exact = convolution._stock_up(y.double(), w.double(), geometry)
    error = [
        (form(y, w, geometry).double() - exact).square().mean().sqrt()
        for form in (convolution._up_to_one, convolution._stock_up)
    ]
    assert error[0] < 1.6 * error[1]  # 1.9 if the products were added up in half precision


def test_a_pooled_head_trains_in_half_precision():
    """Sides of length 1, whose strides may be anything, among them those of a linear layer."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(8, 4, 1),
        nn.Flatten(),
        nn.Linear(4, 8),
        nn.Unflatten(1, (8, 1, 1)),
        nn.ConvTranspose2d(8, 2, 4),
    ).to(memory_format=CL)
    faster = copy.deepcopy(network)
    use_faster_layers(faster)
    images = numbers(4, 3, 6, 6).float().contiguous(memory_format=CL)
    found = []
    for each in (network, faster):
        with torch.autocast("cpu", torch.bfloat16):
            loss = each(images).float().square().mean()
        found.append(torch.autograd.grad(loss, list(each.parameters())))
    for one, other in zip(*found, strict=True):
        assert (other - one).norm() <= 0.05 * one.norm() + 1e-6


def test_a_later_plan_undoes_an_earlier_one():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 1)
    )
    stock = [type(layer) for layer in network]
    assert use_faster_layers(network, onednn=True) == 4
    assert use_faster_layers(network, onednn=False) == 3
    assert type(network[3]) is nn.Linear
    assert use_faster_layers(network, forms=False) == 0
    assert [type(layer) for layer in network] == stock


def test_jacobians_of_an_encoder_can_be_taken():
    encoder = ConvEncoder((1, 12, 12), 4, width=4).to(memory_format=CL)
    image = torch.rand(1, 1, 12, 12).contiguous(memory_format=CL)
    jacobian = torch.func.jacrev(encoder)(image)
    twin = torch.autograd.functional.jacobian(encoder, image)
    torch.testing.assert_close(jacobian, twin)
    assert torch.func.vmap(encoder)(image[None]).shape == (1, 1, 4)


def test_in_evaluation_and_for_other_layouts_nothing_is_different():
    generator, _ = networks(1)
    faster = copy.deepcopy(generator)
    use_faster_layers(faster)
    z = numbers(2, 6, 1, 1).flatten(1)
    assert torch.equal(faster.eval()(z), generator.eval()(z))
    assert faster.state_dict().keys() == generator.state_dict().keys()


def test_layers_that_are_not_plain_stay_as_they_are():
    layers = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding="same"),
        torch.nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)),
    )
    before = [type(layer) for layer in layers]
    assert use_faster_layers(layers) == 0
    assert [type(layer) for layer in layers] == before


def test_flattening_keeps_the_layout_of_the_gradient():
    x = numbers(4, 3, 5, 6).requires_grad_()
    weights = numbers(4, 90, 1, 1).flatten(1)
    (gradient,) = torch.autograd.grad((flatten_pixels(x) * weights).sum(), x)
    (stock,) = torch.autograd.grad((x.flatten(1) * weights).sum(), x)
    assert torch.equal(flatten_pixels(x), x.flatten(1))
    assert torch.equal(gradient, stock)
    assert gradient.is_contiguous(memory_format=CL)
    assert not stock.is_contiguous(memory_format=CL)
    assert torch.autograd.gradgradcheck(flatten_pixels, (x,))


def test_an_encoder_keeps_its_layout_all_the_way_back():
    encoder = ConvEncoder((1, 12, 12), 4, width=8).to(memory_format=CL)
    layouts = []
    for layer in encoder.body:
        layer.register_full_backward_hook(
            lambda _, __, gradients: layouts.append(gradients[0].is_contiguous(memory_format=CL))
        )
    images = torch.rand(4, 12, 12, 1).permute(0, 3, 1, 2).requires_grad_()
    encoder(images).sum().backward()
    assert layouts
    assert all(layouts)


def test_linear_layers_through_onednn_have_the_same_values_and_derivatives():
    torch.manual_seed(0)
    slow = nn.Sequential(nn.Linear(7, 33), nn.Softplus(), nn.Linear(33, 5, bias=False))
    fast = copy.deepcopy(slow)
    assert use_faster_layers(fast, onednn=True) == 2

    def derivatives(network):
        x = numbers(9, 7, 1, 1).flatten(1).float().requires_grad_()
        (slope,) = torch.autograd.grad(network(x).square().sum(), x, create_graph=True)
        loss = slope.square().sum()
        return loss, slope, *torch.autograd.grad(loss, [x, *network.parameters()])

    for one, other in zip(derivatives(slow), derivatives(fast), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


def test_onednn_is_left_alone_under_autocast_and_in_double_precision():
    layer = nn.Linear(4, 3)
    faster = copy.deepcopy(layer)
    use_faster_layers(faster, onednn=True)
    x = torch.rand(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(faster(x), layer(x))
    assert torch.equal(faster.double()(x.double()), layer.double()(x.double()))


def normalised():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 3)
    ).double()


def test_one_pass_of_two_parts_is_two_passes_of_batch_normalisation():
    slow = normalised()
    fast = copy.deepcopy(slow)
    use_faster_layers(fast)
    parts = numbers(6, 2, 5, 5, seed=1), 3 + numbers(6, 2, 5, 5, seed=2)

    def derivatives(outputs, network):
        return torch.autograd.grad(outputs[0].sum() - outputs[1].sum(), list(network.parameters()))

    apart = [slow(part) for part in parts]
    together = in_one_pass(fast, parts)
    for one, other in zip(apart, together, strict=True):
        torch.testing.assert_close(other, one)
    for one, other in zip(derivatives(apart, slow), derivatives(together, fast), strict=True):
        torch.testing.assert_close(other, one)
    for one, other in zip(slow.state_dict().values(), fast.state_dict().values(), strict=True):
        torch.testing.assert_close(other, one)  # the running statistics, in the same order
    torch.testing.assert_close(fast(torch.cat(parts)), normalised()(torch.cat(parts)))


def test_other_batch_normalisations_and_unequal_parts_are_left_to_two_passes():
    x = numbers(4, 2, 5, 5)
    assert in_one_pass(normalised(), (x, x)) is None
    fast = normalised()
    use_faster_layers(fast)
    assert in_one_pass(fast, (x, x[:2])) is None
