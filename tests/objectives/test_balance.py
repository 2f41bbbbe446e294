"""The weight of one loss beside another: ratios known in closed form, and what it must not do."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from diptych.objectives import balanced_weight
from diptych.objectives.balance import gradient_norm

Z = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
A = torch.tensor([3.0, -4.0], dtype=torch.float64)
B = torch.tensor([0.0, 0.25], dtype=torch.float64)
"""|A| = 5, |B| = 1/4."""
OPEN = math.inf


@pytest.fixture
def decoder() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2).double()


def last(decoder: nn.Module) -> list[Tensor]:
    return list(decoder.parameters())


def test_the_norm_of_a_linear_decoder_is_known(decoder):
    """d a.(W z + b) is a z^T for W and a for b: together |a| sqrt(|z|^2 + 1)."""
    norm = gradient_norm(A @ decoder(Z), last(decoder))
    torch.testing.assert_close(norm, 5.0 * (Z.square().sum() + 1).sqrt())
    torch.testing.assert_close(gradient_norm(A @ decoder(Z), [decoder.bias]), A.norm())


def test_the_weight_is_the_ratio_of_the_norms_times_the_share(decoder):
    weight = balanced_weight(A @ decoder(Z), B @ decoder(Z), last(decoder), share=0.3, cap=OPEN)
    torch.testing.assert_close(weight, torch.tensor(0.3 * 5.0 / 0.25, dtype=torch.float64))


@pytest.mark.parametrize("units", [1e-9, 1e-3, 1.0, 1e6])
def test_the_units_of_the_term_do_not_matter(decoder, units):
    term = torch.sigmoid(decoder(Z)).sum()

    def push(term: Tensor) -> Tensor:
        weight = balanced_weight(A @ decoder(Z), term, last(decoder), share=1.0, cap=OPEN)
        return torch.autograd.grad(weight * term, decoder.weight, retain_graph=True)[0]

    torch.testing.assert_close(push(units * term), push(term))
    both = [gradient_norm(loss, [decoder.weight]) for loss in (A @ decoder(Z), term)]
    assert not math.isclose(both[0], both[1], rel_tol=0.1)


def test_the_units_of_the_loss_carry_over(decoder):
    """A reconstruction summed over pixels weighs the term as many times more."""
    loss, term = A @ decoder(Z), B @ decoder(Z)
    weights = [balanced_weight(c * loss, term, last(decoder), share=1, cap=OPEN) for c in (1, 784)]
    torch.testing.assert_close(weights[1], 784 * weights[0])


def test_the_cap_holds(decoder):
    loss, term = A @ decoder(Z), B @ decoder(Z)
    assert balanced_weight(loss, term, last(decoder), share=1.0, cap=7.0) == 7.0
    assert balanced_weight(loss, 1e-30 * term, last(decoder), share=1.0, cap=7.0) == 7.0
    torch.testing.assert_close(
        balanced_weight(loss, term, last(decoder), share=1.0, cap=21.0),
        torch.tensor(20.0, dtype=torch.float64),
    )


def test_a_term_that_pushes_nowhere(decoder):
    """Saturated, or not a function of the layer: capped, so the product stays 0, never NaN."""
    loss = A @ decoder(Z)
    elsewhere = torch.ones((), dtype=torch.float64, requires_grad=True)
    for term in (0.0 * (B @ decoder(Z)), elsewhere * 2.0):
        weight = balanced_weight(loss, term, last(decoder), share=1.0, cap=7.0)
        assert weight == 7.0
        (gradient,) = torch.autograd.grad(
            weight * term, decoder.weight, allow_unused=True, materialize_grads=True
        )
        assert torch.equal(gradient, torch.zeros_like(gradient))
    nothing = balanced_weight(0.0 * loss, 0.0 * loss, last(decoder), share=1.0, cap=7.0)
    assert nothing == 0.0


@pytest.mark.parametrize("wrong", [math.inf, math.nan])
def test_gradients_that_are_not_finite_weigh_nothing(decoder, wrong):
    loss, term = A @ decoder(Z), B @ decoder(Z)
    assert balanced_weight(wrong * loss, term, last(decoder), share=1.0, cap=7.0) == 0.0
    assert balanced_weight(loss, wrong * term, last(decoder), share=1.0, cap=7.0) == 0.0


def test_it_is_a_number_and_leaves_everything_as_it_was(decoder):
    loss, term = (A @ decoder(Z)).square(), torch.sigmoid(decoder(Z)).sum()
    weight = balanced_weight(loss, term, last(decoder), share=1.0, cap=7.0)
    assert weight.grad_fn is None
    assert not weight.requires_grad
    assert all(parameter.grad is None for parameter in decoder.parameters())
    (loss + weight * term).backward()  # the graphs were kept for it, and it frees them
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_norms_are_taken_in_single_precision():
    """10,001 ones have the norm 100.005; bfloat16 knows 100 and 100.5."""
    parameter = torch.zeros(10_001, dtype=torch.bfloat16, requires_grad=True)
    norm = gradient_norm(parameter.sum(), [parameter])
    assert norm.dtype == torch.float32
    assert float(norm) == pytest.approx(math.sqrt(10_001), rel=1e-6)


def test_under_autocast_the_weight_is_single_and_nearly_the_same(decoder):
    single = decoder.float()
    z = Z.float().repeat(4, 1)

    def weight() -> Tensor:
        output = linear(z, single.weight, single.bias)
        return balanced_weight(
            output.float().square().sum(), output.float().sum(), last(single), share=1, cap=OPEN
        )

    exact = weight()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = weight()
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0)
