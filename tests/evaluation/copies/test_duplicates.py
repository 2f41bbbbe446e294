import pytest
import torch
from scipy.fft import dctn

from diptych.errors import DataError
from diptych.evaluation.copies import duplicates as module
from diptych.evaluation.copies.duplicates import (
    calibrated_hamming,
    exact_duplicates,
    fewest_differing,
    hamming_nearest,
    perceptual_duplicates,
    perceptual_hash,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count, size=32, channels=3, seed=0):
    """Random pictures with less and less at higher frequencies, uint8 (N, H, W, C)."""
    large = torch.full((count, channels, size, size), -1.0)
    generator = seeded(seed)
    for side in (4, 8, 16, size):
        small = torch.rand(count, channels, side, side, generator=generator)
        large += torch.nn.functional.interpolate(small, (size, size), mode="bicubic") * 0.75
    return large.clamp(0, 1).mul(255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


TRAIN, FRESH = pictures(300, seed=1), pictures(200, seed=2)


def test_every_exact_copy_is_found_and_nothing_else():
    fake = torch.cat([FRESH[:50], TRAIN[[7, 7, 299]]])
    found = exact_duplicates(fake, TRAIN)
    assert found.pairs.tolist() == [[50, 7], [51, 7], [52, 299]]
    assert found.found.sum() == 3
    assert not found.found[:50].any()
    assert found.distance.eq(0).all()


def test_one_byte_makes_another_image():
    fake = TRAIN.clone()
    fake[:, 3, 3, 0] ^= 1
    assert not exact_duplicates(fake, TRAIN).found.any()


def test_the_first_of_equal_training_items_is_named():
    assert exact_duplicates(TRAIN[:1], TRAIN[[5, 0, 0]]).pairs.tolist() == [[0, 1]]


def test_points_are_compared_as_numbers():
    train = torch.tensor([[0.0, 1.0], [0.5, 0.1]], dtype=torch.float64)
    fake = torch.tensor([[0.5, 0.1], [-0.0, 1.0], [0.5, 0.2]])
    assert exact_duplicates(fake, train).pairs.tolist() == [[0, 1], [1, 0]]


def test_strides_do_not_matter():
    turned = TRAIN.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    assert exact_duplicates(turned, TRAIN).found.all()


@pytest.mark.parametrize("frequencies", [8, 16])
def test_the_hash_is_the_sign_of_the_lowest_cosines(frequencies):
    grey = TRAIN[:5, :, :, :1]
    hashes, flat = perceptual_hash(grey, frequencies=frequencies)
    low = dctn(grey[..., 0].double().numpy(), type=2, axes=(1, 2))
    low = torch.from_numpy(low[:, :frequencies, :frequencies].reshape(5, -1)[:, 1:].copy())
    # The orthonormal transform weighs the first row and column by √½ against the plain one.
    weight = torch.ones(frequencies, frequencies)
    weight[0], weight[:, 0] = 0.5**0.5, 0.5**0.5
    low = low * weight.flatten()[1:]
    expected = low > low.median(1, keepdim=True).values
    assert torch.equal(hashes, expected)
    assert hashes.sum(1).eq((frequencies**2 - 1) // 2).all()
    assert not flat.any()


def moved(images, how):
    floats = images.double()
    if how == "noise":
        floats = floats + torch.randint(-3, 4, images.shape, generator=seeded())
    elif how == "brighter":
        floats = floats * 0.8 + 30
    elif how == "rescaled":
        planes = images.permute(0, 3, 1, 2).double()
        floats = torch.nn.functional.interpolate(planes, (48, 48), mode="bilinear")
        floats = floats.permute(0, 2, 3, 1)
    return floats.round().clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("how", ["same", "noise", "brighter", "rescaled"])
@pytest.mark.parametrize("frequencies", [8, 16])
def test_every_altered_copy_is_found(how, frequencies):
    copies = moved(TRAIN[100:200], how)
    hamming = frequencies**2 // 8 - 1
    found = perceptual_duplicates(copies, TRAIN, hamming=hamming, frequencies=frequencies)
    assert found.found.all()
    match = dict(found.pairs.tolist())
    assert all(match[i] == 100 + i for i in range(100))


def test_fresh_pictures_are_not_copies():
    found = perceptual_duplicates(FRESH, TRAIN)
    assert not found.found.any()
    assert found.pairs.shape == (0, 2)


def test_pairs_come_closest_first():
    stronger = TRAIN[:3].double() + 20 * torch.randn(TRAIN[:3].shape, generator=seeded())
    fake = torch.cat([stronger.clamp(0, 255).to(torch.uint8), TRAIN[8:9]])
    found = perceptual_duplicates(fake, TRAIN, hamming=60)
    assert found.pairs[0].tolist() == [3, 8]
    assert sorted(found.pairs[1:].tolist()) == [[0, 0], [1, 1], [2, 2]]
    assert found.distance.tolist() == sorted(found.distance.tolist())
    assert found.distance[0] == 0 < found.distance[1]


def test_flat_images_are_told_and_never_matched():
    flat = torch.full((2, 28, 28, 1), 128, dtype=torch.uint8)
    flat[1, 0, 0] = 130
    train = torch.cat([flat, pictures(5, 28, 1)])
    found = perceptual_duplicates(train, train)
    assert found.flat.tolist() == [True, True] + [False] * 5
    assert found.found.tolist() == [False, False] + [True] * 5
    assert found.pairs.tolist() == [[i, i] for i in range(2, 7)]
    with pytest.raises(DataError, match="All training images are flat"):
        perceptual_duplicates(train, flat)


def test_a_flat_image_is_not_matched_even_where_any_hash_would_do():
    pale = torch.full((2, 28, 28, 1), 128, dtype=torch.uint8)
    pale[1, ::2] = 130
    found = perceptual_duplicates(pale, pictures(5, 28, 1), hamming=255)
    assert found.flat.all()
    assert not found.found.any()


def test_floats_and_bytes_are_the_same_picture():
    floats = TRAIN.permute(0, 3, 1, 2).float() / 255
    assert torch.equal(perceptual_hash(floats)[0], perceptual_hash(TRAIN)[0])


def test_grey_images_are_their_colour_twins():
    grey = pictures(9, channels=1)
    assert torch.equal(perceptual_hash(grey)[0], perceptual_hash(grey.expand(-1, -1, -1, 3))[0])


def test_hamming_counts_differing_bits():
    a = torch.rand(40, 63, generator=seeded()) > 0.5
    b = torch.rand(50, 63, generator=seeded(1)) > 0.5
    distance, index = hamming_nearest(a, b)
    expected = (a[:, None] ^ b).sum(2)
    assert torch.equal(distance, expected.amin(1))
    assert torch.equal(expected.gather(1, index[:, None])[:, 0], distance)


def test_calibration_allows_as_few_false_calls_as_it_says():
    distances = torch.tensor([2] * 1 + [6] * 4 + [10] * 95)
    assert calibrated_hamming(distances, bits=255) == 5
    assert calibrated_hamming(distances, bits=255, level=0.05) == 9
    assert calibrated_hamming(torch.full((10,), 200), bits=255) == 31
    assert calibrated_hamming(torch.zeros(10), bits=255) == 0


@pytest.mark.parametrize("other", [TRAIN[:, :16], TRAIN.float()])
def test_items_of_another_kind_are_refused(other):
    with pytest.raises(DataError, match="cannot be equal"):
        exact_duplicates(other, TRAIN)


def test_frequencies_out_of_range():
    with pytest.raises(DataError, match="2 to 32 frequencies, not 1"):
        perceptual_hash(TRAIN, frequencies=1)


@pytest.mark.parametrize("bits", [63, 255, 1023])
@pytest.mark.parametrize("native", [True, False])
def test_fewest_differing_bits_are_counted_exactly_in_every_type(monkeypatch, bits, native):
    monkeypatch.setattr(module, "cpu_has_bf16", lambda: native)
    generator = seeded(bits)
    base = torch.rand(300, bits, generator=generator) > 0.5
    hashes = base[:270].clone()
    hashes[torch.arange(270), torch.arange(270) % bits] ^= True
    hashes[100:200] = torch.rand(100, bits, generator=generator) > 0.5
    differing = (hashes[:, None] ^ base).sum(2)
    assert torch.equal(fewest_differing(hashes, base), differing.amin(1))
    distance, index = hamming_nearest(hashes, base)
    assert torch.equal(distance, differing.amin(1))
    assert torch.equal(index, differing.min(1).indices)
