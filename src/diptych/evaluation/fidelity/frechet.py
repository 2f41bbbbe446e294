"""The Fréchet distance between two sets of features, each summed up by a Gaussian.

d² = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½)

Source: Dowson and Landau 1982 (the distance); Heusel et al. 2017, arXiv:1706.08500 (its use on
network features). Everything is float64 and symmetric, so no imaginary part can appear.
"""

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.products import gram

__all__ = ["frechet_between", "frechet_distance", "moments"]

BLOCK = 256  # columns of a triangular matrix multiplied at once
ROWS = 2500  # items centred and multiplied at once: no second large float64 set appears


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the unbiased covariance of a set of features.

    Args:
        features: (N, D), any floating dtype, N ≥ 2.

    Returns:
        The mean (D,) and the covariance (D, D) with divisor N − 1, both float64. The data are
        centred before they are multiplied, so a common offset costs no digits.

    Raises:
        DataError: fewer than two rows, not a matrix, or values that are not finite.
    """
    _check(features)
    mean = features.mean(0, dtype=torch.float64)
    scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=features.device)
    for rows in torch.split(features, ROWS):
        scatter += gram(rows.double() - mean)
    return mean, scatter / (len(features) - 1)


def frechet_distance(mu1: Tensor, sigma1: Tensor, mu2: Tensor, sigma2: Tensor) -> float:
    """Return d² between N(μ₁, Σ₁) and N(μ₂, Σ₂).

    With Σ₁ = LLᵀ the matrices Σ₁Σ₂ and LᵀΣ₂L share their eigenvalues λ and the second is
    symmetric, hence tr(Σ₁Σ₂)^½ = Σ √λᵢ.

    Args:
        mu1: (D,).
        sigma1: (D, D), symmetric and positive semi-definite.
        mu2: (D,).
        sigma2: (D, D), symmetric and positive semi-definite.

    Returns:
        The squared distance, ≥ 0, in squared feature units.

    Raises:
        DataError: the dimensions differ or a value is not finite.
    """
    if mu1.shape != mu2.shape or not sigma1.shape == sigma2.shape == (*mu1.shape, *mu1.shape):
        shapes = ", ".join(str(tuple(part.shape)) for part in (mu1, sigma1, mu2, sigma2))
        raise DataError(
            "The Fréchet distance needs a mean (D,) and a covariance (D, D), twice, and of one D; "
            f"got {shapes}."
        )
    mu1, sigma1, mu2, sigma2 = (part.double() for part in (mu1, sigma1, mu2, sigma2))
    if not all(bool(part.isfinite().all()) for part in (mu1, sigma1, mu2, sigma2)):
        raise DataError("The Fréchet distance was given a mean or covariance that is not finite.")
    factor, failed = torch.linalg.cholesky_ex(sigma1)
    if int(failed) == 0:
        shared = torch.linalg.eigvalsh(_lower(factor, sigma2)).clamp(min=0).sqrt().sum()
    else:
        # Σ₁ is singular, as with a dead feature: any roots Sᵢ with SᵢSᵢᵀ = Σᵢ will do.
        shared = torch.linalg.svdvals(_root(sigma1).T @ _root(sigma2)).sum()
    distance = (mu1 - mu2).square().sum() + sigma1.trace() + sigma2.trace() - 2 * shared
    return max(0.0, float(distance))


def frechet_between(x: Tensor, y: Tensor) -> float:
    """Return d² between the Gaussians fitted to two sets of features.

    With no more rows than columns the covariances are singular and are never formed: for
    A = Xc/√(n−1) and B = Yc/√(m−1), with Xc and Yc the centred sets, tr(Σ₁Σ₂)^½ is the sum of
    the singular values of ABᵀ.

    The estimate is biased upward at small N (golden case: 5.89 where the truth is 3.2, at
    N = 1000 and D = 64): compare at equal N only, and beside a floor.

    Args:
        x: (N, D), any floating dtype.
        y: (M, D).

    Returns:
        The squared distance, ≥ 0, in squared feature units.

    Raises:
        DataError: fewer than two rows, different D, or values that are not finite.
    """
    for features in (x, y):
        _check(features)
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"The Fréchet distance needs features of one size, not {x.shape[1]} and {y.shape[1]}."
        )
    if max(len(x), len(y)) > x.shape[1]:
        return frechet_distance(*moments(x), *moments(y))
    (mu1, a), (mu2, b) = _centred(x), _centred(y)
    shared = torch.linalg.svdvals(a @ b.T).sum()
    distance = (mu1 - mu2).square().sum() + a.square().sum() + b.square().sum() - 2 * shared
    return max(0.0, float(distance))


def _check(features: Tensor) -> None:
    if features.ndim != 2:
        raise DataError(f"Features must be a matrix (N, D), not {tuple(features.shape)}.")
    if len(features) < 2:
        raise DataError(
            f"A covariance needs at least 2 items and got {len(features)}; bring more samples."
        )
    if not bool(features.isfinite().all()):
        raise DataError("The features hold NaN or infinite values; look at the samples first.")


def _centred(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean, and A = Xc/√(n−1) with AᵀA the covariance, both float64."""
    mean = features.mean(0, dtype=torch.float64)
    return mean, (features.double() - mean) / (len(features) - 1) ** 0.5


def _lower(factor: Tensor, sigma: Tensor) -> Tensor:
    """Return LᵀΣL for a lower triangular L, the part above the diagonal blocks left out.

    `eigvalsh` reads the lower triangle only, and the zeros of L need no multiplying: a quarter of
    the work of both products.
    """
    right, product = torch.zeros_like(sigma), torch.zeros_like(sigma)
    for start in range(0, len(sigma), BLOCK):
        part = slice(start, start + BLOCK)
        right[start:, part] = sigma[start:, start:] @ factor[start:, part]
    for start in range(0, len(sigma), BLOCK):
        part = slice(start, start + BLOCK)
        product[part, : part.stop] = factor[start:, part].T @ right[start:, : part.stop]
    return product


def _root(sigma: Tensor) -> Tensor:
    """Return S with SSᵀ = Σ for a covariance that may be singular."""
    values, vectors = torch.linalg.eigh(sigma)
    # What rounding leaves of a zero would come out of the root eight digits larger.
    noise = torch.finfo(values.dtype).eps * len(values) * values.abs().max()
    root: Tensor = vectors * torch.where(values > noise, values, 0.0).sqrt()
    return root
