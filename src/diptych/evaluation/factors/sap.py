"""Separated attribute predictability: does one latent predict each factor, and no other?"""

import torch
from torch import Tensor

from diptych.evaluation.factors.labelled import LabelledCodes, halves, labelled_codes
from diptych.evaluation.factors.mig import gaps

__all__ = ["balanced_accuracies", "sap_score"]


def sap_score(codes: Tensor, factors: Tensor, *, generator: torch.Generator) -> float:
    """Return SAP = mean over factors of the accuracy of the best latent minus the second best.

    A factor is predicted from one latent by thresholds midway between the means of its values,
    learned on a random half; the accuracy on the other half is averaged over the values. The
    best that can be is the mean of 1 − 1/K over factors of K values.

    Args:
        codes: (N, L); a single latent is compared with guessing.
        factors: whole numbers (N, F); constant ones are ignored.
        generator: draws the halves; on the CPU.

    Returns:
        In 0..1; with a single latent it may fall a little below 0.

    Raises:
        DataError: unfit codes or factors, see `labelled_codes`.

    Source: Kumar, Sattigeri & Balakrishnan 2018, arXiv:1711.00848, section 3, with its thresholds
    for categories; Locatello et al. 2019, arXiv:1811.12359, use a linear SVM instead.
    """
    data = labelled_codes(codes, factors)
    chance = 1 / torch.tensor(data.counts, dtype=torch.float64)
    scores = balanced_accuracies(data, *halves(data, generator))
    return float(gaps(scores, chance).mean())


def balanced_accuracies(data: LabelledCodes, learn: Tensor, judge: Tensor) -> Tensor:
    """Return the accuracy of every latent alone for every factor, (L, F), float64.

    Args:
        data: codes and factors.
        learn: rows that give the thresholds.
        judge: rows on which they are judged; values absent there do not count.
    """
    scores = torch.empty(data.codes.shape[1], len(data.counts), dtype=torch.float64)
    for j, values in enumerate(data.factors.unbind(1)):
        known, place = torch.unique(values[learn], return_inverse=True)
        sums = torch.zeros(len(known), data.codes.shape[1], dtype=torch.float64)
        sums.index_add_(0, place, data.codes[learn])
        means = sums / place.bincount()[:, None]
        truth = values[judge]
        counts = truth.bincount(minlength=data.counts[j])
        for i, mean in enumerate(means.unbind(1)):
            levels, order = mean.sort()
            between = torch.bucketize(data.codes[judge, i], (levels[1:] + levels[:-1]) / 2)
            hits = truth[known[order][between] == truth].bincount(minlength=data.counts[j])
            scores[i, j] = (hits.double() / counts)[counts > 0].mean()
    return scores
