import math

import pytest
import torch
from known_densities import LinearModel
from ppca import PPCA, linear_vae, set_to

from diptych.distributions import standard_normal
from diptych.errors import DataError
from diptych.evaluation.density.elbo import negative_elbo_samples
from diptych.evaluation.density.gaussians import Gaussians
from diptych.evaluation.density.importance import importance_bound
from diptych.evaluation.density.joint import Joint


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def widened(model, x, factor):
    mean, precision = model.posterior(x)
    return Gaussians.of_precision(mean, (precision / factor**2).expand(len(x), -1, -1))


@pytest.fixture
def small():
    model = LinearModel(12, 3, sigma=0.4)
    return model, model.simulate(7)[1]


@pytest.mark.parametrize("block", [1, 8, 64, 5000])
def test_blocks_equal_one_sum_over_the_same_noise(small, block):
    model, x = small
    q = widened(model, x, 1.5)
    noise = torch.cat(
        [
            torch.randn(1, 7, 3, generator=g, dtype=torch.float64)
            for g in [seeded()]
            for _ in range(53)
        ]
    )
    z = q.codes(noise)
    log_weights = model.joint(x)(z) - q.log_prob(z)
    result = importance_bound(model.joint(x, block=block), q, k=53, generator=seeded())
    expected = log_weights.logsumexp(0) - math.log(53)
    torch.testing.assert_close(result.bounds, expected, atol=1e-10, rtol=0)
    weights = log_weights.softmax(0)
    torch.testing.assert_close(result.effective, 1 / weights.square().sum(0))


def test_the_exact_posterior_gives_the_exact_answer_from_one_sample(small):
    model, x = small
    result = importance_bound(model.joint(x), widened(model, x, 1.0), k=1, generator=seeded())
    torch.testing.assert_close(result.bounds, model.log_evidence(x), atol=1e-9, rtol=0)
    many = importance_bound(model.joint(x), widened(model, x, 1.0), k=9, generator=seeded())
    torch.testing.assert_close(many.effective, torch.full((7,), 9.0).double())


def test_the_bound_rises_with_k_from_the_elbo_to_the_truth(small):
    model, x = small
    x = x.repeat(30, 1)  # the expectation, over the noise
    q, joint = widened(model, x, 1.6), model.joint(x)
    bounds = [
        float(importance_bound(joint, q, k=k, generator=seeded()).bounds.mean())
        for k in (1, 5, 50, 1000)
    ]
    exact = float(model.log_evidence(x).mean())
    assert bounds == sorted(bounds)
    # E log w of a Gaussian 1.6 times too wide: KL = L (1.6² - 1 - 2 log 1.6) / 2 nats below.
    kl = 3 * (1.6**2 - 1 - 2 * math.log(1.6)) / 2
    assert bounds[0] == pytest.approx(exact - kl, abs=0.3)
    assert bounds[-1] == pytest.approx(exact, abs=0.02)


def test_the_notes_of_the_field_on_784_dimensions():
    # A posterior 1.5 times too wide costs a fraction of a nat, one 3 times too wide several.
    model = LinearModel()
    x = model.simulate(16)[1]
    exact = model.log_evidence(x)
    for factor, low, high in ((1.5, 0.05, 0.6), (3.0, 1.5, 10.0)):
        result = importance_bound(
            model.joint(x), widened(model, x, factor), k=100, generator=seeded()
        )
        assert low < float((exact - result.bounds).mean()) < high


def test_one_sample_is_the_elbo_of_a_vae():
    x = (
        torch.randn(40, 6, generator=seeded()).double()
        @ torch.randn(6, 6, generator=seeded(1)).double()
    )
    vae = linear_vae(6, 2)
    set_to(vae, PPCA.fit(x, 2))
    vae.encoder.layers[0].bias.data[2:] += 0.5  # so that it is not the posterior
    vae.requires_grad_(False)
    posterior = vae.encode(x)
    q = Gaussians.diagonal(posterior.mean, posterior.stddev)
    joint = Joint(x, vae.decode, standard_normal(2, x))
    elbos, bounds = [], []
    for seed in range(100):
        elbos.append(-negative_elbo_samples(vae, x, seed=seed))
        bounds.append(importance_bound(joint, q, k=1, generator=seeded(seed)).bounds)
    elbos, bounds = torch.stack(elbos), torch.stack(bounds)
    error = (elbos.var(0) + bounds.var(0)).sqrt() / 100**0.5
    assert float(((elbos.mean(0) - bounds.mean(0)) / error).square().mean()) < 2
    # And its mean is log p(x) less the divergence of the encoder, to the digit it is known.
    gap = torch.distributions.kl_divergence(posterior, vae_posterior(vae, x))
    exact = PPCA.fit(x, 2).log_likelihood(x)
    assert float(bounds.mean()) == pytest.approx(float((exact - gap).mean()), abs=0.05)


def vae_posterior(vae, x):
    fitted = linear_vae(6, 2)
    set_to(fitted, PPCA.fit(x, 2))
    fitted.requires_grad_(False)
    return fitted.encode(x)


def test_the_ambient_stream_is_left_alone(small):
    model, x = small
    before = torch.random.get_rng_state()
    importance_bound(model.joint(x), widened(model, x, 2.0), k=4, generator=seeded())
    assert torch.equal(before, torch.random.get_rng_state())


def test_no_samples_are_refused(small):
    model, x = small
    with pytest.raises(DataError, match="at least one sample, not 0"):
        importance_bound(model.joint(x), widened(model, x, 1.0), k=0, generator=seeded())
