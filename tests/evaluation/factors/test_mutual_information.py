"""Histograms and entropies against closed forms and independent packages."""

import math
import warnings

import numpy as np
import pytest
import torch
from known_codes import independent_factors, noise, rotation, seeded

from diptych.errors import DataError
from diptych.evaluation.factors.mig import mutual_information_gap
from diptych.evaluation.factors.mutual_information import (
    discretise,
    entropies,
    mutual_information,
)


def test_bins_are_those_of_numpy():
    codes = noise(500, 3) * torch.tensor([1.0, 1e-6, 1e6]) + 5
    for ours, column in zip(discretise(codes).T, codes.numpy().T, strict=True):
        edges = np.histogram(column, 20)[1]
        assert np.array_equal(ours.numpy(), np.digitize(column, edges[1:-1]))


def test_a_constant_latent_falls_into_one_bin():
    assert discretise(torch.full((7, 1), 3.3)).unique().tolist() == [0]


def test_the_entropy_of_equal_shares_is_the_logarithm():
    values = torch.arange(60).view(-1, 1) % 6
    assert float(entropies(values)) == pytest.approx(math.log(6))
    assert float(entropies(torch.zeros(5, 1).long())) == 0


def test_information_has_its_closed_forms():
    x, y = (
        part.reshape(-1, 1)
        for part in torch.meshgrid(torch.arange(6), torch.arange(4), indexing="ij")
    )
    both = torch.cat([x, y, x * 4 + y, x // 2], 1)
    expected = torch.tensor([[6, 1], [1, 4], [6, 4], [3, 1]]).double().log()
    assert torch.allclose(mutual_information(both, torch.cat([x, y], 1)), expected, atol=1e-12)


def test_information_agrees_with_scikit_learn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = pytest.importorskip("sklearn.metrics")
    factors = independent_factors(300, (3, 7))
    binned = discretise(factors.double() @ rotation(2) + noise(300, 2))
    ours = mutual_information(binned, factors)
    for i in range(2):
        for j in range(2):
            theirs = metrics.mutual_info_score(binned[:, i].numpy(), factors[:, j].numpy())
            assert float(ours[i, j]) == pytest.approx(theirs, abs=1e-12)


def test_the_stated_bias_is_that_of_independent_counts():
    binned = discretise(torch.rand(2000, 40, generator=seeded()))
    factors = independent_factors(2000, (10,) * 5)
    mean = float(mutual_information(binned, factors).mean())
    assert mean == pytest.approx(19 * 9 / (2 * 2000), rel=0.05)


def test_ideal_codes_have_the_whole_gap():
    factors = independent_factors()
    assert mutual_information_gap(factors.double(), factors) > 0.98
    # Any monotone code is as good as long as the values fall into bins of their own.
    assert mutual_information_gap(-3.0 * factors.double() + 1, factors) > 0.98
    assert mutual_information_gap(factors.double()[:, [3, 1, 0, 4, 2]], factors) > 0.98


def test_two_latents_that_know_the_same_have_no_gap():
    factors = independent_factors()
    assert mutual_information_gap(factors.double().repeat(1, 2), factors) == 0


def test_random_and_rotated_codes_have_hardly_any_gap():
    factors = independent_factors()
    assert mutual_information_gap(noise(2000, 10), factors) < 0.02
    assert mutual_information_gap((factors - 4.5).double() @ rotation(5), factors) < 0.2


def test_the_gap_does_not_mind_one_latent_that_tells_two_factors():
    # Stated in the docstring, since it surprises: 4 x 5 values in 20 bins of one latent.
    factors = independent_factors(4000, (4, 5))
    codes = torch.stack([factors[:, 0] * 5.0 + factors[:, 1], noise(4000)], 1)
    assert mutual_information_gap(codes.double(), factors) > 0.95


def test_more_values_than_bins_bound_the_gap():
    factors = independent_factors(8000, (40, 3))
    expected = (math.log(20) / math.log(40) + 1) / 2
    assert mutual_information_gap(factors.double(), factors) == pytest.approx(expected, abs=0.01)


def test_constant_factors_and_latents_are_ignored():
    factors = independent_factors(500, (4, 3))
    padded = torch.cat([torch.full((500, 1), 9), factors], 1)
    codes = torch.cat([factors.double(), torch.ones(500, 1)], 1)
    expected = mutual_information_gap(factors.double(), factors)
    assert mutual_information_gap(codes, padded) == pytest.approx(expected)


def test_one_latent_is_compared_with_one_that_knows_nothing():
    factors = independent_factors(500, (4,))
    assert mutual_information_gap(factors.double(), factors) == pytest.approx(1)


@pytest.mark.parametrize(
    ("codes", "factors", "sentence"),
    [
        (torch.zeros(5, 2), torch.zeros(4, 2).long(), r"\(5, 2\) and \(4, 2\)"),
        (torch.zeros(5), torch.zeros(5, 2).long(), "of the same N"),
        (torch.zeros(5, 0), torch.zeros(5, 2).long(), "of the same N"),
        (torch.zeros(1, 2), torch.zeros(1, 2).long(), "at least 2 codes, not 1"),
        (torch.zeros(5, 2), torch.zeros(5, 2), "whole numbers, not torch.float32"),
        (torch.zeros(5, 2) / 0, torch.zeros(5, 2).long(), "NaN or infinite"),
        (torch.zeros(5, 2), torch.ones(5, 2).long(), "No factor takes more than one value"),
    ],
)
def test_what_cannot_be_measured_is_said(codes, factors, sentence):
    with pytest.raises(DataError, match=sentence):
        mutual_information_gap(codes, factors)


def test_one_bin_is_refused():
    with pytest.raises(DataError, match="at least 2 bins"):
        discretise(torch.zeros(3, 1), 1)
