"""The same numbers from independent packages, on features of our own."""

import warnings

import pytest
import torch
from golden_vector import F, R

from diptych.evaluation.fidelity.frechet import frechet_between, moments
from diptych.evaluation.fidelity.kernels import kid
from diptych.evaluation.fidelity.vendi import vendi_score


def test_torchmetrics_has_the_same_frechet_and_kernel_distance():
    pytest.importorskip("torchmetrics")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchmetrics.image.fid import _compute_fid
        from torchmetrics.image.kid import poly_mmd
    (mu1, sigma1), (mu2, sigma2) = moments(R), moments(F)
    assert frechet_between(R, F) == pytest.approx(
        float(_compute_fid(mu1, sigma1, mu2, sigma2)), rel=1e-9
    )
    assert kid(R, F).value == pytest.approx(float(poly_mmd(R, F)), abs=1e-12)


@pytest.mark.parametrize("items", [R[:200], F[:40], torch.relu(F[:150])])
def test_vendi_score_package_agrees(items):
    unit = torch.nn.functional.normalize(items, dim=1).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vendi = pytest.importorskip("vendi_score.vendi")
        expected = [vendi.score_dual(unit, normalize=False), vendi.score_K(unit @ unit.T)]
    ours = vendi_score(items).value
    assert [float(value) for value in expected] == pytest.approx([ours, ours], rel=1e-9)
