import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from diptych.errors import DataError, MissingData
from diptych.evaluation.lpips import Lpips

CHANNELS = (64, 192, 384, 256, 256)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Lpips()


def pictures(n=3, channels=3, height=40, width=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, height, width, generator=generator)


def theirs(network):
    """The weights of a network as the file of published ones names them."""
    tensors = {}
    for i, (convolution, weights) in enumerate(
        zip(network.convolutions, network.channel_weights, strict=True)
    ):
        tensors[f"AlexNet_0.Conv_{i}.kernel"] = convolution.weight.clone()
        tensors[f"AlexNet_0.Conv_{i}.bias"] = convolution.bias.clone()
        tensors[f"NetLinLayer_{i}.Conv_0.kernel"] = weights.view(1, -1, 1, 1).clone()
    return tensors


def by_the_paper(network, x, y):
    """Zhang et al. 2018, eq. 1, step by step."""

    def layers(image):
        shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
        scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
        h = ((2 * image - 1) - shift) / scale
        weights = theirs(network)
        strides, paddings, found = (4, 1, 1, 1, 1), (2, 2, 1, 1, 1), []
        for i in range(5):
            kernel, bias = (weights[f"AlexNet_0.Conv_{i}.{what}"] for what in ("kernel", "bias"))
            h = F.conv2d(h, kernel, bias, strides[i], paddings[i]).clamp(min=0)
            found.append(h)
            if i < 2:
                h = F.max_pool2d(h, kernel_size=3, stride=2)
        return found

    total = torch.zeros(len(x))
    for i, (a, b) in enumerate(zip(layers(x), layers(y), strict=True)):
        unit_a, unit_b = (t / (t.square().sum(1, keepdim=True).sqrt() + 1e-10) for t in (a, b))
        weights = theirs(network)[f"NetLinLayer_{i}.Conv_0.kernel"]
        total += F.conv2d((unit_a - unit_b) ** 2, weights).mean((1, 2, 3))
    return total


def test_it_is_the_papers_formula(network):
    x, y = pictures(), pictures(seed=1)
    torch.testing.assert_close(network(x, y), by_the_paper(network, x, y))


def test_zero_for_the_same_symmetric_and_positive_for_others(network):
    x, y = pictures(), pictures(seed=1)
    assert network(x, x).eq(0).all()
    assert network(x, y).shape == (3,)
    assert bool((network(x, y) > 0).all())
    torch.testing.assert_close(network(x, y), network(y, x))


def test_each_pair_is_measured_as_if_it_were_alone(network):
    x, y = pictures(), pictures(seed=1)
    alone = torch.cat([network(a[None], b[None]) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(network(x, y), alone)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (31, 40), (64, 64)])
def test_any_channels_and_size(network, channels, size):
    x, y = pictures(2, channels, *size), pictures(2, channels, *size, seed=1)
    assert network(x, x).eq(0).all()
    assert bool((network(x, y) > 0).all())


def test_grey_is_three_equal_channels(network):
    x, y = pictures(channels=1), pictures(channels=1, seed=1)
    torch.testing.assert_close(network(x, y), network(x.repeat(1, 3, 1, 1), y.repeat(1, 3, 1, 1)))


def test_gradients_reach_the_images_and_are_right(network):
    double = Lpips().double()
    double.load_state_dict(network.state_dict())
    x, y = (pictures(1, 3, 31, 31, seed=s).double() for s in (0, 1))
    x.requires_grad_(True)
    double(x, y).sum().backward()
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).double()
    step = 1e-6 * direction
    with torch.no_grad():
        slope = (double(x + step, y) - double(x - step, y)) / 2e-6
    assert float((x.grad * direction).sum()) == pytest.approx(float(slope), rel=1e-4)
    assert all(parameter.grad is None for parameter in double.parameters())


def test_gradients_are_finite_where_all_channels_are_silent(network):
    silent = Lpips()
    silent.load_state_dict(network.state_dict())
    with torch.no_grad():
        silent.convolutions[0].bias.fill_(-1e3)
    x = pictures().requires_grad_(True)
    silent(x, pictures(seed=1)).sum().backward()
    assert x.grad.isfinite().all()


