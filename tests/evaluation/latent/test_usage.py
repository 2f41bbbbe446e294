"""The usage of latents: closed forms for linear decoders, and what turning the code changes."""

import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.latent.usage import jacobian_products, latent_usage, participation


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def test_a_linear_decoder_has_a_closed_form():
    matrix = normal(20, 6, seed=1)
    usage = latent_usage(lambda z: z @ matrix.T, normal(12, 6))
    assert torch.allclose(usage.movement, matrix.norm(dim=0))
    energy = matrix.square().sum(0)
    assert usage.latents.value == pytest.approx(float(energy.sum() ** 2 / energy.square().sum()))
    singular = torch.linalg.svdvals(matrix).square()
    truth = float(singular.sum() ** 2 / singular.square().sum())
    assert usage.directions.value == pytest.approx(truth)
    assert usage.directions.low == pytest.approx(truth, abs=1e-6)
    assert usage.dead.value == 0


def test_the_jacobian_is_that_of_autograd():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(5, 16), torch.nn.Tanh(), torch.nn.Linear(16, 12)
    ).double()
    codes = normal(4, 5)
    products = jacobian_products(lambda z: network(z).detach().view(-1, 3, 2, 2), codes, step=1e-4)
    for code, product in zip(codes, products, strict=True):
        exact = torch.autograd.functional.jacobian(network, code)
        assert torch.allclose(product, exact.T @ exact, rtol=1e-6)


def test_dead_latents_are_counted():
    matrix = torch.eye(8, dtype=torch.float64)
    matrix[5:] *= 1e-3
    usage = latent_usage(lambda z: z @ matrix, normal(10, 8))
    assert usage.dead.value == 3 / 8
    assert usage.latents.value == pytest.approx(5, rel=1e-4)


def test_turning_the_code_moves_latents_and_not_directions():
    scales = torch.tensor([3.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    turn = torch.linalg.qr(normal(4, 4, seed=3)).Q
    straight = latent_usage(lambda z: z * scales, normal(10, 4))
    turned = latent_usage(lambda z: (z @ turn) * scales, normal(10, 4))
    assert straight.directions.value == pytest.approx(100 / 82)
    assert turned.directions.value == pytest.approx(100 / 82)
    assert straight.latents.value == pytest.approx(100 / 82)
    assert turned.latents.value > 1.1 * straight.latents.value
    assert (straight.dead.value, turned.dead.value) == (0.5, 0)


@pytest.mark.parametrize("seed", range(4))
def test_directions_are_never_more_than_latents(seed):
    matrix = normal(7, 5, seed=seed)
    usage = latent_usage(lambda z: torch.tanh(z @ matrix.T), normal(10, 5, seed=seed))
    assert 1 <= usage.directions.value <= usage.latents.value <= 5


def test_a_rank_one_decoder_uses_one_direction():
    usage = latent_usage(lambda z: z.sum(1, keepdim=True) * torch.ones(1, 9), normal(10, 6))
    assert usage.latents.value == pytest.approx(6)
    assert usage.directions.value == pytest.approx(1)


def test_batches_and_units_change_nothing():
    matrix = normal(20, 6, seed=1)
    codes = normal(10, 6)

    def decode(z):
        return torch.tanh(z @ matrix.T)

    one = latent_usage(decode, codes)
    two = latent_usage(lambda z: 255 * decode(z), codes, batch_size=4)
    assert torch.allclose(255 * one.movement, two.movement)
    assert one.latents.value == pytest.approx(two.latents.value)
    assert one.directions.value == pytest.approx(two.directions.value)


def test_the_jackknife_covers_the_truth_of_many_codes():
    matrix = normal(20, 6, seed=1)

    def decode(z):
        return torch.tanh(z @ matrix.T)

    truth = latent_usage(decode, normal(2000, 6, seed=50)).directions.value
    inside = 0
    for seed in range(30):
        estimate = latent_usage(decode, normal(30, 6, seed=seed)).directions
        inside += estimate.low <= truth <= estimate.high
    assert inside >= 24


def test_degenerate_decoders_and_codes():
    assert latent_usage(lambda z: torch.ones(len(z), 3), normal(10, 4)) is None
    single = latent_usage(lambda z: z, normal(1, 4))
    assert (single.latents.value, single.latents.low, single.latents.trusted) == (
        pytest.approx(4),
        None,
        False,
    )
    one_latent = latent_usage(lambda z: z, normal(10, 1))
    assert one_latent.latents.value == one_latent.directions.value == pytest.approx(1)
    with pytest.raises(DataError, match="non-empty"):
        latent_usage(lambda z: z, normal(0, 4))
    with pytest.raises(DataError, match="must be above 0"):
        latent_usage(lambda z: z, normal(3, 4), step=0)


def test_participation_counts():
    assert participation(torch.tensor([2.0, 2.0, 0.0])) == 2
    assert participation(torch.tensor([[1.0, 0.0], [1.0, 1.0]])).tolist() == [1, 2]
