"""The linear-Gaussian VAE against the exact likelihood of probabilistic PCA."""

import math

import pytest
import torch
from ppca import PPCA, linear_vae, set_to
from torch import Tensor

from diptych.models import VAE, Moment
from diptych.objectives import kl_to_prior

D, L, N = 6, 2, 300
END = Moment(progress=1.0, step=0)


@pytest.fixture(scope="module")
def points() -> Tensor:
    torch.manual_seed(0)
    truth = torch.randn(L, D, dtype=torch.float64) * 1.5
    noise = 0.4 * torch.randn(N, D, dtype=torch.float64)
    return torch.randn(N, L, dtype=torch.float64) @ truth + noise + 3.0


@pytest.fixture(scope="module")
def solution(points) -> PPCA:
    return PPCA.fit(points, L)


@pytest.fixture
def vae(solution) -> VAE:
    model = linear_vae(D, L)
    set_to(model, solution)
    return model


def exact_elbo(vae: VAE, x: Tensor) -> Tensor:
    """The ELBO of each point, without noise, (N,).

    log p(x|z) is quadratic in z, so the 2L points mean +- sqrt(L) std_j e_j give its mean under
    the posterior exactly.
    """
    posterior = vae.encode(x)
    mean, std = posterior.mean, posterior.variance.sqrt()
    steps = math.sqrt(vae.latent_dim) * torch.diag_embed(std).movedim(1, 0)
    codes = torch.cat([mean + steps, mean - steps])
    log_likelihood = torch.stack([vae.decode(z).log_prob(x) for z in codes]).mean(0)
    return log_likelihood - kl_to_prior(posterior, vae.prior(), mean)


def test_at_its_optimum_the_elbo_is_the_exact_log_likelihood(vae, solution, points):
    expected = solution.log_likelihood(points)
    torch.testing.assert_close(exact_elbo(vae, points), expected, atol=1e-6, rtol=0)


def test_the_closed_form_maximum_is_that_of_tipping_and_bishop(solution, points):
    """-N/2 (D log 2 pi + sum of log retained eigenvalues + (D - L) log sigma^2 + D)."""
    centred = points - points.mean(0)
    values = torch.linalg.eigvalsh(centred.T @ centred / N)
    expected = -0.5 * (
        D * math.log(2 * math.pi)
        + values[-L:].log().sum().item()
        + (D - L) * math.log(solution.variance)
        + D
    )
    assert solution.log_likelihood(points).mean().item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("mode", ["fixed", "learned"])
def test_the_loss_itself_is_minus_the_log_likelihood(solution, points, mode):
    """The loss as training sees it, with its noise, to 1e-3 nats."""
    model = linear_vae(D, L, mode)
    set_to(model, solution)
    torch.manual_seed(1)
    batch = points.repeat(100, 1)
    with torch.no_grad():
        losses = torch.stack([model.loss(batch, END).loss for _ in range(60)])
    error = losses.std().item() / math.sqrt(len(losses))
    assert error < 1e-3
    expected = -solution.log_likelihood(points).mean().item()
    assert losses.mean().item() == pytest.approx(expected, abs=4.5 * error)


def test_every_single_sample_gives_the_same_sum_at_the_optimum(vae, solution, points):
    """With the exact posterior log p(x|z) + log p(z) - log q(z|x) is log p(x) for every z."""
    torch.manual_seed(2)
    with torch.no_grad():
        posterior = vae.encode(points)
        z = posterior.sample()
        total = vae.decode(z).log_prob(points) + vae.prior().log_prob(z) - posterior.log_prob(z)
    torch.testing.assert_close(total, solution.log_likelihood(points), atol=1e-6, rtol=0)


def test_the_optimum_is_stationary_and_nothing_near_it_is_better(vae, solution, points):
    best = exact_elbo(vae, points).mean()
    best.backward()
    for name, parameter in vae.named_parameters():
        assert float(parameter.grad.abs().max()) < 1e-6, name
    torch.manual_seed(3)
    at_optimum = [p.detach().clone() for p in vae.parameters()]
    for _ in range(10):
        with torch.no_grad():
            for parameter, value in zip(vae.parameters(), at_optimum, strict=True):
                parameter.copy_(value + 0.03 * torch.randn_like(value))
        assert exact_elbo(vae, points).mean() < best


def test_it_is_a_lower_bound_for_any_weights(points):
    for seed in range(5):
        torch.manual_seed(seed)
        vae = linear_vae(D, L)
        (up,) = vae.decoder.layers
        model = PPCA(up.weight.detach(), up.bias.detach(), 1.0)
        assert bool((exact_elbo(vae, points) < model.log_likelihood(points)).all())


def test_the_sampled_bound_of_the_model_has_the_exact_mean(vae, solution, points):
    n = 4000
    repeated = points[:1].expand(n, D)
    bounds = vae.log_evidence_bound(repeated, seed=4)
    error = bounds.std().item() / math.sqrt(n)
    expected = solution.log_likelihood(points[:1]).item()
    assert bounds.mean().item() == pytest.approx(expected, abs=4.5 * error)
    assert torch.equal(bounds, vae.log_evidence_bound(repeated, seed=4))


@pytest.mark.parametrize("mode", ["learned", "optimal"])
def test_training_finds_the_maximum_from_random_weights(solution, points, mode):
    torch.manual_seed(5)
    vae = linear_vae(D, L, mode)
    optimizer = torch.optim.Adam(vae.parameters(), lr=0.06)
    steps = 900
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.06 * (1 - step / steps)
        optimizer.zero_grad()
        vae.loss(points, Moment(step / steps, step)).loss.backward()
        optimizer.step()
    reached = exact_elbo(vae, points).mean().item()
    best = solution.log_likelihood(points).mean().item()
    assert best - 0.05 < reached < best
    sigma = vae.likelihood.log_sigma.exp().item()
    assert sigma == pytest.approx(math.sqrt(solution.variance), rel=0.05)
