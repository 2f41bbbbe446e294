"""The mutual information gap: is each factor known to one latent alone?"""

import torch
from torch import Tensor

from diptych.evaluation.factors.labelled import labelled_codes
from diptych.evaluation.factors.mutual_information import (
    BINS,
    discretise,
    entropies,
    mutual_information,
)

__all__ = ["gaps", "mutual_information_gap"]


def mutual_information_gap(codes: Tensor, factors: Tensor, *, bins: int = BINS) -> float:
    """Return MIG = mean over factors v of (I(z_a; v) − I(z_b; v)) / H(v).

    a and b are the latents that know most and second most of v. 1: one latent tells each factor
    entirely and the others nothing of it; 0: two latents tell the same. It does not mind one
    latent telling several factors.

    Args:
        codes: (N, L); a single latent is compared with one that knows nothing.
        factors: whole numbers (N, F); constant ones are ignored.
        bins: of the histogram of each latent.

    Returns:
        In 0..1.

    Raises:
        DataError: unfit codes or factors, see `labelled_codes`.

    Source: Chen, Li, Grosse & Duvenaud 2018, arXiv:1802.04942, eq. 6; the histogram of posterior
    means is that of Locatello et al. 2019, arXiv:1811.12359.
    """
    data = labelled_codes(codes, factors)
    information = mutual_information(discretise(data.codes, bins), data.factors)
    return float((gaps(information) / entropies(data.factors)).mean())


def gaps(scores: Tensor, least: Tensor | float = 0.0) -> Tensor:
    """Return the best score minus the second best of each column, (F,).

    Args:
        scores: (L, F).
        least: what a latent that knows nothing would score, for when there is only one; (F,).
    """
    if len(scores) == 1:
        return scores[0] - torch.as_tensor(least, dtype=scores.dtype)
    best = scores.topk(2, dim=0).values
    return best[0] - best[1]
