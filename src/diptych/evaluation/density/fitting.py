"""The search for a mode of p(z|x), and the Gaussian that has its curvature."""

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.density.gaussians import Gaussians
from diptych.evaluation.density.joint import Joint
from diptych.evaluation.sets import Progress, silent

__all__ = ["climb", "curvature_at", "fit_gaussians"]

SMALLEST_DAMPING, LARGEST_DAMPING = 1e-6, 1e8
JACOBIAN_BLOCK = 128
"""Rows (image, latent) of the Jacobian that are computed at once."""
DIFFERENCE = 0.01
"""Half the distance over which slopes are taken, in units of the prior: far above the rounding of
single precision, below the width of a posterior, and over the kinks of rectifiers."""


def climb(
    joint: Joint,
    starts: Tensor,
    *,
    steps: int = 300,
    learning_rate: float = 0.2,
    heat: float = 36.0,
    progress: Progress = silent,
) -> Tensor:
    """The best of several searches for the code of largest p(x, z), by Adam.

    The likelihood's power rises from 1 / heat to 1 while the search goes on: from a sharp
    likelihood's many peaks Adam alone picks one that can be a hundred nats too low.

    Args:
        joint: of N images; its prior must be N(0, I).
        starts: (R, N, L), R starts per image.
        steps: each costs one gradient per start; the rate decays linearly to 0.
        learning_rate: in units of the prior.
        heat: at least 1; 1 goes without.
        progress: told how many steps are done.

    Returns:
        (N, L), float64.
    """
    z = starts.double()
    first, second = torch.zeros_like(z), torch.zeros_like(z)
    for step in range(steps):
        left = 1.0 - step / steps
        _, gradient = joint.with_gradient(z)
        # The prior's share, -z, weighs `heat ** left` times more than it will in the end.
        gradient = gradient - (heat**left - 1.0) * z
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient.square()
        size = learning_rate * left / (1 - 0.9 ** (step + 1))
        z = z + size * first / ((second / (1 - 0.99 ** (step + 1))).sqrt() + 1e-8)
        progress("searching codes", step + 1, steps)
    values = joint(z).nan_to_num(-torch.inf, posinf=-torch.inf)
    return z[values.argmax(0), torch.arange(z.shape[1], device=z.device)]


def fit_gaussians(joint: Joint, codes: Tensor, *, steps: int = 15) -> Gaussians:
    """Climb to a mode of p(z|x) near the given codes and take the curvature there.

    Fisher scoring with Levenberg's damping: z += (H + damping I)⁻¹ ∇ log p(x, z), where
    H = Jᵀ diag(1 / Var[x|z]) J + I and J is the Jacobian of the mean E[x|z]. The result is
    N(z, H⁻¹). For Gaussian noise this is Gauss-Newton and, if the decoder is linear, the exact
    posterior. H needs a prior of unit curvature, N(0, I).

    The Gaussian must depend on the images and not on codes that are known to have made them, or
    BDMC's upper bound no longer holds.

    Args:
        joint: of N images.
        codes: where to begin, (N, L).
        steps: each costs about 2L decodings per image.

    Returns:
        N Gaussians.

    Raises:
        DataError: log p(x, z) is not finite at a start.
    """
    z = codes.double()
    value, gradient = (part[0] for part in joint.with_gradient(z[None]))
    if not bool(value.isfinite().all()):
        raise DataError("log p(x, z) is not finite at the codes from which the search begins.")
    damping = torch.full_like(value, 1e-3)
    eye = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    curvature = curvature_at(joint, z)
    for _ in range(steps):
        size = damping * curvature.diagonal(dim1=-2, dim2=-1).mean(-1)
        move = torch.linalg.solve(curvature + size[:, None, None] * eye, gradient.unsqueeze(-1))
        tried = z + move.squeeze(-1)
        new_value, new_gradient = (part[0] for part in joint.with_gradient(tried[None]))
        better = new_value > value  # false for NaN
        z = torch.where(better[:, None], tried, z)
        gradient = torch.where(better[:, None], new_gradient, gradient)
        value = torch.where(better, new_value, value)
        damping = torch.where(better, damping / 5, damping * 5)
        damping = damping.clamp(SMALLEST_DAMPING, LARGEST_DAMPING)
        if bool(better.any()):
            curvature = curvature_at(joint, z)
    return Gaussians.of_precision(z, curvature)


def curvature_at(joint: Joint, z: Tensor) -> Tensor:
    """Fisher's information of codes (N, L): Jᵀ diag(1 / Var[x|z]) J + I, (N, L, L), float64."""
    latent_dim = z.shape[1]
    eye = torch.eye(latent_dim, dtype=z.dtype, device=z.device)
    images_at_once = max(1, JACOBIAN_BLOCK // latent_dim)
    curvature = []
    for codes in torch.split(z, images_at_once):
        shift = DIFFERENCE * eye.repeat(len(codes), 1)
        rows = codes.repeat_interleave(latent_dim, 0)
        with torch.no_grad():
            above, below = (
                joint.decode(points.to(joint.images.dtype)).mean.double()
                for points in (rows + shift, rows - shift)
            )
            variance = joint.decode(codes.to(joint.images.dtype)).variance.double().flatten(1)
        slopes = ((above - below) / (2 * DIFFERENCE)).flatten(1)
        slopes = slopes.view(len(codes), latent_dim, -1)
        # Saturated binary pixels have neither variance nor slope.
        slopes = slopes / variance.clamp(min=1e-12).sqrt()[:, None]
        curvature.append(slopes @ slopes.mT)
    return torch.cat(curvature) + eye
