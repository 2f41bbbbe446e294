"""The β-VAE score: can a linear classifier tell which factor a pair of codes shares?"""

import torch
from torch import Tensor

from diptych.evaluation.factors.labelled import LabelledCodes, halves, labelled_codes

__all__ = ["beta_vae_score"]

LEARNED = 1000
JUDGED = 500
PAIRS = 64
RIDGE = 1e-3
BLOCK = 50  # points whose pairs are held at once


def beta_vae_score(
    codes: Tensor,
    factors: Tensor,
    *,
    generator: torch.Generator,
    learned: int = LEARNED,
    judged: int = JUDGED,
    pairs: int = PAIRS,
) -> float | None:
    """Return the accuracy of a linear classifier for the shared factor.

    A point is the mean of |z − z'| over pairs of codes that share the value of one random factor;
    its class is that factor. Pairs to learn from and pairs to be judged on come from two random
    halves of the labelled codes. The classifier is a linear discriminant in closed form, where
    the paper trains one by gradient steps; codes are standardised first.

    Args:
        codes: (N, L).
        factors: whole numbers (N, F); constant ones are ignored.
        generator: draws halves and pairs; on the CPU.
        learned: points to learn from.
        judged: points to be judged on.
        pairs: per point.

    Returns:
        A share; by chance about 1 / F. None with a single factor, or where a factor has no two
        codes of one value in a half.

    Raises:
        DataError: unfit codes or factors, see `labelled_codes`.

    Source: Higgins et al., "beta-VAE: learning basic visual concepts with a constrained
    variational framework", ICLR 2017, section 3; Locatello et al. 2019, arXiv:1811.12359.
    """
    data = labelled_codes(codes, factors)
    if len(data.counts) < 2:
        return None
    spread = data.codes.std(0)
    scaled = data.codes / torch.where(spread > 0, spread, 1.0)
    sets = []
    for rows, points in zip(halves(data, generator), (learned, judged), strict=True):
        drawn = _points(scaled, data, rows, points, pairs, generator)
        if drawn is None:
            return None
        sets.append(drawn)
    (x, y), (new, truth) = sets
    return float((_discriminant(x, y, len(data.counts), new) == truth).double().mean())


def _points(
    scaled: Tensor,
    data: LabelledCodes,
    rows: Tensor,
    points: int,
    pairs: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor] | None:
    """Mean differences (points, L) and their factors (points,)."""
    classes = torch.randint(len(data.counts), (points,), generator=generator)
    differences = torch.empty(points, scaled.shape[1], dtype=torch.float64)
    for factor, values in enumerate(data.factors[rows].unbind(1)):
        mine = (classes == factor).nonzero().flatten()
        counts = values.bincount()
        paired = counts[values] > 1
        if not bool(paired.any()):
            return None
        values, members = values[paired], rows[paired]
        order = values.argsort(stable=True)
        values, members = values[order], members[order]
        starts = counts.where(counts > 1, 0).cumsum(0) - counts.where(counts > 1, 0)
        first = torch.randint(len(members), (len(mine), pairs), generator=generator)
        own, size = starts[values[first]], counts[values[first]]
        # Another member of the same value: a random number of places further on, in a ring.
        further = 1 + (torch.rand(first.shape, generator=generator) * (size - 1)).long()
        second = own + (first - own + further) % size
        parts = (torch.split(part, BLOCK) for part in (mine, members[first], members[second]))
        for places, a, b in zip(*parts, strict=True):
            differences[places] = (scaled[a] - scaled[b]).abs().mean(1)
    return differences, classes


def _discriminant(x: Tensor, y: Tensor, classes: int, new: Tensor) -> Tensor:
    """Classes of new points by Fisher's linear discriminant with a small ridge."""
    onehot = torch.nn.functional.one_hot(y, classes).double()
    sizes = onehot.sum(0)
    means = onehot.T @ x / sizes.clamp(min=1)[:, None]
    within = x - means[y]
    covariance = within.T @ within / len(x)
    scale = float(covariance.diagonal().mean())
    ridge = RIDGE * scale if scale > 0 else 1.0
    covariance += ridge * torch.eye(len(covariance), dtype=torch.float64)
    directions = torch.linalg.solve(covariance, means.T)  # (L, classes)
    offsets = (sizes.clamp(min=1e-9) / len(x)).log() - (means.T * directions).sum(0) / 2
    scores: Tensor = new @ directions + offsets
    return scores.argmax(1)
