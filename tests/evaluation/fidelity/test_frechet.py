import numpy as np
import pytest
import scipy.linalg
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.fidelity import frechet
from diptych.evaluation.fidelity.frechet import frechet_between, frechet_distance, moments


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def eigen_form(x, y):
    """The textbook route: covariances, then the eigenvalues of their product."""
    (mu1, s1), (mu2, s2) = moments(x), moments(y)
    shared = torch.linalg.eigvals(s1 @ s2).real.clamp(min=0).sqrt().sum()
    return float((mu1 - mu2).square().sum() + s1.trace() + s2.trace() - 2 * shared)


def test_golden_vector_agrees_with_four_packages_to_twelve_digits():
    assert f"{frechet_between(R, F):.12f}" == "5.888385926127"


def test_moments_are_those_of_numpy():
    mean, covariance = moments(F)
    np.testing.assert_allclose(mean, F.numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(F.numpy(), rowvar=False), rtol=1e-10, atol=1e-12)


def test_closed_form_of_diagonal_gaussians():
    a, b = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([4.0, 4.0, 1.0]).double()
    mu1, mu2 = torch.tensor([0.0, 0.0, 1.0]).double(), torch.tensor([2.0, 0.0, 0.0]).double()
    expected = 5 + (a.sqrt() - b.sqrt()).square().sum()
    distance = frechet_distance(mu1, a.diag(), mu2, b.diag())
    assert distance == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("block", [1, 5, 64, 100])
def test_blocks_of_the_triangular_product_change_nothing(monkeypatch, block):
    monkeypatch.setattr(frechet, "BLOCK", block)
    assert frechet_between(R, F) == pytest.approx(5.888385926127, abs=1e-11)


def test_covariances_that_do_not_commute_agree_with_scipy():
    a, b = randn(6, 6), randn(6, 6, seed=1)
    s1, s2, zero = a @ a.T, b @ b.T, torch.zeros(6).double()
    root = scipy.linalg.sqrtm((s1 @ s2).numpy()).real
    expected = float(s1.trace() + s2.trace()) - 2 * np.trace(root)
    assert frechet_distance(zero, s1, zero, s2) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [20, 64, 65, 1000])
def test_a_set_against_itself_is_zero(n):
    assert frechet_between(R[:n], R[:n]) == pytest.approx(0, abs=1e-9)


def test_symmetric():
    assert frechet_between(F, R) == pytest.approx(frechet_between(R, F), rel=1e-10)


def test_fewer_items_than_features_equals_the_padded_eigen_form():
    x, y = R[:40], F[:30]
    (mu1, s1), (mu2, s2) = moments(x), moments(y)
    by_covariances = frechet_distance(mu1, s1, mu2, s2)
    assert frechet_between(x, y) == pytest.approx(by_covariances, rel=1e-9)
    # The product's eigenvalues lose half their digits here, hence the looser bound.
    assert frechet_between(x, y) == pytest.approx(eigen_form(x, y), rel=1e-4)


def test_a_dead_feature_changes_nothing():
    dead = torch.full((1000, 1), 3.0).double()
    padded = frechet_between(torch.cat([R, dead], 1), torch.cat([F, dead], 1))
    assert padded == pytest.approx(frechet_between(R, F), rel=1e-10)


def test_one_singular_covariance_in_closed_form():
    zero, flat = torch.zeros(2).double(), torch.tensor([4.0, 0.0]).double().diag()
    round_ = torch.eye(2).double()
    # Along the flat axis only the variance of the other one is left: (2 - 1)² + 1.
    assert frechet_distance(zero, flat, zero, round_) == pytest.approx(2, rel=1e-12)
    assert frechet_distance(zero, round_, zero, flat) == pytest.approx(2, rel=1e-12)


def test_a_nearly_singular_covariance_keeps_its_digits():
    rotation = torch.linalg.qr(randn(30, 30)).Q
    variances = torch.cat([torch.ones(15), torch.full((15,), 1e-12)]).double()
    sigma, zero = rotation * variances @ rotation.T, torch.zeros(30).double()
    assert frechet_distance(zero, sigma, zero, sigma) == pytest.approx(0, abs=5e-9)
    # 15 (1 - 1)² + 15 (2 - 1e-6)²
    other = rotation * variances.where(variances == 1, 4.0) @ rotation.T
    assert frechet_distance(zero, sigma, zero, other) == pytest.approx(59.99994, rel=1e-9)


def test_rotation_and_common_shift_change_nothing():
    rotation = torch.linalg.qr(randn(64, 64)).Q
    moved = frechet_between(R @ rotation + 7, F @ rotation + 7)
    assert moved == pytest.approx(frechet_between(R, F), rel=1e-10)


def test_scaling_law():
    assert frechet_between(3 * R, 3 * F) == pytest.approx(9 * frechet_between(R, F), rel=1e-10)


def test_a_large_offset_costs_no_digits():
    assert frechet_between(R + 1e6, F + 1e6) == pytest.approx(frechet_between(R, F), rel=1e-6)


def test_biased_upward_at_small_n():
    assert frechet_between(R[:200], T[:200]) > 2 * frechet_between(R, T) > 0


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (R[:1], F, "at least 2 items and got 1"),
        (R, F[:0], "at least 2 items and got 0"),
        (R, F[:, :5], "one size, not 64 and 5"),
        (R[0], F, "must be a matrix"),
        (R, torch.where(F > 3, torch.nan, F), "NaN or infinite"),
    ],
)
def test_what_cannot_be_measured_is_said(x, y, sentence):
    with pytest.raises(DataError, match=sentence):
        frechet_between(x, y)


def test_gaussians_that_do_not_fit_are_refused():
    one, two = torch.zeros(1).double(), torch.zeros(2).double()
    with pytest.raises(DataError, match="of one D"):
        frechet_distance(one, one.diag(), two, two.diag())
    with pytest.raises(DataError, match="not finite"):
        frechet_distance(two, two.diag(), two / 0, two.diag())
