"""Laws of the fully connected pair."""

import math
from itertools import pairwise

import pytest
import torch

from diptych.networks import MLPDecoder, MLPEncoder

SHAPES = [(2,), (7,), (1, 8, 8), (3, 5, 4)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("width", "depth"), [(11, 0), (11, 1), (6, 3)])
def test_parameter_counts_are_those_of_the_formula(shape, width, depth):
    """Sizes s_0 ... s_k give sum (s_i + 1) s_(i+1); the pair mirror each other."""
    size, latents = math.prod(shape), 4

    def formula(before, after):
        sizes = [before, *[width] * depth, after]
        return sum((a + 1) * b for a, b in pairwise(sizes))

    down = MLPEncoder(shape, latents, width=width, depth=depth)
    up = MLPDecoder(latents, shape, width=width, depth=depth)
    assert sum(p.numel() for p in down.parameters()) == formula(size, latents)
    assert sum(p.numel() for p in up.parameters()) == formula(latents, size)


@pytest.mark.parametrize("shape", SHAPES)
def test_without_hidden_layers_it_is_affine(shape):
    torch.manual_seed(0)
    down = MLPEncoder(shape, 3, width=9, depth=0).double()
    up = MLPDecoder(3, shape, width=9, depth=0).double()
    x = torch.randn(2, *shape, dtype=torch.float64)
    z = torch.randn(2, 3, dtype=torch.float64)
    for network, (a, b) in ((down, x), (up, z)):
        middle = network((0.3 * a + 0.7 * b)[None])
        torch.testing.assert_close(middle, 0.3 * network(a[None]) + 0.7 * network(b[None]))


def test_with_hidden_layers_it_is_not():
    torch.manual_seed(0)
    network = MLPEncoder((6,), 3, width=9, depth=1).double()
    a, b = torch.randn(2, 1, 6, dtype=torch.float64)
    assert not torch.allclose(network((a + b) / 2), (network(a) + network(b)) / 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_reaches_every_layer(shape):
    torch.manual_seed(0)
    down = MLPEncoder(shape, 3, width=9, depth=2)
    up = MLPDecoder(3, shape, width=9, depth=2)
    output = up(down(torch.randn(16, *shape)))
    assert output.shape == (16, *shape)
    output.square().sum().backward()
    for name, parameter in [*up.named_parameters(), *down.named_parameters()]:
        assert bool(parameter.grad.abs().sum() > 0), name


def test_images_are_independent_of_their_batch():
    torch.manual_seed(0)
    network = MLPEncoder((1, 4, 4), 3, width=9, depth=2).double()
    x = torch.randn(5, 1, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(network(x), torch.cat([network(image[None]) for image in x]))
