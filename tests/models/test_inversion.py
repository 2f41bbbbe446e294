"""The search for codes where the best answer is known."""

import pytest
import torch

from diptych.models.inversion import search_codes

L, D, N = 3, 10, 5


@pytest.fixture
def linear():
    torch.manual_seed(0)
    matrix = torch.randn(L, D, dtype=torch.float64)
    shift = torch.randn(D, dtype=torch.float64)
    return matrix, shift


def test_for_a_linear_decoder_it_reaches_the_least_squares_residual(linear):
    matrix, shift = linear
    images = torch.randn(N, D, dtype=torch.float64)
    best = torch.linalg.lstsq(matrix.T, (images - shift).T).solution.T
    residual = (best @ matrix + shift - images).square().mean(1)
    found = search_codes(lambda z: z @ matrix + shift, images, L)
    torch.testing.assert_close(found.errors, residual, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(found.codes, best, rtol=0, atol=1e-2)
    assert bool((found.errors >= residual - 1e-12).all()), "nothing is below the minimum"


def test_what_the_decoder_made_is_found_again(linear):
    matrix, shift = linear
    truth = torch.randn(N, L, dtype=torch.float64)
    images = truth @ matrix + shift
    found = search_codes(lambda z: z @ matrix + shift, images, L)
    assert float(found.errors.max()) < 1e-4
    torch.testing.assert_close(found.codes, truth, atol=0.02, rtol=0)


def test_the_best_restart_is_kept_and_its_error_is_its_own(linear):
    """A decoder of two valleys: restarts end in either, and the deeper one must win."""

    def decode(z):
        return torch.stack([z[:, 0] ** 2, 0.05 * z[:, 0]], dim=1)

    torch.manual_seed(1)
    images = torch.tensor([[1.0, 1.0], [1.0, -1.0], [2.0, 1.0]], dtype=torch.float64)
    found = search_codes(decode, images, 1, restarts=8)
    error = (decode(found.codes) - images).square().mean(1)
    torch.testing.assert_close(found.errors, error)
    torch.testing.assert_close(found.errors, found.all_errors.min(0).values)
    assert found.all_errors.shape == (8, 3)
    assert torch.equal(found.codes[:, 0] > 0, torch.tensor([True, False, True]))


def test_each_image_is_searched_as_if_it_were_alone(linear):
    matrix, shift = linear
    images = torch.randn(N, D, dtype=torch.float64)
    images[0] *= 100  # a hopeless neighbour

    def decode(z):
        return z @ matrix + shift

    together = search_codes(decode, images, L).errors[1:]
    alone = search_codes(decode, images[1:], L).errors
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


def test_the_decoder_keeps_no_gradient(linear):
    layer = torch.nn.Linear(L, D).double()
    found = search_codes(layer, torch.randn(N, D, dtype=torch.float64), L, steps=3)
    assert layer.weight.grad is None
    assert not found.codes.requires_grad


def test_it_works_while_gradients_are_off(linear):
    matrix, _ = linear
    with torch.no_grad():
        found = search_codes(lambda z: z @ matrix, torch.zeros(2, D, dtype=torch.float64), L)
    assert float(found.errors.max()) < 1e-4


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_search_works_inside_modes_that_record_no_gradient(linear, mode):
    matrix, shift = linear
    truth = torch.randn(N, L, dtype=torch.float64)
    with mode():
        images = truth @ matrix + shift
        found = search_codes(lambda z: z @ matrix + shift, images, L)
    assert float(found.errors.max()) < 1e-4


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_the_size_of_a_batch_changes_only_the_memory(linear, batch):
    matrix, shift = linear
    images = torch.randn(N, D, dtype=torch.float64)
    most = 0

    def decode(z):
        nonlocal most
        most = max(most, len(z))
        return torch.tanh(z @ matrix) + shift

    torch.manual_seed(3)
    whole = search_codes(decode, images, L, restarts=4, steps=20)
    most = 0
    torch.manual_seed(3)
    parts = search_codes(decode, images, L, restarts=4, steps=20, batch=batch)
    assert most == min(batch, 4 * N)
    for ours, theirs in zip(parts, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
