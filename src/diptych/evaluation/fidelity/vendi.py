"""The Vendi score: how many different items a set amounts to, without any reference.

exp H(λ) for the eigenvalues λ of K/N, with K the cosine similarities. N equal items score 1, N
orthogonal ones N.

Source: Friedman and Dieng 2023, arXiv:2210.02410.
"""

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.fidelity.intervals import NORMAL_95
from diptych.evaluation.figure import Estimate
from diptych.evaluation.products import gram

__all__ = ["vendi_score"]

EXACT_WORK = 1e10  # multiplications up to which they are taken in float64
SMALLEST = 1e-12  # eigenvalues below are rounding, and λ log λ of them adds up
INTERVAL_WIDTH = 512  # widest features for which the eigenvectors of the interval are worth it


def vendi_score(items: Tensor, *, interval: bool = True) -> Estimate:
    """Return the Vendi score of a set under the linear kernel of unit rows.

    With more items than features the eigenvalues of UᵀU/N are taken, which are the same.

    Args:
        items: (N, D), N ≥ 2, any floating dtype. Rows of zeros count as equal to each other and
            orthogonal to all else.
        interval: whether to take an interval by the delete-one linearisation
            d log score = −Σ log λ_k ((u·v_k)² − λ_k)/N; only up to 512 features or items.

    Returns:
        The score, in 1 … min(N, D), in effective items.

    Raises:
        DataError: fewer than two rows, no matrix, or values that are not finite.

    Source: Friedman and Dieng 2023, arXiv:2210.02410.
    """
    if items.ndim != 2 or len(items) < 2:
        raise DataError(f"The Vendi score needs a matrix of 2 or more rows, not {items.shape}.")
    if not bool(items.isfinite().all()):
        raise DataError("The features hold NaN or infinite values; look at the samples first.")
    unit = _unit_rows(items)
    n, width = unit.shape
    dual = n > width
    # Cosines lie in -1..1: single precision leaves six digits, and large sets wait half as long.
    factors = unit.float() if n * width * min(n, width) > EXACT_WORK else unit
    matrix = gram(factors if dual else factors.T).double() / n
    with_interval = interval and len(matrix) <= INTERVAL_WIDTH + 1
    if not with_interval:
        values = torch.linalg.eigvalsh(matrix)
        return Estimate(_exp_entropy(values))
    values, vectors = torch.linalg.eigh(matrix)
    score = _exp_entropy(values)
    # (u·v_k)² for every item: directly, or from the N×N eigenvectors, where it is N λ_k w_k².
    squares = (unit @ vectors).square() if dual else n * values.clamp(min=0) * vectors.square()
    surprise = -torch.where(values > SMALLEST, values.clamp(min=SMALLEST).log(), 0.0)
    error = float((squares @ surprise).var()) ** 0.5 / n**0.5
    margin = torch.tensor(NORMAL_95 * error).exp()
    return Estimate(score, score / float(margin), score * float(margin), "delta method on the log")


def _exp_entropy(values: Tensor) -> float:
    kept = values[values > SMALLEST]
    return float((-(kept * kept.log()).sum()).exp())


def _unit_rows(items: Tensor) -> Tensor:
    items = items.double()
    # Norms of tiny rows would underflow when squared.
    items = items / items.abs().amax(1, keepdim=True).clamp(min=torch.finfo(items.dtype).tiny)
    norms = items.norm(dim=1, keepdim=True)
    if bool((norms == 0).any()):
        items = torch.cat([items, (norms == 0).to(items)], 1)
        norms = items.norm(dim=1, keepdim=True)
    unit: Tensor = items / norms
    return unit
