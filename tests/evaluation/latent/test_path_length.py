"""Path length against closed forms, and the traps that are known of it."""

import math

import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.latent.distances import squared_distance
from diptych.evaluation.latent.path_length import (
    along,
    path_length,
    path_length_draws,
    trimmed_mean,
)

DOUBLE = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def codes(n, dim, seed=0, dtype=DOUBLE):
    return torch.randn(2, n, dim, generator=seeded(seed), dtype=dtype).unbind(0)


def linear(outputs, inputs):
    matrix = torch.randn(outputs, inputs, generator=seeded(9), dtype=DOUBLE)
    return matrix, lambda z: z @ matrix.T


@pytest.mark.parametrize("epsilon", [1e-4, 1e-2])
def test_a_linear_generator_has_a_closed_form_on_straight_lines(epsilon):
    matrix, decode = linear(12, 5)
    start, end = codes(300, 5)
    draws = path_length_draws(
        decode,
        squared_distance,
        start,
        end,
        generator=seeded(),
        path="linear",
        epsilon=epsilon,
    )
    expected = ((end - start) @ matrix.T).square().sum(1)
    assert torch.allclose(draws, expected, rtol=1e-7)


def test_its_mean_over_the_prior_is_twice_the_squared_frobenius_norm():
    matrix, decode = linear(12, 5)
    start, end = codes(4000, 5)
    result = path_length(
        decode, squared_distance, start, end, generator=seeded(), path="linear", trim=0.0
    )
    truth = 2 * float(matrix.square().sum())
    assert result.low < truth < result.high
    assert result.high - result.low < 0.1 * truth
    assert result.trusted


def test_on_the_unit_sphere_the_length_is_the_squared_angle():
    start, end = (x / x.norm(dim=1, keepdim=True) for x in codes(200, 6))
    draws = path_length_draws(
        lambda z: z, squared_distance, start, end, generator=seeded(), epsilon=1e-3
    )
    angle = torch.arccos((start * end).sum(1))
    chord = (2 * torch.sin(angle * 1e-3 / 2) / 1e-3).square()
    assert torch.allclose(draws, chord, rtol=1e-8)


def test_scale_laws():
    _, decode = linear(12, 5)
    start, end = codes(200, 5)

    def length(decode, distance=squared_distance):
        return path_length(decode, distance, start, end, generator=seeded()).value

    one = length(decode)
    assert length(lambda z: 3 * decode(z)) == pytest.approx(9 * one, rel=1e-6)
    assert length(lambda z: decode(z) + 100) == pytest.approx(one, rel=1e-4)
    assert length(decode, lambda a, b: 7 * squared_distance(a, b)) == pytest.approx(7 * one)
    # A map of code space that keeps angles keeps the great circles.
    turn = torch.linalg.qr(torch.randn(5, 5, generator=seeded(3), dtype=DOUBLE)).Q
    turned = path_length(
        lambda z: decode(z @ turn),
        squared_distance,
        start @ turn.T,
        end @ turn.T,
        generator=seeded(),
    )
    assert turned.value == pytest.approx(one, rel=1e-6)


def test_single_precision_is_enough_at_the_published_step():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(16, 64), torch.nn.Tanh(), torch.nn.Linear(64, 100), torch.nn.Sigmoid()
    )
    start, end = codes(200, 16, dtype=torch.float32)
    with torch.no_grad():
        single = path_length(network, squared_distance, start, end, generator=seeded()).value
        network.double()
        double = path_length(
            network, squared_distance, start.double(), end.double(), generator=seeded()
        ).value
    assert single == pytest.approx(double, rel=0.01)


def test_rounded_pictures_are_refused_because_rounding_explodes_the_length():
    _, decode = linear(12, 5)
    start, end = codes(200, 5)

    def to_bytes(z):
        return decode(z).sigmoid().mul(255).round().to(torch.uint8)

    with pytest.raises(DataError, match=r"torch\.uint8; paths need floating"):
        path_length(to_bytes, squared_distance, start, end, generator=seeded())
    # What would have come out: the trap is real, and far from a rounding error.
    smooth = path_length(
        lambda z: decode(z).sigmoid(), squared_distance, start, end, generator=seeded(), trim=0.0
    )
    rounded = path_length(
        lambda z: to_bytes(z).double() / 255,
        squared_distance,
        start,
        end,
        generator=seeded(),
        trim=0.0,
    )
    assert rounded.value > 5 * smooth.value


def test_trimming_keeps_the_order_statistics_at_both_ends():
    values = torch.arange(201.0)
    assert trimmed_mean(values, 0.01) == 100
    values[-2:] = 1e9
    assert trimmed_mean(values, 0.01) == (sum(range(2, 199)) / 197)
    values = torch.tensor([0.0] * 100)
    values[0] = 100
    assert trimmed_mean(values, 0.01) == 1
    assert trimmed_mean(torch.tensor([5.0]), 0.01) == 5
    assert trimmed_mean(torch.stack([torch.arange(3.0), torch.ones(3)]), 0.4).tolist() == [1, 1]


