"""Posterior collapse: how much of its code a VAE uses, and whether codes fill the prior.

q(z|x) = N(μ(x), diag σ²(x)) and p(z) = N(0, I). The mean KL of the two splits into what the code
tells about the image and how far the codes of all images together are from the prior:

E KL(q(z|x) ‖ p) = I(x; z) + KL(q(z) ‖ p),   q(z) = E q(z|x)

Sources: Burda et al. 2016, arXiv:1509.00519 (active units); Hoffman and Johnson 2016, "ELBO
surgery" (the split); Lucas et al. 2019, arXiv:1911.02469 (collapse in linear VAEs).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.collapse.shares import Z
from diptych.evaluation.figure import Estimate

__all__ = [
    "active_units",
    "aggregate_kl",
    "aggregate_sliced_w2",
    "collapsed_dimensions",
    "kl_per_dimension",
    "mean_kl",
    "mutual_information",
    "sample_posterior",
    "sliced_w2",
]

ACTIVE = 0.01  # variance of a unit's mean over the data, in squared prior units
COLLAPSED = 0.01  # nats
DIRECTIONS = 128
GROUPS = 20  # of the jackknife
BLOCK = 512  # rows of an N x N matrix held at once


def active_units(means: Tensor, *, threshold: float = ACTIVE) -> Estimate:
    """Return in how many latent dimensions the mean of q(z|x) varies with x.

    A unit u is active where Var_x[μ_u(x)] > threshold.

    Args:
        means: (N, L), floating, N ≥ 2.
        threshold: in squared prior standard deviations; 0.01 is Burda et al.'s.

    Returns:
        The count; the interval counts the units whose variance is above the threshold by two
        standard errors, and those it might be above.

    Raises:
        DataError: a wrong shape, one row, or values that are not finite.

    Source: Burda et al. 2016, arXiv:1509.00519, appendix C.
    """
    means, _ = _checked(means, means)
    centred = means - means.mean(0)
    variance = centred.square().sum(0) / (len(means) - 1)
    error = _standard_error(centred.square())
    return Estimate(
        float((variance > threshold).sum()),
        float((variance - Z * error > threshold).sum()),
        float((variance + Z * error > threshold).sum()),
        "standard error of each unit's variance",
    )


def kl_per_dimension(means: Tensor, log_variances: Tensor) -> Tensor:
    """Return E_x KL(q(z_u|x) ‖ N(0, 1)) = ½ E[μ² + σ² − 1 − ln σ²], (L,) in nats, float64.

    Args:
        means: (N, L).
        log_variances: (N, L), ln σ².

    Raises:
        DataError: shapes that do not fit, one row, or values that are not finite.
    """
    return _kl(*_checked(means, log_variances)).mean(0)


def collapsed_dimensions(
    means: Tensor, log_variances: Tensor, *, threshold: float = COLLAPSED
) -> Estimate:
    """Return in how many dimensions the mean KL is below the threshold in nats.

    There q(z_u|x) is the prior for nearly every x, and the dimension carries nothing.

    Args:
        means: (N, L).
        log_variances: (N, L), ln σ².
        threshold: in nats.

    Returns:
        The count; the interval counts the dimensions that are below by two standard errors, and
        those that might be.

    Raises:
        DataError: as :func:`kl_per_dimension`.
    """
    kl = _kl(*_checked(means, log_variances))
    mean, error = kl.mean(0), _standard_error(kl)
    return Estimate(
        float((mean < threshold).sum()),
        float((mean + Z * error < threshold).sum()),
        float((mean - Z * error < threshold).sum()),
        "standard error of each dimension's KL",
    )


def mean_kl(means: Tensor, log_variances: Tensor) -> Estimate:
    """Return E_x KL(q(z|x) ‖ p) divided by the dimensions, in nats per dimension.

    Args:
        means: (N, L).
        log_variances: (N, L), ln σ².

    Raises:
        DataError: as :func:`kl_per_dimension`.
    """
    per_item = _kl(*_checked(means, log_variances)).mean(1)
    value, half = float(per_item.mean()), Z * float(_standard_error(per_item))
    return Estimate(value, max(0.0, value - half), value + half, "standard error over items")


def mutual_information(
    means: Tensor, log_variances: Tensor, *, generator: torch.Generator
) -> Estimate:
    """Return a lower bound on I(x; z) in nats, from one draw of z per item.

    I ≥ E_i[ln q(z_i|x_i) − ln (1/N) Σ_j q(z_i|x_j)], which cannot exceed ln N; with j ≠ i in the
    sum and 1/(N − 1) it is an upper bound, as is the mean KL.

    Args:
        means: (N, L).
        log_variances: (N, L), ln σ².
        generator: of the draws; on the CPU.

    Returns:
        The lower bound with its sampling interval and the lesser upper bound in the note; not
        trusted within one nat of ln N, where N and not the model decides.

    Raises:
        DataError: as :func:`kl_per_dimension`.

    Source: Poole et al. 2019, arXiv:1905.06922 (both bounds); Hoffman and Johnson 2016.
    """
    means, log_variances = _checked(means, log_variances)
    n = len(means)
    codes = sample_posterior(means, log_variances, generator=generator)
    precision = (-log_variances).exp()
    weighted = means * precision
    constant = (log_variances + means * weighted).sum(1) + means.shape[1] * math.log(2 * math.pi)
    below, above = [], []
    for start in range(0, n, BLOCK):
        z = codes[start : start + BLOCK]
        log_q = -0.5 * (z.square() @ precision.T - 2 * z @ weighted.T + constant)
        rows = torch.arange(len(z), device=z.device)
        own = log_q[rows, rows + start].clone()
        below.append(own - log_q.logsumexp(1) + math.log(n))
        log_q[rows, rows + start] = -torch.inf
        above.append(own - log_q.logsumexp(1) + math.log(n - 1))
    terms = torch.cat(below)
    value, half = max(0.0, float(terms.mean())), Z * float(_standard_error(terms))
    rate = float(_kl(means, log_variances).sum(1).mean())
    upper = min(rate, float(torch.cat(above).mean()))
    saturated = value > math.log(n) - 1
    return Estimate(
        value,
        max(0.0, value - half),
        value + half,
        "standard error over items",
        f"A lower bound; the upper one is {max(value, upper):.2f} nats."
        + (f" It cannot exceed ln N = {math.log(n):.2f}: bring more items." if saturated else ""),
        trusted=not saturated,
    )


def sample_posterior(
    means: Tensor, log_variances: Tensor, *, generator: torch.Generator
) -> Tensor:
    """Return one z per item, (N, L), float64: together they are draws from q(z)."""
    noise = torch.randn(means.shape, generator=generator, dtype=torch.float64)
    return means.double() + (log_variances.double() / 2).exp() * noise.to(means.device)


def aggregate_kl(codes: Tensor) -> Estimate:
    """Return KL(N(m, C) ‖ N(0, I)) for the mean and covariance of codes, in nats.

    ½ (tr C + mᵀm − L − ln det C): blind to all but two moments, so a lower value than the true
    divergence is possible. Biased upward by about L (L + 3) / 4N: read it beside the same figure
    of N draws from the prior.

    Args:
        codes: (N, L), draws from q(z); N > L + 1.

    Returns:
        The divergence with a jackknife interval.

    Raises:
        DataError: too few codes for a covariance that can be inverted, or values that are not
            finite.
    """
    codes, _ = _checked(codes, codes)
    if len(codes) <= codes.shape[1] + 1:
        raise DataError(
            f"{len(codes)} codes are too few for a covariance of {codes.shape[1]} dimensions."
        )
    group = _groups(codes)
    return _jackknifed(
        lambda out: _gaussian_kl(codes if out is None else codes[group != out]),
        len(codes),
        fewest=codes.shape[1] + 2,
    )


def aggregate_sliced_w2(
    codes: Tensor, prior: Tensor, *, generator: torch.Generator, directions: int = DIRECTIONS
) -> Estimate:
    """Return :func:`sliced_w2` between codes and prior draws with a jackknife interval.

    Args:
        codes: (N, L), draws from q(z).
        prior: (N, L), draws from p(z).
        generator: of the directions.
        directions: how many.
    """
    codes, prior = _pair(codes, prior)
    lines = _directions(codes, directions, generator)
    a, b = (lines @ codes.T).sort(1), (lines @ prior.T).sort(1)
    group = _groups(codes)
    of_a, of_b = group[a.indices], group[b.indices]

    def without(out: int | None) -> float:
        if out is None:
            return _root_mean_square(a.values - b.values)
        # What is left of a sorted row is sorted, and each row loses as many.
        left, right = a.values[of_a != out], b.values[of_b != out]
        return _root_mean_square(left.view(len(lines), -1) - right.view(len(lines), -1))

    return _jackknifed(without, len(codes))


def sliced_w2(
    first: Tensor, second: Tensor, *, generator: torch.Generator, directions: int = DIRECTIONS
) -> float:
    """Return the sliced 2-Wasserstein distance of two sets of equal size.

    The root of the mean over directions θ of Σ_i (a_(i) − b_(i))² / N, with a and b the sorted
    projections of the sets on θ.

    Args:
        first: (N, L), floating.
        second: (N, L).
        generator: of the directions; on the CPU.
        directions: how many.

    Returns:
        ≥ 0, in the unit of the sets. For two Gaussians that differ in their means only,
        |m₁ − m₂| / √L.

    Raises:
        DataError: the shapes differ, or values are not finite.

    Source: Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures".
    """
    first, second = _pair(first, second)
    lines = _directions(first, directions, generator)
    return _root_mean_square((lines @ first.T).sort(1).values - (lines @ second.T).sort(1).values)


def _directions(of: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return unit vectors (count, L) for rows of L numbers; so the projections sort in memory."""
    lines = torch.randn(count, of.shape[1], generator=generator, dtype=torch.float64)
    return (lines / lines.square().sum(1, keepdim=True).sqrt()).to(of.device)


