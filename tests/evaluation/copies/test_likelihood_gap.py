import math

import pytest
import torch
from golden_vector import F, R, T
from scipy import optimize

from diptych.errors import DataError
from diptych.evaluation.copies.likelihood_gap import likelihood_gap


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def gap(fake, held_out, train, **options):
    return likelihood_gap(fake, held_out, train, generator=seeded(), **options)


def log_density(x, fake, sigma):
    """By torch.distributions, one mixture component after another."""
    parts = torch.distributions.Independent(torch.distributions.Normal(fake, sigma), 1)
    return parts.log_prob(x[:, None]).logsumexp(1) - math.log(len(fake))


def test_it_is_the_difference_of_two_mean_log_likelihoods():
    train, held_out, fake = R[:60], T[:50], F[:40]
    found = gap(fake, held_out, train)
    a, b = (log_density(x, fake, found.bandwidth) for x in (train, held_out))
    assert found.estimate.value == pytest.approx(float(a.mean() - b.mean()), abs=1e-9)
    error = float((a.var() / 60 + b.var() / 50).sqrt())
    assert found.estimate.high - found.estimate.value == pytest.approx(1.96 * error, rel=1e-4)


def test_the_bandwidth_maximises_the_likelihood_of_both():
    train, held_out, fake = R[:50, :5], T[:50, :5], F[:80, :5]
    both = torch.cat([train, held_out])
    best = optimize.minimize_scalar(
        lambda log_sigma: -float(log_density(both, fake, math.exp(log_sigma)).mean()),
        bounds=(-5, 3),
        method="bounded",
    )
    assert math.log(gap(fake, held_out, train).bandwidth) == pytest.approx(best.x, abs=2e-3)


def test_exact_copies_gain_about_d_nats():
    # Half of the likelihood is that of items at distance 0: σ² = d²/2D, gap = d²/2σ² = D.
    d = 200
    train, held_out = torch.randn(2, 300, d, generator=seeded(), dtype=torch.float64)
    found = gap(train, held_out, train)
    assert found.estimate.value == pytest.approx(d, rel=0.05)
    assert found.estimate.low > 0.9 * d


def test_golden_sets():
    assert gap(R, T, R).estimate.value == pytest.approx(64, rel=0.05)
    fresh = gap(F, T, R).estimate
    assert fresh.low < 0 < fresh.high
    some = gap(torch.cat([R[:100], F[100:]]), T, R).estimate
    assert some.low > 0  # a tenth is copied
    swapped = gap(T, T, R).estimate  # the model knows the held-out items
    assert swapped.high < -50


def test_without_memory_it_is_zero_within_its_interval():
    held = 0
    values = []
    for seed in range(100):
        train, held_out, fake = torch.randn(3, 80, 4, generator=seeded(seed))
        found = likelihood_gap(fake, held_out, train, generator=seeded(seed)).estimate
        held += found.low <= 0 <= found.high
        values.append(found.value)
    assert held >= 88
    mean, spread = torch.tensor(values).mean(), torch.tensor(values).std()
    assert abs(float(mean)) < 4 * float(spread) / 10


def test_swapping_the_real_sets_changes_the_sign():
    # The bandwidth belongs to both sets alike.
    a = gap(F[:200], T[:200], R[:200]).estimate.value
    b = gap(F[:200], R[:200], T[:200]).estimate.value
    assert a == pytest.approx(-b, abs=1e-9)


def test_invariances():
    fake, held_out, train = F[:200], T[:200], R[:200]
    expected = gap(fake, held_out, train).estimate.value
    rotation = torch.linalg.qr(R[:64]).Q
    shuffled = torch.randperm(200, generator=seeded(3))
    for change in (lambda x: x + 100, lambda x: x @ rotation, lambda x: 7 * x):
        found = gap(change(fake), change(held_out), change(train)).estimate.value
        assert found == pytest.approx(expected, abs=1e-6)
    found = gap(fake[shuffled], held_out[shuffled], train[shuffled]).estimate.value
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_part_fits_nearly_the_same_bandwidth():
    whole = gap(F, T, R, fit_on=1000).bandwidth
    assert gap(F, T, R, fit_on=200).bandwidth == pytest.approx(whole, rel=0.02)


def test_few_items_are_not_trusted():
    assert not gap(F[:5], T[:5], R[:5]).estimate.trusted


def test_a_single_generated_item_will_do():
    assert math.isfinite(gap(F[:1], T, R).estimate.value)


@pytest.mark.parametrize(
    ("fake", "held_out", "train", "sentence"),
    [
        (torch.ones(5, 2), torch.ones(40, 2), torch.ones(40, 2), "identical to a generated"),
        (torch.cat([R, T]), T, R, "identical to a generated"),
        (F, T[:1], R, "two held-out"),
        (F / 0, T, R, "NaN"),
    ],
)
def test_what_cannot_be_fitted_is_said(fake, held_out, train, sentence):
    with pytest.raises(DataError, match=sentence):
        gap(fake, held_out, train)
