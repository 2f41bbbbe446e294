"""Even and straight movements are exactly even and straight; leaps are seen."""

import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.latent.distances import squared_distance
from diptych.evaluation.latent.smoothness import interpolation_smoothness, step_lengths


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def codes(n=40, dim=4, seed=0):
    return torch.randn(2, n, dim, generator=seeded(seed), dtype=torch.float64).unbind(0)


def measure(decode, start, end, **options):
    return interpolation_smoothness(
        decode, squared_distance, start, end, generator=seeded(), **options
    )


@pytest.mark.parametrize("steps", [2, 8])
def test_a_linear_decoder_moves_evenly_and_straight(steps):
    matrix = torch.randn(10, 4, generator=seeded(5), dtype=torch.float64)
    result = measure(lambda z: z @ matrix.T + 3, *codes(), path="linear", steps=steps)
    assert result.variation.value == pytest.approx(0, abs=1e-9)
    assert result.largest.value == pytest.approx(1, abs=1e-9)
    assert result.detour.value == pytest.approx(1, abs=1e-9)
    assert result.detour.low == pytest.approx(1) == result.detour.high


def test_a_circle_is_even_and_its_detour_known():
    # A quarter of a circle in 8 steps: 8 chords of 11.25 degrees over the chord of 90.
    start = torch.tensor([[1.0, 0.0]] * 20, dtype=torch.float64)
    end = torch.tensor([[0.0, 1.0]] * 20, dtype=torch.float64)
    result = measure(lambda z: z, start, end)
    chord = 2 * torch.sin(torch.deg2rad(torch.tensor([11.25, 90.0], dtype=torch.float64)) / 2)
    assert result.detour.value == pytest.approx(float(8 * chord[0] / chord[1]), rel=1e-9)
    assert result.variation.value == pytest.approx(0, abs=1e-9)


def test_a_leap_is_one_step_of_all():
    start, end = -torch.ones(30, 1), torch.ones(30, 1)
    result = measure(lambda z: (z > 0.1).float(), start, end, path="linear", steps=8)
    assert result.largest.value == pytest.approx(8)
    assert result.variation.value == pytest.approx(7**0.5)
    assert result.detour.value == pytest.approx(1)


def test_the_scale_of_pictures_and_of_distance_does_not_matter():
    def decode(z):
        return torch.stack([z[:, 0].sin(), z.prod(1)], 1)

    def bare(result):
        return [result.variation.value, result.largest.value, result.detour.value]

    expected = bare(measure(decode, *codes()))
    assert bare(measure(lambda z: 5 * decode(z) + 1, *codes())) == pytest.approx(expected)
    assert bare(measure(decode, *codes(), batch_size=1)) == pytest.approx(expected)
    assert bare(measure(decode, *codes()[::-1])) == pytest.approx(expected)


def test_step_lengths_are_the_roots_of_the_distances():
    start, end = codes(3)
    lengths, direct = step_lengths(
        lambda z: z, squared_distance, start, end, path="linear", steps=4
    )
    assert lengths.shape == (3, 4)
    assert torch.allclose(lengths, direct[:, None].expand(3, 4) / 4)
    assert torch.allclose(direct, (start - end).norm(dim=1))


def test_paths_that_stand_still_are_left_out_and_counted():
    start, end = codes(60, 1)
    start[:10] = end[:10]
    result = measure(lambda z: z, start, end, path="linear")
    assert result.detour.value == pytest.approx(1)
    assert "10 of 60 paths" in result.detour.note
    assert result.detour.trusted
    assert measure(lambda z: z * 0, start, end) is None


def test_few_paths_are_not_trusted():
    assert not measure(lambda z: z, *codes(3)).detour.trusted


def test_what_cannot_be_measured_is_said():
    with pytest.raises(DataError, match="at least 2 steps, not 1"):
        measure(lambda z: z, *codes(), steps=1)
    with pytest.raises(DataError, match="equal, non-empty sets"):
        measure(lambda z: z, codes(3)[0], codes(4)[0])
    with pytest.raises(DataError, match="distance gave NaN"):
        step_lengths(lambda z: z, lambda a, b: a[:, 0] / 0, *codes())
