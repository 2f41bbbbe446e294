"""Classifier two-sample test: can a small network tell generated items from real ones?

Half of both sets trains it, the other half tests it. Equal distributions leave it at 50 %; an
accuracy above that is evidence of a difference, whatever the difference is. Copies of real items
push it below 50 %: the network has learnt the original as real and meets the copy.

Source: Lopez-Paz and Oquab 2017, arXiv:1610.06545.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from diptych.errors import DataError
from diptych.evaluation.fidelity.intervals import share_estimate
from diptych.evaluation.figure import Estimate

__all__ = ["BATCH", "HIDDEN", "STEPS", "binomial_p_value", "two_sample_accuracy"]

HIDDEN = 64
STEPS = 200
BATCH = 256
RATE = 2e-3
WEIGHT_DECAY = 1e-2


def two_sample_accuracy(
    real: Tensor, fake: Tensor, *, generator: torch.Generator, steps: int = STEPS
) -> Estimate:
    """Return the accuracy on unseen items of a network trained to tell the sets apart.

    One hidden layer of 64, AdamW, on features standardised by the training half. Both sets are
    cut to the smaller size, at random, so that guessing scores 0.5.

    Args:
        real: (N, D), N ≥ 4, any floating dtype.
        fake: (M, D), M ≥ 4.
        generator: splits, initialises and draws batches.
        steps: of 256 items each.

    Returns:
        A share, about 0.5 for equal distributions, with Wilson's interval given the network; the
        note has the p-value of its being no more than 0.5.

    Raises:
        DataError: too few items, different D, or values that are not finite.

    Source: Lopez-Paz and Oquab 2017, arXiv:1610.06545.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise DataError(
            "The two-sample test needs two matrices of features of one width, not "
            f"{tuple(real.shape)} and {tuple(fake.shape)}."
        )
    size = min(len(real), len(fake))
    if size < 4:
        raise DataError(f"The two-sample test needs at least 4 items of each set, not {size}.")
    if not bool(real.isfinite().all()) or not bool(fake.isfinite().all()):
        raise DataError("The features hold NaN or infinite values; look at the samples first.")

    def shuffled(count: int) -> Tensor:
        return torch.randperm(count, generator=generator, device=generator.device).to(real.device)

    a, b = real[shuffled(len(real))[:size]], fake[shuffled(len(fake))[:size]]
    half = size // 2
    train, test = torch.cat([a[:half], b[:half]]).float(), torch.cat([a[half:], b[half:]]).float()
    mean, spread = train.mean(0), train.std(0)
    scale = torch.where(spread > 1e-6 * spread.max(), 1 / spread, 0.0)
    train, test = ((items - mean) * scale for items in (train, test))
    says_fake = _trained(train, half, generator=generator, steps=steps)
    is_fake = torch.arange(len(test), device=test.device) >= size - half
    with torch.no_grad():
        correct = (says_fake(test) > 0) == is_fake
    estimate = share_estimate(correct, "given the classifier")
    p = binomial_p_value(int(correct.sum()), len(correct))
    return replace(estimate, note=f"p = {p:.2g} if both sets were alike.")


def _trained(
    train: Tensor, half: int, *, generator: torch.Generator, steps: int
) -> Callable[[Tensor], Tensor]:
    """A function (N, D) → (N,) that is above 0 for items it takes for generated."""
    width, device = train.shape[1], train.device

    def drawn(*shape: int, inputs: int) -> Tensor:
        # Layers of torch.nn would draw from the global stream.
        values = 2 * torch.rand(shape, generator=generator, device=generator.device) - 1
        return (values / math.sqrt(inputs)).to(device).requires_grad_()

    first, first_bias = drawn(width, HIDDEN, inputs=width), drawn(HIDDEN, inputs=width)
    last, last_bias = drawn(HIDDEN, inputs=HIDDEN), drawn(1, inputs=HIDDEN)

    def network(items: Tensor) -> Tensor:
        return torch.relu(items @ first + first_bias) @ last + last_bias

    parameters = [first, first_bias, last, last_bias]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=WEIGHT_DECAY)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        chosen = torch.randint(
            len(train), (min(BATCH, len(train)),), generator=generator, device=generator.device
        ).to(device)
        target = (chosen >= half).float()
        with torch.enable_grad():
            loss = binary_cross_entropy_with_logits(network(train[chosen]), target)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
        optimizer.step()
    return network


def binomial_p_value(successes: int, trials: int) -> float:
    """Return P(X ≥ successes) for X ~ Binomial(trials, ½).

    Args:
        successes: 0 … trials.
        trials: at least 1.
    """
    counts = torch.arange(successes, trials + 1, dtype=torch.float64)
    n = torch.tensor(float(trials), dtype=torch.float64)
    logs = torch.lgamma(n + 1) - torch.lgamma(counts + 1) - torch.lgamma(n - counts + 1)
    return min(1.0, float((logs - n * math.log(2)).exp().sum()))
