import pytest
import torch
from known_densities import LinearModel

from diptych.distributions import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
    standard_normal,
)
from diptych.errors import DataError
from diptych.evaluation.density.fitting import climb, fit_gaussians
from diptych.evaluation.density.gaussians import Gaussians, draw
from diptych.evaluation.density.joint import Joint, gaussian_observation
from diptych.evaluation.density.noise_scale import fit_noise_scale


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_linear_decoder_gives_the_exact_posterior():
    model = LinearModel(30, 4)
    _, x = model.simulate(5)
    fitted = fit_gaussians(model.joint(x), torch.full((5, 4), 3.0), steps=4)
    mean, precision = model.posterior(x)
    torch.testing.assert_close(fitted.mean, mean, atol=1e-6, rtol=0)
    covariance = fitted.scale @ fitted.scale.mT
    torch.testing.assert_close(covariance, torch.linalg.inv(precision).expand(5, -1, -1))
    # So its density at any code is p(x, z) / p(x).
    z = draw((3, 5, 4), seeded(), x)
    torch.testing.assert_close(
        model.joint(x)(z) - fitted.log_prob(z), model.log_evidence(x).expand(3, -1)
    )


def test_noise_and_codes_are_each_others_reverse():
    root = torch.randn(2, 3, 3, generator=seeded()).double()
    q = Gaussians.of_precision(torch.ones(2, 3), root @ root.mT + torch.eye(3))
    noise = draw((4, 2, 3), seeded(1), q.mean)
    torch.testing.assert_close(q.noise(q.codes(noise)), noise)
    known = torch.distributions.MultivariateNormal(
        q.mean, precision_matrix=root @ root.mT + torch.eye(3)
    )
    torch.testing.assert_close(q.log_prob(q.codes(noise)), known.log_prob(q.codes(noise)))


def likelihoods(shape):
    return [
        BernoulliLikelihood(shape),
        ContinuousBernoulliLikelihood(shape),
        GaussianLikelihood(shape, sigma=0.2, mode="fixed", bounded_mean=True),
        LaplaceLikelihood(shape, scale=0.2, bounded_mean=True),
    ]


@pytest.mark.parametrize("which", range(4))
def test_every_likelihood_of_the_package_can_be_climbed(which):
    likelihood = likelihoods((12,))[which]
    weight = torch.randn(12, 3, generator=seeded()).double()
    x = torch.rand(6, 12, generator=seeded(1)).double().round(decimals=1)
    x = x.round() if which == 0 else x
    joint = Joint(x, lambda z: likelihood(z @ weight.T), standard_normal(3, x))
    start = torch.full((6, 3), 1.5)
    fitted = fit_gaussians(joint, start, steps=40)
    value, gradient = joint.with_gradient(fitted.mean[None])
    assert bool((value > joint(start[None])).all())
    if which != 3:  # the modes of the Laplace are corners
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-2, rtol=0)
    assert (
        float(fitted.scale.diagonal(dim1=1, dim2=2).max()) <= 1.0 + 1e-9
    )  # no wider than the prior


def test_the_gradient_is_that_of_the_joint_and_blocks_have_no_part_in_it():
    model = LinearModel(7, 3, sigma=0.5)
    _, x = model.simulate(4)
    z = draw((5, 4, 3), seeded(), x)
    value, gradient = model.joint(x).with_gradient(z)
    mean, precision = model.posterior(x)
    torch.testing.assert_close(gradient, (mean - z) @ precision)
    with torch.inference_mode():
        small = model.joint(x, block=3).with_gradient(z)
    torch.testing.assert_close(small[0], value)
    torch.testing.assert_close(small[1], gradient)
    torch.testing.assert_close(model.joint(x, block=3)(z), value)


def test_the_heat_leads_out_of_a_local_maximum():
    def wave(z):  # explains x equally well at every period; the prior prefers the one near 0
        return torch.sin(6 * z)

    x = wave(torch.full((1, 1), 0.1)).double()
    joint = Joint(x, gaussian_observation(wave, 0.05), standard_normal(1, x))
    starts = torch.tensor([[[-1.7]]])
    cold = climb(joint, starts, steps=300, learning_rate=0.05, heat=1.0)
    hot = climb(joint, starts, steps=300, learning_rate=0.1, heat=1e4)
    assert float(cold) == pytest.approx(0.1 - 0.5236 - 1.2472, abs=0.2)
    assert float(hot) == pytest.approx(0.1, abs=0.01)
    assert float(joint(hot[None])) > float(joint(cold[None])) + 1


def test_the_best_start_wins_for_each_image():
    model = LinearModel(9, 2)
    z, x = model.simulate(3)
    bad = torch.full((3, 2), 30.0)
    starts = torch.stack([bad, z, bad])
    kept = climb(model.joint(x), starts, steps=0)
    assert torch.equal(kept, z)


@pytest.mark.parametrize("sigma", [0.05, 0.3])
def test_the_fitted_noise_is_the_maximum_of_the_exact_curve(sigma):
    model = LinearModel(200, 3, sigma=sigma)
    _, x = model.simulate(12)
    starts = torch.zeros(1, 12, 3)
    found = fit_noise_scale(
        model.decode_mean, x, starts, model.prior, generator=seeded(), steps=60, heat=1.0
    )
    exact = [float(model.log_evidence(x, s).mean()) for s in found.sigmas]
    assert found.nats == pytest.approx(exact, abs=0.3)
    grid = torch.linspace(0.8, 1.25, 91) * sigma
    best = max(grid.tolist(), key=lambda s: float(model.log_evidence(x, s).mean()))
    assert found.sigma == pytest.approx(best, rel=0.01)
    assert list(found.sigmas) == sorted(found.sigmas)


def test_what_is_not_finite_is_said_in_a_sentence():
    model = LinearModel(5, 2)
    _, x = model.simulate(2)
    with pytest.raises(DataError, match="NaN or infinite"):
        model.joint(x / 0)
    broken = Joint(x, gaussian_observation(lambda z: z @ model.weight.T / 0, 1.0), model.prior)
    with pytest.raises(DataError, match="not finite at the codes"):
        fit_gaussians(broken, torch.zeros(2, 2))
    with pytest.raises(DataError, match=r"must be \(C, 2, 2\)"):
        model.joint(x)(torch.zeros(1, 3, 2))
    with pytest.raises(DataError, match="output is not finite"):
        fit_noise_scale(
            lambda z: z @ model.weight.T / 0,
            x,
            torch.zeros(1, 2, 2),
            model.prior,
            generator=seeded(),
        )
