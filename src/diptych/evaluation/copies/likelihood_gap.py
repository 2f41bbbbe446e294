"""An FLD-like gap: how much better the generated set explains training items than unseen ones.

q(x) = 1/M Σ_j N(x; g_j, σ²I) puts a Gaussian on every generated item. The gap is the mean
log q over training items minus that over held-out items.

What it takes from the feature likelihood divergence (FLD) of Jiralerspong et al. 2023,
arXiv:2302.04440, is the mixture and the gap between training and held-out likelihood. It differs:
there is one bandwidth, not one for every generated item, so that a search over one number
replaces gradient descent; the bandwidth maximises the likelihood of training and held-out items
*together*, so that without memory the two are exchangeable and the gap is 0 on average, and so
that exact copies give a finite gap (about D nats) in place of an unbounded one; features are not
standardised; and the unit is nats per item.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.copies.intervals import Z95
from diptych.evaluation.copies.nearest import checked
from diptych.evaluation.figure import Estimate

__all__ = ["LikelihoodGap", "likelihood_gap"]

BLOCK = 512  # rows of a distance matrix held at once
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class LikelihoodGap:
    """The gap and its bandwidth.

    Attributes:
        estimate: mean log q(train) − mean log q(held-out), in nats per item; ≈ 0 without memory,
            positive with. Negative if the model knows the held-out items better.
        bandwidth: σ, in feature units.
    """

    estimate: Estimate
    bandwidth: float


def likelihood_gap(
    fake: Tensor,
    held_out: Tensor,
    train: Tensor,
    *,
    generator: torch.Generator,
    fit_on: int = 500,
) -> LikelihoodGap:
    """Fit the bandwidth and return the gap.

    Args:
        fake: (M, D), generated.
        held_out: (N, D), real and not trained on.
        train: (L, D); give as many as are held out, or all.
        generator: of the choice of items that fit the bandwidth; on the CPU.
        fit_on: at most so many training and as many held-out items fit it.

    Returns:
        The gap with a normal interval over items, the generated set and the bandwidth fixed.

    Raises:
        DataError: fewer than two training or held-out items, shapes that do not fit, values that
            are not finite, or all items identical to generated ones, so that no bandwidth fits.
    """
    fake, held_out, train = checked(fake, held_out, train)
    if min(len(held_out), len(train)) < 2:
        raise DataError("The likelihood gap needs two training and two held-out items at least.")
    centre = fake.mean(0, dtype=torch.float64)
    centres = fake.double() - centre
    count = min(fit_on, len(held_out), len(train))
    chosen = [
        items[torch.randperm(len(items), generator=generator)[:count].to(items.device)]
        for items in (train, held_out)
    ]
    squared = _squared(torch.cat(chosen).double() - centre, centres)
    sigma = _bandwidth(squared, fake.shape[1])
    del squared
    of_train, of_held_out = (
        torch.cat(
            [
                _log_density(_squared(part.double() - centre, centres), sigma, fake.shape[1])
                for part in torch.split(items, BLOCK)
            ]
        )
        for items in (train, held_out)
    )
    gap = float(of_train.mean() - of_held_out.mean())
    error = float((of_train.var() / len(train) + of_held_out.var() / len(held_out)).sqrt())
    few = min(len(held_out), len(train)) < 30
    estimate = Estimate(
        gap,
        gap - Z95 * error,
        gap + Z95 * error,
        "normal, over items",
        "Fewer than 30 items: the interval is too narrow." if few else "",
        trusted=not few,
    )
    return LikelihoodGap(estimate, sigma)


def _squared(a: Tensor, b: Tensor) -> Tensor:
    squared = torch.addmm(a.square().sum(1, keepdim=True) + b.square().sum(1), a, b.T, alpha=-2)
    return squared.clamp(min=0)


def _log_density(squared: Tensor, sigma: float, dimensions: int) -> Tensor:
    """Return log q for rows of squared distances to the centres, in nats."""
    constant = math.log(squared.shape[1]) + dimensions * math.log(sigma * math.sqrt(2 * math.pi))
    return torch.logsumexp(squared * (-0.5 / sigma**2), 1) - constant


def _bandwidth(squared: Tensor, dimensions: int) -> float:
    """Maximise the mean log-likelihood over σ by golden-section search on log σ.

    At a maximum σ² = mean of Σ_j r_ij d_ij² / D for responsibilities r, which lies between the
    mean of the least d² and the mean of all, each over D: that is the bracket.
    """
    lowest, highest = float(squared.amin(1).mean()), float(squared.mean())
    if lowest <= 1e-12 * highest or highest == 0:
        raise DataError(
            "Every training and held-out item is identical to a generated one, so no likelihood "
            "can be fitted; look at the data for duplicates."
        )
    low, high = (math.log(edge / dimensions) / 2 for edge in (lowest, highest))

    def score(log_sigma: float) -> float:
        return float(_log_density(squared, math.exp(log_sigma), dimensions).mean())

    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_a, at_b = score(a), score(b)
    while high - low > 1e-3:  # the likelihood is flat at its maximum
        if at_a > at_b:
            high, b, at_b = b, a, at_a
            a = high - GOLDEN * (high - low)
            at_a = score(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + GOLDEN * (high - low)
            at_b = score(b)
    return math.exp((low + high) / 2)
