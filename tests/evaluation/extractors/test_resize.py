import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from diptych.errors import DataError
from diptych.evaluation.extractors.resize import RESIZES, resize, resize_matrix

SIZES = [(28, 28), (32, 40), (299, 299), (400, 333), (1, 7), (700, 299)]


def noise(height, width, count=2, channels=3):
    generator = torch.Generator().manual_seed(0)
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def test_tf1_by_hand():
    # Output j lies at j/2: on 0, between, on the second, and past it, where the edge is repeated.
    row = torch.tensor([10.0, 30.0]).reshape(1, 1, 1, 2)
    assert resize(row.expand(1, 1, 2, 2), 4, "tf1")[0, 0, 0].tolist() == [10, 20, 30, 30]
    # Downwards it picks: j lies at 3j/2, so 0 and 1.5, and nothing in between is averaged.
    row = torch.tensor([10.0, 30.0, 70.0]).reshape(1, 1, 1, 3)
    assert resize(row.expand(1, 1, 3, 3), 2, "tf1")[0, 0, 0].tolist() == [10, 50]


def test_tf1_is_no_half_pixel_resize():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    assert resize(ramp, 4, "tf1")[0, 0, 0].tolist() == [0, 2, 4, 6]
    assert resize(ramp, 4, "torch")[0, 0, 0].tolist() == [0.5, 2.5, 4.5, 6.5]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_torch_is_interpolate(height, width):
    images = noise(height, width)
    expected = F.interpolate(images.float(), (299, 299), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resize(images, 299, "torch"), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pil_is_pillow_in_floating_point(height, width):
    images = noise(height, width)
    expected = torch.empty(2, 3, 299, 299)
    for image, out in zip(images, expected, strict=True):
        for channel, place in zip(image.float().numpy(), out, strict=True):
            resized = Image.fromarray(channel).resize((299, 299), Image.Resampling.BICUBIC)
            place.copy_(torch.from_numpy(np.asarray(resized).clip(0, 255)))
    torch.testing.assert_close(resize(images, 299, "pil"), expected, rtol=0, atol=1e-3)


def test_pil_overshoot_is_clipped():
    edge = torch.zeros(1, 1, 16, 16)
    edge[..., 8:] = 255
    matrix = resize_matrix(16, 64, "pil")
    assert float((edge[0, 0] @ matrix.T).max()) > 256
    assert float(resize(edge, 64, "pil").max()) == 255


@pytest.mark.parametrize("how", RESIZES)
@pytest.mark.parametrize("sizes", [(28, 299), (299, 28), (7, 7), (1, 5), (5, 1)])
def test_constants_stay_and_the_same_size_changes_nothing(how, sizes):
    before, after = sizes
    torch.testing.assert_close(resize_matrix(before, after, how).sum(1), torch.ones(after))
    images = noise(9, 9)
    assert torch.equal(resize(images, 9, how), images.float())


def test_the_protocols_differ():
    images = noise(28, 28)
    tf1, half, pil = (resize(images, 299, how) for how in RESIZES)
    for one, other in ((tf1, half), (half, pil), (tf1, pil)):
        assert float((one - other).abs().mean()) > 1


def test_an_unknown_resize_is_refused():
    with pytest.raises(DataError, match="no resize 'lanczos'; choose one of tf1, torch, pil"):
        resize_matrix(4, 8, "lanczos")
