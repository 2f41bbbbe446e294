import pytest
import torch
from golden_vector import F, R

from diptych.evaluation.fidelity.frechet import frechet_between, moments
from diptych.evaluation.fidelity.frechet_interval import frechet_estimate, standard_error

SPREADS = torch.linspace(0.8, 1.6, 6).double()


def draw(seed, n=300, d=6):
    x, y = torch.randn(2, n, d, generator=torch.Generator().manual_seed(seed)).double()
    return x, y[: n // 2] * SPREADS + 0.3


def test_value_is_the_distance_to_the_last_golden_digit():
    estimate = frechet_estimate(R, F)
    assert f"{estimate.value:.12f}" == "5.888385926127"
    assert estimate.low < estimate.value < estimate.high
    assert "bias not included" in estimate.interval


def test_standard_error_is_the_spread_of_repeated_draws():
    values, errors = [], []
    for seed in range(250):
        estimate = frechet_estimate(*draw(seed))
        values.append(estimate.value)
        errors.append((estimate.high - estimate.value) / 1.96)
    spread = float(torch.tensor(values).std())
    assert sum(errors) / len(errors) == pytest.approx(spread, rel=0.12)


def test_standard_error_is_that_of_a_bootstrap_of_correlated_features():
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(5, 5, generator=generator).double()
    x, y = R[:400, :5] @ mix, F[:400, 10:15].exp()
    values = []
    for _ in range(250):
        i, j = torch.randint(400, (2, 400), generator=generator)
        values.append(frechet_between(x[i], y[j]))
    error = standard_error(x, y, moments(x), moments(y))
    assert error == pytest.approx(float(torch.tensor(values).std()), rel=0.15)


def test_influence_is_the_derivative_of_the_distance():
    # Giving one item of the second set a little more weight moves d² by that weight times ψ.
    x, y = draw(0, n=80)
    many = y.repeat(200, 1)
    before = frechet_between(x, many)
    changes = [frechet_between(x, torch.cat([many, item[None]])) - before for item in y[:10]]
    influence = torch.tensor(changes, dtype=torch.float64) * (len(many) + 1)
    (mu1, s1), (mu2, s2) = moments(x), moments(many)
    values, vectors = torch.linalg.eigh(s2)
    half, inverse = (vectors * values**p @ vectors.T for p in (0.5, -0.5))
    inner, basis = torch.linalg.eigh(half @ s1 @ half)
    to_x = inverse @ (basis * inner.sqrt() @ basis.T) @ inverse
    gap, centred = mu2 - mu1, y[:10] - mu2
    change = torch.eye(6).double() - to_x
    psi = 2 * centred @ gap + ((centred @ change) * centred).sum(1) - (change @ s2).trace()
    torch.testing.assert_close(influence, psi, rtol=0.02, atol=0.02)


def test_a_dead_feature_changes_nothing():
    x, y = draw(1)
    dead = [torch.cat([items, torch.full((len(items), 1), 3.0).double()], 1) for items in (x, y)]
    one, two = frechet_estimate(x, y), frechet_estimate(*dead)
    assert two.high == pytest.approx(one.high, rel=1e-5)


def test_scaling_law():
    x, y = draw(2)
    one, two = frechet_estimate(x, y), frechet_estimate(3 * x, 3 * y)
    assert two.high - two.value == pytest.approx(9 * (one.high - one.value), rel=1e-5)


def test_no_interval_where_bias_is_all_there_is():
    assert frechet_estimate(R[:64], F).low is None
    assert frechet_estimate(R[:65], F).low is not None
