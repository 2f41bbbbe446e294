"""Laws of the convolutional pair; widths and depth are a matter of tuning and not tested."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from diptych.networks import ConvDecoder, ConvEncoder, resolutions

SIZES = [(8, 8), (28, 28), (17, 31), (64, 48)]
SHAPES = [(1, 28, 28), (2, 17, 31), (3, 64, 48), (4, 8, 8)]
LATENTS = 5


def encoder(shape, out_features=3, **settings):
    torch.manual_seed(0)
    return ConvEncoder(shape, out_features, width=2, **settings).double()


def decoder(shape, **settings):
    torch.manual_seed(1)
    return ConvDecoder(LATENTS, shape, width=2, **settings).double()


def sizes_passed(network: nn.Module, value: torch.Tensor) -> list[tuple[int, int]]:
    """The spatial sizes of all feature maps, in the order they are made."""
    seen: list[tuple[int, int]] = []

    def remember(module, inputs, output):
        if output.dim() == 4:
            seen.append(tuple(output.shape[-2:]))

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(remember)
    network(value)
    return seen


def is_within(ladder, seen) -> bool:
    """Whether the ladder's steps are all met, in their order."""
    remaining = iter(seen)
    return all(step in remaining for step in ladder)


@pytest.mark.parametrize("size", [*SIZES, (9, 200), (5, 5), (32, 32)])
@pytest.mark.parametrize("stages", [None, 1, 2])
def test_each_step_of_the_ladder_halves_and_rounds_up(size, stages):
    ladder = resolutions(*size, stages)
    assert ladder[0] == size
    for (h, w), (lower_h, lower_w) in pairwise(ladder):
        assert (lower_h, lower_w) == (-(-h // 2), -(-w // 2))
    if stages is None:
        assert min(ladder[-1]) >= 4
    else:
        assert len(ladder) == stages + 1


def test_the_ladder_ends_at_one_pixel():
    assert resolutions(8, 8, 6)[-1] == (1, 1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stages", [None, 1, 3])
def test_encoder_and_decoder_walk_the_same_ladder(shape, stages):
    ladder = resolutions(*shape[1:], stages)
    x = torch.rand(2, *shape, dtype=torch.float64)
    z = torch.randn(2, LATENTS, dtype=torch.float64)
    down = sizes_passed(encoder(shape, stages=stages), x)
    up = sizes_passed(decoder(shape, stages=stages), z)
    assert is_within(ladder[1:], down)
    assert is_within(ladder[-2::-1], up)
    assert min(down) >= ladder[-1]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_smoke_shapes_for_every_size_and_channel_count(channels, size):
    shape = (channels, *size)
    z = torch.randn(2, LATENTS, dtype=torch.float64)
    images = decoder(shape)(z)
    assert images.shape == (2, *shape)
    assert encoder(shape, 7)(images).shape == (2, 7)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_pixel_is_seen_by_the_encoder_and_made_by_the_decoder(shape):
    """Padding and cropping of odd sizes must not lose a row or a column."""
    torch.manual_seed(2)
    x = torch.rand(1, *shape, dtype=torch.float64, requires_grad=True)
    (felt,) = torch.autograd.grad(encoder(shape)(x).square().sum(), x)
    assert bool((felt != 0).all())
    z = torch.randn(8, LATENTS, dtype=torch.float64)
    with torch.no_grad():
        images = decoder(shape)(z)
    assert bool((images.std(0) > 0).all())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_gradient_reaches_every_parameter_and_the_codes(shape, batch_norm):
    """More of it than rounding: a bias before a normalisation only seems to be moved."""
    torch.manual_seed(3)
    z = torch.randn(4, LATENTS, dtype=torch.float64, requires_grad=True)
    up, down = decoder(shape), encoder(shape, batch_norm=batch_norm)
    down(up(z)).square().sum().backward()
    for name, parameter in [*up.named_parameters(), *down.named_parameters()]:
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 1e-8, name
    assert bool((z.grad.abs().sum(1) > 0).all())


@pytest.mark.parametrize("training", [True, False])
def test_the_encoder_treats_every_image_on_its_own(training):
    """A gradient penalty per image means nothing if images see each other."""
    shape = (1, 12, 12)
    network = encoder(shape).train(training)
    x = torch.rand(5, *shape, dtype=torch.float64)
    alone = torch.cat([network(image[None]) for image in x])
    torch.testing.assert_close(network(x), alone)


def test_with_batch_statistics_it_does_so_once_they_are_learned():
    network = encoder((1, 12, 12), batch_norm=True)
    x = torch.rand(5, 1, 12, 12, dtype=torch.float64)
    assert not torch.allclose(network(x)[:2], network(x[:2]))
    network.eval()
    alone = torch.cat([network(image[None]) for image in x])
    torch.testing.assert_close(network(x), alone)


def test_a_trained_decoder_treats_every_code_on_its_own():
    network = decoder((1, 12, 12))
    z = torch.randn(5, LATENTS, dtype=torch.float64)
    network(z)  # batch statistics, if it has any
    network.eval()
    alone = torch.cat([network(code[None]) for code in z])
    torch.testing.assert_close(network(z), alone)


def test_the_layout_in_memory_does_not_change_the_result():
    network = encoder((3, 16, 16))
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    expected = network(x)
    last = network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(x.to(memory_format=torch.channels_last)), expected)


def test_the_number_of_images_is_not_a_parameter():
    """Counts depend on the shape of an image and on the width, and grow with it."""

    def count(network):
        return sum(p.numel() for p in network.parameters())

    for make in (
        lambda width: ConvEncoder((1, 16, 16), 3, width=width),
        lambda width: ConvDecoder(3, (1, 16, 16), width=width),
    ):
        one, two, four = (count(make(width)) for width in (4, 8, 16))
        # Weights are at most quadratic in the width and at least linear.
        assert 2 * one <= 2 * two <= 8 * one
        assert 2 * two <= 2 * four <= 8 * two
