"""The residual pair: rewrites against their slow twins, published sizes, and what it takes."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, relu

from diptych.networks import ResidualDecoder, ResidualEncoder
from diptych.networks.residual import convolve_and_pool, halvings, upsample_and_convolve


def doubles(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def agree(fast, slow, inputs):
    """Values, gradients, and the gradient of a function of gradients."""
    results = []
    for function in (fast, slow):
        output = function(*inputs)
        first = torch.autograd.grad(output.sin().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
        results.append([output, *first, *second])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("size", [(2, 2), (6, 4), (8, 8)])
def test_convolution_and_pooling_are_one_convolution(size):
    def slow(x, weight, bias):
        return avg_pool2d(conv2d(x, weight, bias, padding=1), 2)

    agree(convolve_and_pool, slow, [doubles(3, 2, *size), doubles(5, 2, 3, 3), doubles(5)])


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (4, 4)])
def test_upsampling_and_convolution_are_one_transposed_convolution(size):
    def slow(x, weight, bias):
        return conv2d(interpolate(x, scale_factor=2.0, mode="nearest"), weight, bias, padding=1)

    agree(upsample_and_convolve, slow, [doubles(3, 2, *size), doubles(5, 2, 3, 3), doubles(5)])


class PlainDecoder(nn.Module):
    """The generator as the paper draws it, layer after layer, from our weights."""

    def __init__(self, ours: ResidualDecoder, mode: str) -> None:
        super().__init__()
        self.ours, self.mode = ours, mode

    def up(self, x: Tensor) -> Tensor:
        return interpolate(x, scale_factor=2.0, mode=self.mode)

    def forward(self, z: Tensor) -> Tensor:
        x = self.ours.project(z).view(len(z), self.ours.width, *self.ours.base)
        for block in self.ours.blocks:
            h = block.conv1(self.up(relu(block.norm1(x))))
            x = block.conv2(relu(block.norm2(h))) + block.shortcut(self.up(x))
        return self.ours.last(relu(self.ours.norm(x)))


class PlainEncoder(nn.Module):
    """The discriminator likewise: pooling last in every block, shortcuts too."""

    def __init__(self, ours: ResidualEncoder) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, x: Tensor) -> Tensor:
        for index, block in enumerate(self.ours.blocks):
            h = block.conv2(relu(block.conv1(relu(x) if index else x)))
            if hasattr(block, "shortcut"):
                x = avg_pool2d(h, 2) + avg_pool2d(block.shortcut(x), 2)
            else:
                x = h + x
        return self.ours.head(relu(x).sum((2, 3)))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("training", [True, False])
def test_the_generator_is_the_papers(mode, training):
    decoder = ResidualDecoder(5, (2, 16, 32), width=6, upsampling=mode).double().train(training)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    codes = doubles(4, 5)
    inputs = [codes, *decoder.parameters()]
    plain = PlainDecoder(decoder, mode)
    results = []
    for network in (decoder, plain):
        images = network(codes)
        results.append([images, *torch.autograd.grad(images.sin().sum(), inputs)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 32), (1, 28, 28)])
def test_the_discriminator_is_the_papers(shape):
    encoder = ResidualEncoder(shape, 1, width=4).double()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    images = doubles(3, *shape)
    for _ in range(5):  # so that sigma fits the new weights
        encoder(images)
    encoder.eval()
    inputs = [images, *encoder.parameters()]
    results = []
    for network in (encoder, PlainEncoder(encoder)):
        logits = network(images)
        assert logits.shape == (3, 1)
        results.append([logits, *torch.autograd.grad(logits.sin().sum(), inputs)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_parameters_are_as_many_as_published_implementations_have():
    """torch-mimicry's SNGANGenerator32(ngf=64) and SNGANDiscriminator32(ndf=64)."""
    decoder = ResidualDecoder(128, (3, 32, 32), width=64)
    encoder = ResidualEncoder((3, 32, 32), 1, width=64)
    assert sum(p.numel() for p in decoder.parameters()) == 368_771
    assert sum(p.numel() for p in encoder.parameters()) == 264_769


@pytest.mark.parametrize(
    ("size", "expected"),
    [((8, 8), 1), ((16, 16), 2), ((28, 28), 2), ((32, 32), 3), ((48, 48), 3), ((64, 64), 4),
     ((32, 64), 3), ((128, 128), 5), ((96, 128), 4), ((30, 30), None), ((28, 30), None),
     ((7, 7), None), ((4, 4), None), ((31, 31), None), ((33, 32), None)],
)  # fmt: skip
def test_sizes_that_fit_and_sizes_that_do_not(size, expected):
    assert halvings(*size) == expected
    if expected is None:
        for make in (
            lambda: ResidualDecoder(2, (1, *size), width=2),
            lambda: ResidualEncoder((1, *size), 1, width=2),
        ):
            with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} cannot"):
                make()
    else:
        decoder, encoder = (
            ResidualDecoder(2, (1, *size), width=2),
            ResidualEncoder((1, *size), 1, width=2),
        )
        images = decoder(torch.randn(2, 2))
        assert images.shape == (2, 1, *size)
        assert encoder(images).shape == (2, 1)


def test_the_first_block_does_not_rectify_pixels():
    """In [-1, 1] half of what an image says lies below 0."""
    encoder = ResidualEncoder((1, 8, 8), 1, width=4).double().eval()
    dark = -torch.rand(1, 1, 8, 8, dtype=torch.float64)
    assert not torch.equal(encoder(dark), encoder(torch.zeros_like(dark)))


def test_rectifying_in_place_leaves_the_inputs_alone():
    encoder = ResidualEncoder((1, 8, 8), 1, width=4)
    images = torch.randn(2, 1, 8, 8)
    before = images.clone()
    encoder(images)
    assert torch.equal(images, before)
