"""The FactorVAE and β-VAE scores on codes whose answer is known."""

import warnings

import pytest
import torch
from known_codes import independent_factors, noise, rotation, seeded

from diptych.evaluation.factors import beta_vae_score as pairs_module
from diptych.evaluation.factors.beta_vae_score import beta_vae_score
from diptych.evaluation.factors.labelled import labelled_codes
from diptych.evaluation.factors.voting import factor_vae_score, group_size_for


def test_ideal_codes_are_voted_for_every_time():
    factors = independent_factors(3000, (3, 5, 8))
    assert factor_vae_score(factors.double(), factors, generator=seeded()).value == 1
    assert beta_vae_score(factors.double(), factors, generator=seeded()) == 1


def test_random_codes_score_chance():
    factors = independent_factors(600, (2, 2, 2, 2))
    for seed in range(5):
        codes = noise(600, 6, seed=50 + seed)
        votes = factor_vae_score(codes, factors, generator=seeded(seed))
        assert votes.value == pytest.approx(0.25, abs=0.17)
        assert beta_vae_score(codes, factors, generator=seeded(seed)) == pytest.approx(
            0.25, abs=0.12
        )


def test_groups_that_are_nearly_all_of_a_value_are_not_learned_by_heart():
    # About 57 of 64 codes in each group: votes to learn from and to be judged on, were they of
    # the same codes, would agree whatever the codes are.
    factors = independent_factors(256, (2, 2, 2, 2))
    scores = [
        factor_vae_score(noise(256, 6, seed=70 + seed), factors, generator=seeded(seed)).value
        for seed in range(10)
    ]
    assert sum(scores) / 10 == pytest.approx(0.25, abs=0.12)


def test_the_scale_of_a_latent_does_not_matter():
    factors = independent_factors(2000, (4, 4, 4))
    codes = factors.double() + noise(2000, 3)
    scales = torch.tensor([1.0, 30.0, 0.4], dtype=torch.float64)
    for score in (
        lambda z: factor_vae_score(z, factors, generator=seeded()).value,
        lambda z: beta_vae_score(z, factors, generator=seeded()),
    ):
        assert score(codes * scales + 5) == pytest.approx(score(codes), abs=1e-9)


def test_dead_latents_are_left_out_although_they_stand_still():
    factors = independent_factors(2000, (4, 4))
    # Without pruning a dead latent that is constant would have variance 0 and take every vote.
    dead = torch.cat([factors.double(), torch.zeros(2000, 1), 1e-3 * noise(2000, 1)], 1)
    result = factor_vae_score(dead, factors, generator=seeded())
    assert result.value == 1
    assert result.note.startswith("2 dead latents were left out")
    # A latent that is dead for pruning at 0.05 but carries a factor is lost with it.
    shrunk = factors.double() * torch.tensor([1.0, 1e-3], dtype=torch.float64)
    assert factor_vae_score(shrunk, factors, generator=seeded()).value < 0.7


def test_without_a_living_latent_votes_are_guesses():
    factors = independent_factors(500, (2, 2))
    result = factor_vae_score(torch.zeros(500, 3), factors, generator=seeded())
    assert (result.value, result.trusted) == (0.5, False)
    assert "No latent is alive" in result.note


def test_groups_shrink_with_the_codes_and_then_give_up():
    factors = independent_factors(400, (10, 2))
    result = factor_vae_score(factors.double(), factors, generator=seeded())
    assert "Groups have" in result.note
    assert not result.trusted
    few = independent_factors(60, (10, 2))
    assert factor_vae_score(few.double(), few, generator=seeded()) is None


def test_the_group_size_is_what_two_values_of_every_factor_have():
    factors = torch.tensor([[0, 0], [0, 1], [0, 1], [1, 1], [1, 0], [2, 0]])
    data = labelled_codes(torch.zeros(6, 1), factors)
    assert group_size_for(data, torch.arange(6)) == 2
    assert group_size_for(data, torch.arange(6), torch.arange(3)) == 0


def test_a_single_factor_cannot_be_told_from_others():
    factors = independent_factors(500, (4,))
    assert factor_vae_score(factors.double(), factors, generator=seeded()) is None
    assert beta_vae_score(factors.double(), factors, generator=seeded()) is None


def test_values_that_never_repeat_make_no_pairs():
    factors = torch.stack([torch.arange(40), torch.arange(40) % 2], 1)
    assert beta_vae_score(factors.double(), factors, generator=seeded()) is None


def test_rotated_codes_are_told_apart_by_a_linear_classifier_less_well():
    factors = independent_factors(3000, (5, 5, 5))
    codes = factors.double() @ rotation(3)
    ideal, rotated = (
        beta_vae_score(z, factors, generator=seeded(), pairs=8) for z in (factors.double(), codes)
    )
    assert rotated < ideal - 0.1


def test_pairs_share_their_factor_and_are_two_different_codes():
    factors = independent_factors(300, (4, 3))
    data = labelled_codes(torch.arange(300).double()[:, None], factors)
    rows = torch.randperm(300, generator=seeded())[:150]
    both = torch.cat([data.factors.double(), torch.arange(300).double()[:, None]], 1)
    differences, classes = pairs_module._points(both, data, rows, 500, 1, seeded())
    assert set(classes.tolist()) == {0, 1}
    for difference, factor in zip(differences, classes.tolist(), strict=True):
        assert difference[factor] == 0
        assert difference[2] >= 1  # row numbers differ by at least 1 in each pair


def test_the_discriminant_is_that_of_scikit_learn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analysis = pytest.importorskip("sklearn.discriminant_analysis")
    classes = torch.arange(300) % 3
    x = noise(300, 4) + 1.5 * noise(3, 4, seed=8)[classes]
    new = noise(200, 4, seed=9) * 2
    ours = pairs_module._discriminant(x, classes, 3, new)
    model = analysis.LinearDiscriminantAnalysis(solver="lsqr").fit(x.numpy(), classes.numpy())
    assert float((ours == torch.from_numpy(model.predict(new.numpy()))).double().mean()) > 0.99


def test_the_generator_decides():
    factors = independent_factors(400, (3, 3))
    codes = factors.double() + 4 * noise(400, 2)
    for score in (
        lambda seed: factor_vae_score(codes, factors, generator=seeded(seed)).value,
        lambda seed: beta_vae_score(codes, factors, generator=seeded(seed), pairs=4),
    ):
        assert score(0) == score(0) != score(1)
