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
    some = torch.cat(chosen).double() - centre
    # The search takes 20 passes, and exponentials cost a tenth in single precision.
    sigma = _bandwidth(_Distances.between(some, centres, torch.float32))
    of_train, of_held_out = (
        torch.cat(
            [
                _Distances.between(part.double() - centre, centres).log_density(sigma)
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


@dataclass(frozen=True, eq=False)
class _Distances:
    """Squared distances of some items to the centres of the mixture.

    Attributes:
        least: (N,), float64, to the nearest centre.
        excess: (N, M), beyond that, ≥ 0. In single precision its rounding is relative to the
            excess itself, not to the norms.
        mean: the mean of all of them.
        dimensions: D.
    """

    least: Tensor
    excess: Tensor
    mean: float
    dimensions: int

    @classmethod
    def between(
        cls, items: Tensor, centres: Tensor, dtype: torch.dtype = torch.float64
    ) -> "_Distances":
        """From items (N, D) to centres (M, D), both float64; `dtype` is that of the excess."""
        norms = items.square().sum(1, keepdim=True) + centres.square().sum(1)
        squared = torch.addmm(norms, items, centres.T, alpha=-2).clamp_(min=0)
        mean, least = float(squared.mean()), squared.amin(1)
        return cls(least, squared.sub_(least[:, None]).to(dtype), mean, items.shape[1])

    def log_density(self, sigma: float) -> Tensor:
        """log q of every item, (N,), float64, in nats."""
        count = math.log(self.excess.shape[1])
        constant = count + self.dimensions * math.log(sigma * math.sqrt(2 * math.pi))
        # The nearest centre alone makes the sum 1 or more: what lies below e^-80 is nothing, and
        # as a denormal number would cost ten times as much.
        powers = (self.excess * (-0.5 / sigma**2)).clamp_(min=-80.0).exp_()
        sums = powers.sum(1, dtype=torch.float64)
        return sums.log() - self.least * (0.5 / sigma**2) - constant


def _bandwidth(distances: _Distances) -> float:
    """Maximise the mean log-likelihood over σ by golden-section search on log σ.

    At a maximum σ² = mean of Σ_j r_ij d_ij² / D for responsibilities r, which lies between the
    mean of the least d² and the mean of all, each over D: that is the bracket.
    """
    lowest, highest = float(distances.least.mean()), distances.mean
    if lowest <= 1e-12 * highest or highest == 0:
        raise DataError(
            "Every training and held-out item is identical to a generated one, so no likelihood "
            "can be fitted; look at the data for duplicates."
        )
    low, high = (math.log(edge / distances.dimensions) / 2 for edge in (lowest, highest))

    def score(log_sigma: float) -> float:
        return float(distances.log_density(math.exp(log_sigma)).mean())

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