@pytest.mark.parametrize("n", [1, 2, 100, 101, 250])
def test_trimming_is_that_of_the_reference_percentiles(n):
    numpy = pytest.importorskip("numpy")
    values = torch.randn(n, generator=seeded(n), dtype=DOUBLE)
    array = values.numpy()
    low = numpy.percentile(array, 1, method="lower")
    high = numpy.percentile(array, 99, method="higher")
    expected = array[(array >= low) & (array <= high)].mean()
    assert float(trimmed_mean(values, 0.01)) == pytest.approx(expected, abs=1e-12)


def test_the_great_circle_keeps_equal_lengths_and_meets_both_ends():
    start, end = codes(50, 7)
    end = end / end.norm(dim=1, keepdim=True) * start.norm(dim=1, keepdim=True)
    for t in (0.0, 0.3, 1.0):
        z = along(start, end, torch.full((50,), t))
        assert torch.allclose(z.norm(dim=1), start.norm(dim=1))
    assert torch.allclose(along(start, end, torch.zeros(50)), start)
    assert torch.allclose(along(start, end, torch.ones(50)), end)


def test_the_great_circle_agrees_with_the_model_s_own():
    spherical_path = pytest.importorskip("diptych.models.paths").spherical_path
    start, end = codes(20, 5)
    for t, expected in zip((0, 0.5, 1), spherical_path(start, end, 3), strict=True):
        assert torch.allclose(along(start, end, torch.full((20,), float(t))), expected)


def test_nearly_equal_directions_keep_their_digits():
    start = torch.tensor([[1.0, 0.0]], dtype=DOUBLE)
    angle = 1e-7
    end = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=DOUBLE)
    middle = along(start, end, torch.tensor([0.25]))
    assert float(middle[0, 1]) == pytest.approx(angle / 4, rel=1e-6)


@pytest.mark.parametrize("end", [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
def test_without_a_great_circle_the_line_is_taken(end):
    start = torch.tensor([[1.0, 0.0]])
    middle = along(start, torch.tensor([end]), torch.tensor([0.5]))
    assert torch.allclose(middle, (start + torch.tensor([end])) / 2)


def test_one_latent_has_only_the_line():
    start, end = codes(200, 1)
    result = path_length(lambda z: 2 * z, squared_distance, start, end, generator=seeded(), trim=0)
    assert result.value == pytest.approx(float((2 * (end - start)).square().mean()), rel=1e-6)


def test_the_generator_decides_and_the_global_stream_is_left_alone():
    _, decode = linear(12, 5)
    start, end = codes(150, 5)
    state = torch.random.get_rng_state()
    first, again, other = (
        path_length(decode, squared_distance, start, end, generator=seeded(seed), batch_size=size)
        for seed, size in ((0, 100), (0, 7), (1, 100))
    )
    assert torch.equal(state, torch.random.get_rng_state())
    assert first.value == pytest.approx(again.value, rel=1e-9)
    assert first.value != other.value


def test_few_paths_are_not_trusted():
    _, decode = linear(3, 2)
    result = path_length(decode, squared_distance, *codes(5, 2), generator=seeded())
    assert not result.trusted
    assert "Only 5 paths" in result.note


def test_a_constant_generator_has_no_length():
    result = path_length(
        lambda z: torch.ones(len(z), 3), squared_distance, *codes(120, 2), generator=seeded()
    )
    assert (result.value, result.low, result.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("start", "end", "options", "sentence"),
    [
        (torch.ones(3, 2), torch.ones(3, 4), {}, r"\(3, 2\) and \(3, 4\)"),
        (torch.ones(0, 2), torch.ones(0, 2), {}, "non-empty"),
        (torch.ones(3), torch.ones(3), {}, r"codes \(N, L\)"),
        (torch.ones(3, 2) / 0, torch.ones(3, 2), {}, "codes hold NaN"),
        (torch.ones(3, 2), torch.ones(3, 2), {"epsilon": 0}, "between 0 and 1"),
        (torch.ones(3, 2), torch.ones(3, 2), {"path": "curved"}, "spherical or linear was meant"),
    ],
)
def test_what_cannot_be_measured_is_said(start, end, options, sentence):
    with pytest.raises(DataError, match=sentence):
        path_length(lambda z: z, squared_distance, start, end, generator=seeded(), **options)


def test_values_that_are_not_finite_are_said():
    start, end = codes(3, 2)
    with pytest.raises(DataError, match="decoder gave NaN"):
        path_length(lambda z: z / 0, squared_distance, start, end, generator=seeded())
    with pytest.raises(DataError, match="distance gave NaN"):
        path_length(lambda z: z, lambda a, b: a[:, 0] * torch.nan, start, end, generator=seeded())
