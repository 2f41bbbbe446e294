import pytest
import torch
from known_densities import LinearModel, bent, quadrature

from diptych.distributions import standard_normal
from diptych.errors import DataError
from diptych.evaluation.density import annealed
from diptych.evaluation.density.annealed import (
    anneal,
    anneal_back,
    linear_schedule,
    settle,
    sigmoid_schedule,
    tune,
)
from diptych.evaluation.density.bidirectional import bidirectional, simulate
from diptych.evaluation.density.fitting import fit_gaussians
from diptych.evaluation.density.gaussians import Gaussians
from diptych.evaluation.density.importance import importance_bound
from diptych.evaluation.density.joint import Joint, gaussian_observation


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def encoder_like(model, x):
    """What an encoder gives: independent latents, means that are off, 1.5 times too wide."""
    mean, precision = model.posterior(x)
    std = torch.linalg.inv(precision).diagonal().sqrt()
    off = 0.5 * std * torch.randn(mean.shape, generator=seeded(9)).double()
    return Gaussians.diagonal(mean + off, 1.5 * std.expand_as(mean))


@pytest.fixture(scope="module")
def pca():
    """The case of the field's notes: 784 dimensions, 10 latents, sigma 0.1."""
    model = LinearModel()
    z, x = model.simulate(16)
    return model, z, x, model.log_evidence(x)


def test_schedules_run_from_0_to_1_and_the_sigmoid_is_slow_at_both_ends():
    for schedule in (linear_schedule(50), sigmoid_schedule(50)):
        assert (float(schedule[0]), float(schedule[-1]), len(schedule)) == (0, 1, 51)
        assert bool((schedule.diff() > 0).all())
    gaps = sigmoid_schedule(50).diff()
    torch.testing.assert_close(gaps, gaps.flip(0))
    assert gaps[25] > 10 * gaps[0]
    with pytest.raises(DataError, match="at least one temperature"):
        linear_schedule(0)


def test_784_dimensions_within_half_a_nat_and_between_both_bounds(pca):
    model, z, x, exact = pca
    assert float(exact.mean()) == pytest.approx(648.9, abs=8)  # the notes' draw of W
    start = encoder_like(model, x)
    path = tune(model.joint(x), start, linear_schedule(15), generator=seeded())
    lower = anneal(path, chains=16, generator=seeded(1))
    upper = anneal_back(path, z, chains=16, generator=seeded(2))
    assert float((lower.bounds - exact).abs().mean()) < 0.5
    assert float((upper.bounds - exact).abs().mean()) < 0.5
    assert 0.6 < lower.acceptance < 0.95
    # The mean logarithm of single chains is the bound without its averaging: strictly apart.
    assert float(lower.log_weights.mean()) < float(exact.mean()) < float(upper.log_weights.mean())


def test_a_twentieth_of_the_work_of_the_sigmoid_schedule_from_the_prior(pca):
    model, x, exact = pca[0], pca[2][:8], pca[3][:8]

    def error_and_work(start_of, betas):
        model.decoded = 0
        start = start_of()
        path = tune(model.joint(x), start, betas, generator=seeded())
        bounds = anneal(path, chains=8, generator=seeded(1)).bounds
        return float((exact - bounds).mean()), model.decoded

    ours = error_and_work(
        lambda: fit_gaussians(model.joint(x), torch.zeros(8, 10), steps=2), linear_schedule(2)
    )
    encoder = error_and_work(lambda: encoder_like(model, x), linear_schedule(6))
    classic = error_and_work(lambda: Gaussians.standard(8, 10), sigmoid_schedule(130))
    assert abs(ours[0]) < 1e-4
    assert abs(encoder[0]) < 0.5
    assert classic[0] > 20  # at more than twenty times the work it is still far below
    assert 20 * max(ours[1], encoder[1]) < classic[1]


def test_weights_average_to_the_evidence_whatever_the_path():
    # Unbiased in p(x) itself, from a start that is wrong and with few temperatures.
    model = LinearModel(3, 2, sigma=1.0)
    _, x = model.simulate(2)
    start = Gaussians.diagonal(torch.full((2, 2), 0.3), torch.full((2, 2), 1.2))
    path = tune(model.joint(x), start, linear_schedule(3), generator=seeded(), leapfrogs=2)
    exact = model.log_evidence(x)
    forward = anneal(path, chains=10_000, generator=seeded(1))
    torch.testing.assert_close(forward.bounds, exact, atol=0.02, rtol=0)
    # The single chain's logarithm is a lower bound in expectation, and a loose one.
    assert bool((forward.log_weights.mean(0) < exact - 0.02).all())
    # In reverse, over exact samples of p(z|x): the inverse weights average to 1 / p(x).
    mean, precision = model.posterior(x)
    noise = torch.randn(200, 2, 2, generator=seeded(2)).double()
    exact_codes = Gaussians.of_precision(mean, precision.expand(2, -1, -1)).codes(noise)
    inverse = torch.stack(
        [
            anneal_back(path, c, chains=1, generator=seeded(i)).bounds
            for i, c in enumerate(exact_codes)
        ]
    )
    estimate = -((-inverse).logsumexp(0) - torch.tensor(200.0).log())
    torch.testing.assert_close(estimate, exact, atol=0.15, rtol=0)
    assert bool((inverse.mean(0) > exact).all())


