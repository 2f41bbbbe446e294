"""Batch norms folded into the layers before them, and convolutions as products of matrices."""

import copy

import pytest
import torch
from torch import nn

from diptych.networks import ConvDecoder
from diptych.networks.columns import ByColumns, pays_by_columns
from diptych.networks.conv import Crop
from diptych.networks.folding import batch_norm_as_affine, fold_batch_norms
from diptych.networks.spectral import SpectralConv2d


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def norm(channels: int, *, dim: int = 2, **settings) -> nn.Module:
    """A batch norm that looks trained."""
    made = (nn.BatchNorm1d if dim == 1 else nn.BatchNorm2d)(channels, **settings)
    made.running_mean.normal_()
    made.running_var.uniform_(0.2, 3.0)
    if made.affine:
        nn.init.normal_(made.weight)
        nn.init.normal_(made.bias)
    return made.eval()


def test_a_norm_is_its_affine_map():
    one = norm(3, eps=0.5)
    scale, shift = batch_norm_as_affine(one)
    x = torch.randn(4, 3, 5, 5)
    found = scale.view(-1, 1, 1) * x.double() + shift.view(-1, 1, 1)
    torch.testing.assert_close(found.float(), one(x))
    assert batch_norm_as_affine(nn.BatchNorm2d(3, track_running_stats=False)) is None


FOLDED = {
    "convolution": (lambda: [nn.Conv2d(6, 4, 3, bias=False), norm(4)], (6, 5, 5)),
    "groups": (lambda: [nn.Conv2d(6, 4, 3, groups=2), norm(4)], (6, 5, 5)),
    "transposed": (lambda: [nn.ConvTranspose2d(6, 4, 4, 2, 1), norm(4)], (6, 5, 5)),
    "without affine": (lambda: [nn.Conv2d(6, 4, 3), norm(4, affine=False)], (6, 5, 5)),
    "linear": (lambda: [nn.Linear(7, 4), norm(4, dim=1)], (7,)),
    "read as pixels": (
        lambda: [nn.Linear(7, 4 * 6, bias=False), nn.Unflatten(1, (4, 2, 3)), norm(4)],
        (7,),
    ),
    "after a crop": (
        lambda: [nn.ConvTranspose2d(6, 4, 4, 2, 1, bias=False), Crop(9, 9), norm(4)],
        (6, 5, 5),
    ),
    "nested": (
        lambda: [nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(6, 4, 1))), norm(4)],
        (6, 5, 5),
    ),
}


@pytest.mark.parametrize("case", FOLDED)
def test_folding_changes_no_value(case):
    layers, shape = FOLDED[case]
    network = nn.Sequential(*layers()).eval()
    x = torch.randn(3, *shape)
    expected = network(x)
    assert fold_batch_norms(network) == 1
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in network.modules())
    torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 13, 21)])
def test_our_decoder_keeps_no_norm(shape):
    network = ConvDecoder(5, shape, width=4)
    network.train()(torch.randn(64, 5) * 2 + 1)  # its statistics are those of this batch
    network.eval()
    z = torch.randn(6, 5)
    expected = network(z)
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert fold_batch_norms(network) == norms >= 2
    torch.testing.assert_close(network(z), expected, atol=1e-5, rtol=1e-5)


def shared() -> nn.Sequential:
    layer = nn.Conv2d(4, 4, 1)
    return nn.Sequential(layer, norm(4), layer)


def hooked() -> nn.Sequential:
    layer = nn.Conv2d(4, 4, 1)
    layer.register_forward_hook(lambda module, inputs, output: output * 2)
    return nn.Sequential(layer, norm(4))


class Branching(nn.Module):
    """What runs outside a sequence may go elsewhere too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Conv2d(4, 4, 1), norm(4)

    def forward(self, x):
        y = self.layer(x)
        return self.norm(y) + y


LEFT = {
    "shared": shared,
    "hooked": hooked,
    "branching": Branching,
    "rectified before": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), norm(4)),
    "padded before": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.ZeroPad2d(1), norm(4)),
    "of the batch": lambda: nn.Sequential(
        nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)
    ),
    "in training": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), norm(4).train()),
    "grouped": lambda: nn.Sequential(nn.ConvTranspose2d(4, 4, 2, groups=2), norm(4)),
    "spectral": lambda: nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1)), norm(4)
    ),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_cannot_be_folded_stays_as_it_is(case):
    network = LEFT[case]()
    if case != "in training":
        network.eval()
    before = copy.deepcopy(network)
    assert fold_batch_norms(network) == 0
    x = torch.randn(3, 4, 5, 5)
    assert torch.equal(network(x), before(x))


CONVOLUTIONS = [
    nn.Conv2d(16, 1, 3, padding=1),
    nn.Conv2d(16, 2, (3, 5), padding=(0, 1), bias=False),
    nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
    nn.ConvTranspose2d(24, 3, 5, stride=3, padding=2, output_padding=1),
    nn.ConvTranspose2d(16, 2, (4, 3), stride=(2, 1), padding=(1, 0), bias=False),
]


@pytest.mark.parametrize("layer", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_products_of_matrices_are_the_convolution(layer, layout):
    assert pays_by_columns(layer)
    x = torch.randn(2, layer.in_channels, 6, 7).to(memory_format=layout)
    torch.testing.assert_close(ByColumns(layer)(x), layer(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(16, 1, 3, stride=2),
        nn.Conv2d(16, 1, 3, dilation=2),
        nn.Conv2d(16, 1, 3, padding="same"),
        nn.Conv2d(16, 1, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(32, 2, 3, groups=2),
        nn.Conv2d(16, 3, 3),
        nn.ConvTranspose2d(64, 32, 4),
        nn.Linear(16, 1),
    ],
    ids=str,
)
def test_other_layers_stay_stock(layer):
    assert not pays_by_columns(layer)


def test_a_layer_that_makes_its_weight_anew_is_not_folded_into():
    torch.manual_seed(0)
    network = nn.Sequential(SpectralConv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    network[1].running_var.fill_(4.0)
    network[1].running_mean.fill_(0.5)
    images = torch.rand(2, 3, 6, 6)
    expected = network(images)
    assert fold_batch_norms(network) == 0
    torch.testing.assert_close(network(images), expected)
