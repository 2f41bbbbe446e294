"""Paths between codes: exact ends, constant length on the sphere, finite everywhere."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diptych.models.paths import linear_path, spherical_path


def codes(seed, n=4, latents=8):
    torch.manual_seed(seed)
    return torch.randn(2, n, latents, dtype=torch.float64)


@given(st.integers(0, 1000), st.integers(2, 20))
@settings(max_examples=30, deadline=None)
def test_between_ends_of_one_length_the_length_is_constant(seed, steps):
    start, end = codes(seed)
    end = end * (start.norm(dim=1) / end.norm(dim=1))[:, None]
    for z in spherical_path(start, end, steps):
        torch.testing.assert_close(z.norm(dim=1), start.norm(dim=1))


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_otherwise_the_length_and_the_angle_go_linearly(seed):
    start, end = codes(seed)
    path = spherical_path(start, end, 5)
    whole = torch.arccos(torch.cosine_similarity(start, end))
    for quarter, z in enumerate(path):
        t = quarter / 4
        length = torch.lerp(start.norm(dim=1), end.norm(dim=1), t)
        torch.testing.assert_close(z.norm(dim=1), length)
        cosine = torch.cosine_similarity(start, z).clamp(-1, 1)
        torch.testing.assert_close(torch.arccos(cosine), t * whole, atol=1e-7, rtol=0)


@pytest.mark.parametrize("path", [linear_path, spherical_path])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_ends_are_the_codes_themselves(path, dtype):
    start, end = codes(0).to(dtype)
    first, *_, last = path(start, end, 7)
    torch.testing.assert_close(first, start)
    torch.testing.assert_close(last, end)


@pytest.mark.parametrize("path", [linear_path, spherical_path])
def test_the_way_back_is_the_same_way(path):
    start, end = codes(1)
    there, back = path(start, end, 6), path(end, start, 6)
    for a, b in zip(there, reversed(back), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)


def test_the_straight_line_is_straight_and_even():
    start, end = codes(2)
    path = torch.stack(linear_path(start, end, 9))
    torch.testing.assert_close(path.diff(dim=0), ((end - start) / 8).expand(8, -1, -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_directions_without_a_unique_great_circle_stay_finite(dtype):
    start, _ = codes(3).to(dtype)
    zero = torch.zeros_like(start)
    for end in (start, -start, 2.5 * start, -0.5 * start, start * (1 + 1e-7), zero):
        path = torch.stack(spherical_path(start, end, 9))
        assert bool(path.isfinite().all())
        torch.testing.assert_close(path[0], start)
        torch.testing.assert_close(path[-1], end)
    assert all(torch.equal(z, zero) for z in spherical_path(zero, zero, 3))
    for z in spherical_path(start, start, 5):
        torch.testing.assert_close(z, start)


def test_a_right_angle_is_halved_in_its_middle():
    start = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    end = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    middle = spherical_path(start, end, 3)[1]
    torch.testing.assert_close(middle, torch.full_like(middle, math.sqrt(2)))