def _root_mean_square(gaps: Tensor) -> float:
    return math.sqrt(float(gaps.square().mean()))


def _pair(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    return _checked(first, second, "sets")


def _gaussian_kl(codes: Tensor) -> float:
    mean = codes.mean(0)
    centred = codes - mean
    covariance = centred.T @ centred / (len(codes) - 1)
    # A dimension without any variance is infinitely far from the prior; the least that float64
    # can tell from it keeps the figure finite and enormous.
    eigenvalues = torch.linalg.eigvalsh(covariance).clamp(min=1e-15)
    return 0.5 * float(mean @ mean + (eigenvalues - 1 - eigenvalues.log()).sum())


def _groups(rows: Tensor) -> Tensor:
    return torch.arange(len(rows), device=rows.device) % GROUPS


def _jackknifed(without: Callable[[int | None], float], n: int, fewest: int = 1) -> Estimate:
    """Return the value of all n rows with an interval from leaving out one group at a time.

    Args:
        without: gives the value without the rows of that group, or of all rows.
        n: rows.
        fewest: rows that a value needs.
    """
    value = without(None)
    if n < GROUPS or n - -(-n // GROUPS) < fewest:
        return Estimate(value, note=f"{n} items are too few for an interval.")
    left = torch.tensor([without(out) for out in range(GROUPS)], dtype=torch.float64)
    half = Z * math.sqrt((GROUPS - 1) * float(left.var(correction=0)))
    return Estimate(value, max(0.0, value - half), value + half, f"jackknife over {GROUPS} groups")


def _kl(means: Tensor, log_variances: Tensor) -> Tensor:
    # expm1 keeps the digits where the posterior is almost the prior
    return 0.5 * (means.square() + log_variances.expm1() - log_variances)


def _standard_error(values: Tensor) -> Tensor:
    """Return the standard error of the mean over the first axis."""
    return values.std(0) / math.sqrt(len(values))


def _checked(
    first: Tensor, second: Tensor, what: str = "means and log-variances"
) -> tuple[Tensor, Tensor]:
    if first.ndim != 2 or first.shape != second.shape or not first.shape[1]:
        raise DataError(
            f"The {what} of codes must be two matrices (N, L) of one shape, not "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    if len(first) < 2:
        raise DataError(f"{len(first)} code is too few to see whether codes vary; bring more.")
    if not bool(first.isfinite().all()) or not bool(second.isfinite().all()):
        raise DataError("The codes hold NaN or infinite values; the encoder failed.")
    return first.detach().double(), second.detach().double()