def test_weights_are_read_from_their_file(network, tmp_path):
    path = tmp_path / "lpips.safetensors"
    save_file(theirs(network), path)
    read = Lpips.from_file(path)
    x, y = pictures(), pictures(seed=1)
    assert torch.equal(read(x, y), network(x, y))
    assert len(read.protocol["weights_sha256"]) == 64
    given = Lpips.from_tensors(theirs(network), sha256=read.weights)
    assert torch.equal(given(x, y), network(x, y))
    assert given.protocol == read.protocol
    changed = theirs(network)
    changed["AlexNet_0.Conv_0.bias"][0] += 1
    save_file(changed, path)
    assert Lpips.from_file(path).protocol != read.protocol


def test_files_that_do_not_hold_the_weights_are_refused(network, tmp_path):
    with pytest.raises(MissingData, match="needs its weights"):
        Lpips.from_file(tmp_path / "none.safetensors")
    path = tmp_path / "lpips.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(DataError, match="not a readable safetensors file"):
        Lpips.from_file(path)
    tensors = theirs(network)
    del tensors["NetLinLayer_4.Conv_0.kernel"]
    save_file(tensors, path)
    with pytest.raises(DataError, match=r"NetLinLayer_4\.Conv_0\.kernel is missing"):
        Lpips.from_file(path)
    tensors = theirs(network)
    # The layout of JAX has as many values, but in another order.
    tensors["AlexNet_0.Conv_1.kernel"] = tensors["AlexNet_0.Conv_1.kernel"].permute(2, 3, 1, 0)
    with pytest.raises(DataError, match=r"Conv_1\.kernel is missing or of another shape"):
        Lpips.from_tensors(tensors, sha256="")


def test_what_are_no_pairs_is_said(network):
    with pytest.raises(DataError, match="equal shapes"):
        network(pictures(2), pictures(3))
    with pytest.raises(DataError, match=r"must lie in 0\.\.1"):
        network(pictures() * 255, pictures())


@pytest.mark.skipif(
    "DIPTYCH_SLOW_WEIGHTS" not in os.environ, reason="DIPTYCH_SLOW_WEIGHTS names no folder"
)
def test_published_weights_rank_disturbances_as_people_do():
    network = Lpips.from_file(
        Path(os.environ["DIPTYCH_SLOW_WEIGHTS"]) / "lpips_alex_full.safetensors"
    )
    assert network.protocol["weights_sha256"].startswith("d2a1d971f9d22164")
    assert all(bool((weights >= 0).all()) for weights in network.channel_weights)
    # A picture with structure: smooth blobs and edges.
    x = F.interpolate(pictures(4, 3, 6, 6), size=(64, 64), mode="bicubic").clamp(0, 1)
    x = torch.where(x > 0.6, 1.0, x)
    blurred = F.avg_pool2d(F.pad(x, (4, 4, 4, 4), mode="replicate"), 9, 1)
    brighter = (x + 0.02).clamp(0, 1)
    other = x.flip(0)
    shades, blur, another = (float(network(x, y).mean()) for y in (brighter, blurred, other))
    assert shades < 0.1 * blur
    assert blur < another
    assert 0.1 < another < 1.2


def test_several_batches_beside_one_are_what_they_are_one_by_one():
    lpips, images = Lpips(), torch.rand(5, 3, 40, 36, generator=torch.Generator().manual_seed(1))
    mean = images.mean(0).expand_as(images)  # one image that stands for five
    firsts = [images.flip(0), mean]
    together = lpips.against(firsts, images)
    for first, found in zip(firsts, together, strict=True):
        torch.testing.assert_close(found, lpips(first.clone(), images), rtol=1e-5, atol=1e-7)


def test_an_expanded_image_passes_the_network_once(monkeypatch):
    lpips, passed, whole = Lpips(), [], Lpips._unit_features
    monkeypatch.setattr(
        Lpips,
        "_unit_features",
        lambda self, images: passed.append(len(images)) or whole(self, images),
    )
    images = torch.rand(6, 1, 35, 35)
    lpips.against([images.flip(0), images[:1].expand_as(images)], images)
    assert passed == [6, 6, 1]