@pytest.mark.parametrize("latents", [1, 2])
def test_a_bent_decoder_against_quadrature(latents):
    prior = standard_normal(latents, torch.zeros(1).double())
    decode = gaussian_observation(bent, 0.25)
    z = torch.randn(4, latents, generator=seeded(3)).double()
    joint = Joint(simulate(decode, z, seed=0), decode, prior)
    exact = quadrature(joint, points=2001 if latents == 1 else 401)
    start = Gaussians.diagonal(0.5 * z, torch.full_like(z, 1.0))
    path = tune(joint, start, linear_schedule(60), generator=seeded(), chains=8)
    bounds = anneal(path, chains=200, generator=seeded(1)).bounds
    torch.testing.assert_close(bounds, exact, atol=0.2, rtol=0)
    importance = importance_bound(joint, start, k=5000, generator=seeded(2))
    torch.testing.assert_close(importance.bounds, exact, atol=0.2, rtol=0)


def test_the_gap_closes_on_images_the_model_made():
    model = LinearModel(100, 4, sigma=0.2)
    decode = gaussian_observation(model.decode_mean, 0.2)
    z = torch.randn(10, 4, generator=seeded()).double()
    x = simulate(decode, z, seed=1)

    def gap(temperatures):
        def path_of(images):
            start = encoder_like(model, images)
            betas = linear_schedule(temperatures)
            return tune(model.joint(images), start, betas, generator=seeded())

        both = bidirectional(z, x, path_of, chains=8, generator=seeded(1))
        exact = float(model.log_evidence(x).mean())
        assert float(both.lower.bounds.mean()) < exact + 0.05
        assert float(both.upper.bounds.mean()) > exact - 0.05
        return float(both.gaps.mean())

    rough, fine = gap(1), gap(30)
    assert rough > 0.2
    assert -0.05 < fine < 0.1


def test_simulated_images_carry_the_noise_of_the_likelihood():
    model = LinearModel(500, 2, sigma=0.3)
    z = torch.zeros(40, 2).double()
    before = torch.random.get_rng_state()
    x = simulate(gaussian_observation(model.decode_mean, 0.3), z, seed=0)
    assert torch.equal(before, torch.random.get_rng_state())
    assert float((x - model.mean).std()) == pytest.approx(0.3, rel=0.02)


def test_step_sizes_are_frozen_while_weights_are_taken(pca):
    model, z, x, _ = pca
    path = tune(model.joint(x), encoder_like(model, x), linear_schedule(5), generator=seeded())
    before = path.step_sizes.clone()
    anneal(path, chains=2, generator=seeded(1))
    anneal_back(path, z, chains=2, generator=seeded(1))
    assert torch.equal(before, path.step_sizes)
    assert len(path.step_sizes[4].unique()) > 1  # each image has its own


def test_transitions_leave_the_posterior_as_it_is():
    model = LinearModel(5, 2, sigma=0.5)
    _, x = model.simulate(1)
    mean, precision = model.posterior(x)
    posterior = Gaussians.of_precision(mean, precision.expand(1, -1, -1))
    start = Gaussians.standard(1, 2)
    betas = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    # Steps so long that many are refused: without the refusals the spread would be wrong.
    path = annealed.Path(model.joint(x), start, betas, torch.full((3, 1), 0.75).double(), 3)
    generator = seeded()
    noise = torch.randn(20_000, 1, 2, generator=generator).double()
    state = annealed._state(path, posterior.codes(noise))
    for _ in range(3):
        state, probability = annealed._transition(path, 1, state, generator)
    assert float(probability.mean()) < 0.9
    after = posterior.noise(state.noise).squeeze(1)
    torch.testing.assert_close(after.mean(0), torch.zeros(2).double(), atol=0.04, rtol=0)
    torch.testing.assert_close(after.T.cov(), torch.eye(2).double(), atol=0.04, rtol=0)


def test_the_same_generator_gives_the_same_bounds_and_the_ambient_stream_rests(pca):
    model, _, x, _ = pca
    before = torch.random.get_rng_state()

    def once():
        generator = seeded(5)
        path = tune(
            model.joint(x), encoder_like(model, x), linear_schedule(4), generator=generator
        )
        return anneal(path, chains=2, generator=generator).bounds

    assert torch.equal(once(), once())
    assert torch.equal(before, torch.random.get_rng_state())


def test_settling_finds_the_middle_of_a_crooked_posterior():
    def ridge(z):
        a, b = z.unbind(1)
        return torch.stack([a, b - 2 * a.square()], 1)

    def decode(z):
        scale = torch.tensor([0.8, 0.2]).double()
        return torch.distributions.Independent(torch.distributions.Normal(ridge(z), scale), 1)

    x = torch.zeros(1, 2).double()
    joint = Joint(x, decode, standard_normal(2, x))
    exact = float(quadrature(joint, points=401))
    start = fit_gaussians(joint, torch.full((1, 2), 0.3))
    settled = settle(joint, start, linear_schedule(30), generator=seeded(), chains=16)
    # At the tip the ridge is flat in a; where its mass is, it leans, and b is above 0.
    assert abs(float(start.mean[0, 1])) < 1e-3
    assert float(settled.mean[0, 1]) > 0.05

    def single_chains(start):
        path = tune(joint, start, linear_schedule(10), generator=seeded(1), chains=8)
        return float(anneal(path, chains=200, generator=seeded(2)).log_weights.mean())

    assert single_chains(start) < exact - 5
    assert exact - 1 < single_chains(settled) < exact


def test_settling_keeps_what_is_already_exact(pca):
    model, _, x, _ = pca
    mean, precision = model.posterior(x)
    start = Gaussians.of_precision(mean, precision.expand(16, -1, -1))
    settled = settle(model.joint(x), start, linear_schedule(4), generator=seeded(), chains=8)
    covariance = settled.scale @ settled.scale.mT
    torch.testing.assert_close(covariance, torch.linalg.inv(precision).expand(16, -1, -1))
    assert float(start.noise(settled.mean[None]).square().mean()) == pytest.approx(1 / 8, rel=0.4)
