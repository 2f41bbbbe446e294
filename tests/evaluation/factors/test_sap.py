"""SAP: known codes, and the one-latent predictor against scikit-learn's."""

import warnings

import numpy as np
import pytest
import torch
from known_codes import independent_factors, noise, rotation, seeded

from diptych.evaluation.factors.labelled import halves, labelled_codes
from diptych.evaluation.factors.sap import balanced_accuracies, sap_score


def test_ideal_codes_reach_one_minus_chance():
    factors = independent_factors(4000, (2, 10))
    assert sap_score(factors.double(), factors, generator=seeded()) == pytest.approx(
        (0.5 + 0.9) / 2, abs=0.04
    )


def test_two_latents_that_know_the_same_score_nothing():
    factors = independent_factors()
    assert sap_score(factors.double().repeat(1, 2), factors, generator=seeded()) == 0


def test_random_and_rotated_codes_score_little():
    factors = independent_factors()
    assert sap_score(noise(2000, 10), factors, generator=seeded()) < 0.03
    assert sap_score(factors.double() @ rotation(5), factors, generator=seeded()) < 0.2


def test_the_predictor_is_the_nearest_mean():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        neighbors = pytest.importorskip("sklearn.neighbors")
        metrics = pytest.importorskip("sklearn.metrics")
    factors = torch.cat(
        [independent_factors(600, (4,)), independent_factors(600, (3,), 1) ** 2], 1
    )
    data = labelled_codes(factors.double() @ rotation(2) + 0.5 * noise(600, 2), factors)
    learn, judge = halves(data, seeded())
    ours = balanced_accuracies(data, learn, judge)
    for i in range(2):
        for j in range(2):
            x, y = data.codes[:, [i]].numpy(), data.factors[:, j].numpy()
            fitted = neighbors.NearestCentroid().fit(x[learn], y[learn])
            theirs = metrics.balanced_accuracy_score(y[judge], fitted.predict(x[judge]))
            assert float(ours[i, j]) == pytest.approx(theirs, abs=1e-9)


def test_accuracy_is_balanced_over_rare_values():
    # A latent that knows nothing guesses one value: 1/2 here, not the share of the common one.
    factors = (torch.arange(1000) % 10 == 0).long()[:, None]
    data = labelled_codes(torch.ones(1000, 1), factors)
    assert float(balanced_accuracies(data, *halves(data, seeded()))) == 0.5


def test_a_monotone_map_of_a_latent_keeps_ideal_codes_ideal():
    factors = independent_factors(2000, (5, 5))
    curved = sap_score(2 - factors.double() ** 3, factors, generator=seeded())
    assert curved == pytest.approx(0.8, abs=0.03)


def test_a_value_that_was_not_learned_is_missed_and_the_others_keep_their_names():
    factors = torch.arange(30)[:, None] % 3
    data = labelled_codes(factors.double(), factors)
    learn = (data.factors[:, 0] > 0).nonzero().flatten()
    assert float(balanced_accuracies(data, learn, torch.arange(30))) == pytest.approx(2 / 3)


def test_a_value_seen_only_in_one_half_is_no_error():
    factors = torch.zeros(20, 1).long()
    factors[3] = 7
    for seed in range(4):
        score = sap_score(factors.double(), factors, generator=seeded(seed))
        assert -0.5 <= score <= 0.5


def test_the_generator_decides():
    factors = independent_factors(200, (4, 4))
    codes = factors.double() + noise(200, 2)
    scores = [sap_score(codes, factors, generator=seeded(seed)) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]
    assert np.isfinite(scores).all()
