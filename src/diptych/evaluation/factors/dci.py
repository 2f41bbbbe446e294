"""Disentanglement, completeness, informativeness: from the importance of latents for factors."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.factors.labelled import LabelledCodes, labelled_codes
from diptych.evaluation.factors.lasso import lasso

__all__ = ["DCI", "completeness", "dci_lasso", "disentanglement"]

DIVISIONS = 10
STRENGTHS = 16
WEAKEST = 1e-3  # of the strength at which no latent is used
FEWEST = 10
SURE = 3.0  # standard errors by which a factor must be predicted better than by its mean


@dataclass(frozen=True, eq=False)
class DCI:
    """The three numbers, and the importance they come from.

    Attributes:
        disentanglement: in 0..1: each latent matters for one factor only; None with one factor.
        completeness: in 0..1: each factor needs one latent only; None with one latent.
        informativeness: mean R² of factors on held-out codes, in 0..1.
        importance: float64 (L, F), ≥ 0; F counts the factors that vary.
    """

    disentanglement: float | None
    completeness: float | None
    informativeness: float
    importance: Tensor


def dci_lasso(codes: Tensor, factors: Tensor, *, generator: torch.Generator) -> DCI:
    """Return DCI with |weights| of a lasso as importance.

    Every factor, its values numbered in their order, is regressed on the standardised codes: 60 %
    of them for the weights, 20 % to choose the penalty, 20 % for R², all averaged over ten random
    divisions. The largest penalty within one standard error of the best is taken. A factor that
    in most divisions is not predicted better than by its mean, by three standard errors, has no
    importance: a few chance weights would look disentangled.

    Args:
        codes: (N, L), N ≥ 10.
        factors: whole numbers (N, F); constant ones are ignored.
        generator: draws the divisions; on the CPU.

    Raises:
        DataError: fewer than 10 codes, or unfit ones, see `labelled_codes`.

    Source: Eastwood & Williams, "A framework for the quantitative evaluation of disentangled
    representations", ICLR 2018, in its lasso variant. Locatello et al. 2019, arXiv:1811.12359,
    use boosted trees: numbers of the two do not compare.
    """
    data = labelled_codes(codes, factors)
    if len(data.codes) < FEWEST:
        raise DataError(
            f"DCI needs at least {FEWEST} codes to hold some out, not {len(data.codes)}."
        )
    parts = [_one_division(data, generator) for _ in range(DIVISIONS)]
    weights = torch.stack([importance for importance, _ in parts])
    predicted = (weights.amax(1) > 0).double().mean(0) >= 0.5
    importance = weights.mean(0) * predicted
    latents, varying = importance.shape
    return DCI(
        disentanglement=disentanglement(importance) if varying > 1 else None,
        completeness=completeness(importance) if latents > 1 else None,
        informativeness=float(torch.stack([explained for _, explained in parts]).mean()),
        importance=importance,
    )


def _one_division(data: LabelledCodes, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Importance (L, F) and held-out R² (F,) of one random division of the codes."""
    count = len(data.codes)
    order = torch.randperm(count, generator=generator)
    held = count // 5
    learn, choose, judge = torch.split(order, [count - 2 * held, held, held])
    x = _standardised(data.codes, learn)
    y = _standardised(data.factors.double(), learn)
    # A little above the strength that silences all, so that the first rung is 0 to the bit.
    none = (x[learn].T @ y[learn] / len(learn)).abs().amax(0) * (1 + 1e-9)
    ladder = torch.logspace(0, math.log10(WEAKEST), STRENGTHS, dtype=torch.float64)
    weights = lasso(x[learn], y[learn], ladder[:, None] * none)
    chosen = _choose(weights, x[choose], y[choose])
    left = (y[judge] - x[judge] @ chosen).square().sum(0)
    whole = (y[judge] - y[judge].mean(0)).square().sum(0)
    explained = torch.where(whole > 0, 1 - left / whole.clamp(min=1e-300), 0.0).clamp(min=0)
    return chosen.abs(), explained


def disentanglement(importance: Tensor) -> float:
    """Return Σ_i ρ_i (1 − H_F(P_i)): P_i the shares of latent i's importance, ρ_i its part of all.

    Args:
        importance: (L, F), ≥ 0, F ≥ 2; H_F is the entropy to the base F.

    Returns:
        In 0..1; 0 where nothing is important.
    """
    total = float(importance.sum())
    if total == 0:
        return 0.0
    shares = importance / importance.sum(1, keepdim=True).clamp(min=1e-300)
    entropy = -torch.xlogy(shares, shares).sum(1) / math.log(importance.shape[1])
    mean = float(((1 - entropy) * importance.sum(1) / total).sum())
    return min(1.0, max(0.0, mean))  # rounding may leave 0..1 by a little


def completeness(importance: Tensor) -> float:
    """Return the same for factors: Σ_j ρ_j (1 − H_L(P_j)), P_j the shares of the latents.

    Two latents that share every factor evenly give 1 − ln 2 / ln L.

    Args:
        importance: (L, F), ≥ 0, L ≥ 2.
    """
    return disentanglement(importance.T)


def _choose(weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Of weights (A, L, F), the strongest penalty first, those to use for each factor, (L, F)."""
    errors = (y - x @ weights).square()  # (A, n, F)
    factors = torch.arange(y.shape[1])
    best = errors.mean(1).argmin(0)
    worse = errors - errors[best, :, factors].T
    mean = worse.mean(1)
    # Paired: the same rows are hard for every penalty.
    error = worse.std(1) / len(x) ** 0.5
    first = (mean <= error).int().argmax(0)
    first = torch.where(mean[0] <= SURE * error[0], 0, first)
    return weights[first, :, factors].T


def _standardised(values: Tensor, rows: Tensor) -> Tensor:
    """Mean 0 and deviation 1 on those rows; what does not vary there becomes 0."""
    spread = values[rows].std(0, correction=0)
    varies = spread > 1e-12 * values[rows].abs().amax(0)
    centred = values - values[rows].mean(0)
    return torch.where(varies, centred / torch.where(varies, spread, 1.0), 0.0)
