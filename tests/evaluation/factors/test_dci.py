"""DCI: closed forms of importance, known codes, and the lasso against scikit-learn's."""

import math
import warnings

import pytest
import torch
from known_codes import independent_factors, noise, rotation, seeded

from diptych.errors import DataError
from diptych.evaluation.factors import dci
from diptych.evaluation.factors.dci import completeness, dci_lasso, disentanglement
from diptych.evaluation.factors.lasso import lasso


def test_importance_has_closed_forms():
    eye = torch.eye(5, dtype=torch.float64)
    assert disentanglement(eye) == pytest.approx(1)
    assert completeness(eye) == pytest.approx(1)
    flat = torch.ones(5, 5, dtype=torch.float64)
    assert disentanglement(flat) == pytest.approx(0, abs=1e-12)
    assert completeness(flat) == pytest.approx(0, abs=1e-12)
    doubled = torch.cat([eye, eye])
    assert disentanglement(doubled) == pytest.approx(1)
    assert completeness(doubled) == pytest.approx(1 - math.log(2) / math.log(10))  # .699
    assert disentanglement(torch.zeros(3, 2).double()) == 0


def test_latents_weigh_by_their_importance():
    # One pure latent of weight 3, one that is shared evenly of weight 1.
    importance = torch.tensor([[3.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    assert disentanglement(importance) == pytest.approx(3 / 4)
    assert disentanglement(100 * importance) == pytest.approx(3 / 4)


def test_ideal_codes():
    factors = independent_factors()
    result = dci_lasso(factors.double(), factors, generator=seeded())
    assert min(result.disentanglement, result.completeness, result.informativeness) > 0.99
    scaled = dci_lasso(factors.double() * 1e6 - 3, factors, generator=seeded())
    assert scaled.disentanglement == pytest.approx(result.disentanglement, abs=1e-6)


def test_a_latent_and_its_copy_share_the_importance():
    factors = independent_factors()
    result = dci_lasso(factors.double().repeat(1, 2), factors, generator=seeded())
    assert result.completeness == pytest.approx(1 - math.log(2) / math.log(10), abs=0.005)
    assert result.disentanglement > 0.99
    assert torch.allclose(result.importance[:5], result.importance[5:], rtol=1e-3, atol=1e-6)


def test_rotated_codes_are_informative_and_entangled():
    factors = independent_factors()
    result = dci_lasso(factors.double() @ rotation(5), factors, generator=seeded())
    assert result.informativeness > 0.99
    assert result.disentanglement < 0.3
    assert result.completeness < 0.3


@pytest.mark.parametrize("seed", range(8))
def test_random_codes_do_not_look_disentangled_by_a_chance_weight(seed):
    factors = independent_factors(300)
    result = dci_lasso(noise(300, 10, seed=100 + seed), factors, generator=seeded(seed))
    assert result.disentanglement == 0
    assert result.completeness == 0
    assert result.informativeness < 0.02


@pytest.mark.parametrize(("times", "important"), [(4, False), (5, True)])
def test_a_factor_counts_when_half_of_the_divisions_predict_it(monkeypatch, times, important):
    divisions = iter(range(10))

    def one_division(data, generator):
        found = torch.tensor([[1.0, 0.0], [0.0, float(next(divisions) < times)]])
        return found.double(), torch.zeros(2).double()

    monkeypatch.setattr(dci, "_one_division", one_division)
    result = dci_lasso(noise(20, 2), independent_factors(20, (3, 3)), generator=seeded())
    assert bool(result.importance[1, 1] > 0) is important
    assert result.importance[0, 0] == 1


def test_informativeness_is_the_held_out_part_of_the_variance():
    factors = independent_factors(20_000, (7, 7))
    # Noise of the variance of the factor itself, 4: half of it can be explained.
    codes = factors.double() + 2 * noise(20_000, 2)
    result = dci_lasso(codes, factors, generator=seeded())
    assert result.informativeness == pytest.approx(0.5, abs=0.03)


def test_one_factor_and_one_latent():
    factors = independent_factors(500, (5, 4))
    one_factor = dci_lasso(factors.double(), factors[:, :1], generator=seeded())
    assert one_factor.disentanglement is None
    assert one_factor.completeness > 0.95
    one_latent = dci_lasso(factors[:, :1].double(), factors, generator=seeded())
    assert one_latent.completeness is None
    assert one_latent.disentanglement > 0.95


def test_a_constant_latent_has_no_importance():
    factors = independent_factors(500, (5, 4))
    codes = torch.cat([factors.double(), torch.full((500, 1), 0.1)], 1)
    result = dci_lasso(codes, factors, generator=seeded())
    assert result.importance[2].tolist() == [0, 0]
    assert result.importance.shape == (3, 2)


def test_too_few_codes_are_said():
    factors = independent_factors(9, (2, 2), seed=4)
    with pytest.raises(DataError, match="at least 10 codes to hold some out, not 9"):
        dci_lasso(factors.double(), factors, generator=seeded())


@pytest.mark.parametrize("correlated", [False, True])
def test_the_lasso_is_that_of_scikit_learn(correlated):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linear_model = pytest.importorskip("sklearn.linear_model")
    x = noise(200, 8)
    if correlated:
        x = x + 3 * noise(200, 1, seed=5)
    y = x @ noise(8, 2, seed=2) + noise(200, 2, seed=3)
    x, y = x - x.mean(0), y - y.mean(0)
    strengths = torch.tensor([[1.0, 0.5], [0.1, 0.05], [0.0, 0.001]]).double()
    ours = lasso(x, y, strengths)
    for a in range(3):
        for j in range(2):
            if strengths[a, j] == 0:
                expected = torch.linalg.lstsq(x, y[:, j]).solution
            else:
                model = linear_model.Lasso(
                    alpha=float(strengths[a, j]), fit_intercept=False, tol=1e-10, max_iter=100_000
                )
                expected = torch.from_numpy(model.fit(x.numpy(), y[:, j].numpy()).coef_)
            assert torch.allclose(ours[a, :, j], expected, atol=1e-5)


def test_orthonormal_inputs_give_soft_thresholds():
    x = rotation(6)[:, :3] * 6**0.5
    y = x @ torch.tensor([[2.0], [-0.3], [0.05]]).double()
    ours = lasso(x, y, torch.tensor([[0.1]]).double())
    assert torch.allclose(ours[0, :, 0], torch.tensor([1.9, -0.2, 0.0]).double(), atol=1e-8)
    assert lasso(x, y, torch.tensor([[2.001]]).double()).eq(0).all()
    assert lasso(x * 0, y, torch.tensor([[0.1]]).double()).eq(0).all()


def test_a_lasso_of_unlike_shapes_is_refused():
    with pytest.raises(DataError, match="as many targets as inputs"):
        lasso(noise(5, 2), noise(4, 1), torch.ones(1, 1).double())
