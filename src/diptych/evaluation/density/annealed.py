"""Annealed importance sampling between a Gaussian and the posterior, forward and in reverse.

Along f_β(z) = q(z)^(1-β) p(x, z)^β the ratio of normalisers of both ends is p(x). Run forward from
q, the weights average to p(x) and their logarithm is a lower bound in expectation; run backward
from an exact sample of p(z|x), the inverse weights average to 1 / p(x) and give an upper bound.

Everything happens in the coordinates in which q is N(0, I), z = mean + scale e. If q is near the
posterior, all densities of the path are near N(0, I) there, and one step size serves all axes.

Source: Neal, "Annealed importance sampling", Statistics and Computing 11, 2001; Wu, Burda,
Salakhutdinov & Grosse, "On the quantitative analysis of decoder-based generative models",
ICLR 2017, arXiv 1611.04273.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.density.fitting import curvature_at
from diptych.evaluation.density.gaussians import Gaussians, draw
from diptych.evaluation.density.joint import Joint
from diptych.evaluation.sets import Progress, silent

__all__ = [
    "Annealed",
    "Path",
    "anneal",
    "anneal_back",
    "linear_schedule",
    "settle",
    "sigmoid_schedule",
    "tune",
]

ACCEPTANCE = 0.8
FIRST_STEP, LARGEST_STEP = 0.5, 2.0
"""In units of the start's standard deviations."""
JITTER = 0.2
"""Steps vary by this share from one transition to the next, lest a trajectory close on itself."""


@dataclass(frozen=True, eq=False)
class Path:
    """Where chains go, and how: fixed before they are measured.

    Attributes:
        joint: of N images, the end.
        start: q, the beginning.
        betas: (T + 1,), from 0 to 1, rising.
        step_sizes: (T + 1, N), of the leapfrog at each temperature and image.
        leapfrogs: steps of one Hamiltonian transition, one gradient each.
    """

    joint: Joint
    start: Gaussians
    betas: Tensor
    step_sizes: Tensor
    leapfrogs: int


@dataclass(frozen=True, eq=False)
class Annealed:
    """What the chains found.

    Attributes:
        bounds: of log p(x), (N,), nats: lower from `anneal`, upper from `anneal_back`; both in
            expectation, and a lower bound is above log p(x) + t with probability below e^-t.
        log_weights: (C, N), nats, of the single chains.
        acceptance: mean share of accepted transitions.
    """

    bounds: Tensor
    log_weights: Tensor
    acceptance: float


def linear_schedule(temperatures: int) -> Tensor:
    """β_t = t / T, (T + 1,): for starts that are near the posterior."""
    _check_temperatures(temperatures)
    return torch.linspace(0, 1, temperatures + 1, dtype=torch.float64)


def sigmoid_schedule(temperatures: int, *, rate: float = 4.0) -> Tensor:
    """β from a sigmoid over -rate..rate, moved to 0..1, (T + 1,): for the prior as a start.

    Source: Wu et al. 2017, arXiv 1611.04273, appendix (the schedule of their code).
    """
    raw = torch.sigmoid(rate * (2 * linear_schedule(temperatures) - 1))
    return (raw - raw[0]) / (raw[-1] - raw[0])


def tune(
    joint: Joint,
    start: Gaussians,
    betas: Tensor,
    *,
    generator: torch.Generator,
    leapfrogs: int = 4,
    chains: int = 2,
    progress: Progress = silent,
) -> Path:
    """Find step sizes by a preliminary run, whose weights are thrown away.

    Transitions that adapt while weights are taken no longer leave f_β invariant, and neither
    bound holds; so the sizes are found here and frozen.

    Args:
        joint: of N images.
        start: one Gaussian per image.
        betas: a schedule.
        generator: of this run's noise.
        leapfrogs: of every transition.
        chains: of this run; an image's share one step size.
        progress: told how many temperatures are done.
    """
    return _preliminary(joint, start, betas, generator, leapfrogs, chains, progress)[0]


def settle(
    joint: Joint,
    start: Gaussians,
    betas: Tensor,
    *,
    generator: torch.Generator,
    leapfrogs: int = 4,
    chains: int = 4,
    progress: Progress = silent,
) -> Gaussians:
    """A better start: the mean of preliminary chains, and the mean curvature where they ended.

    At a mode of a crooked posterior the curvature is not that of the places around it, where
    nearly all of its mass is. The chains are thrown away.

    Args:
        joint: of N images.
        start: one Gaussian per image.
        betas: a schedule, short.
        generator: of this run's noise.
        leapfrogs: of every transition.
        chains: per image; each costs 2L decodings on top of its run.
        progress: told how many temperatures are done.
    """
    _, state = _preliminary(joint, start, betas, generator, leapfrogs, chains, progress)
    ends = start.codes(state.noise)
    curvature = torch.stack([curvature_at(joint, codes) for codes in ends]).mean(0)
    return Gaussians.of_precision(ends.mean(0), curvature)


def _preliminary(
    joint: Joint,
    start: Gaussians,
    betas: Tensor,
    generator: torch.Generator,
    leapfrogs: int,
    chains: int,
    progress: Progress,
) -> tuple[Path, "_State"]:
    """Chains whose steps adapt as they go: the path they found, and where they ended."""
    sizes = torch.full((len(betas), len(start.mean)), FIRST_STEP, dtype=torch.float64)
    path = Path(joint, start, betas, sizes.to(start.mean.device), leapfrogs)
    state = _state(path, draw((chains, *start.mean.shape), generator, start.mean))
    for t in range(1, len(betas) - 1):
        state, probability = _transition(path, t, state, generator)
        factor = (0.5 * (probability.mean(0) - ACCEPTANCE)).exp()
        path.step_sizes[t + 1 :] = (path.step_sizes[t] * factor).clamp(max=LARGEST_STEP)
        progress("preliminary chains", t, len(betas) - 2)
    return path, state


def anneal(
    path: Path, *, chains: int, generator: torch.Generator, progress: Progress = silent
) -> Annealed:
    """A lower bound of log p(x): log of the mean weight of chains from q to the posterior.

    Args:
        path: from `tune`.
        chains: independent ones per image.
        generator: of all noise; not the state `tune` began with.
        progress: told how many temperatures are done.
    """
    noise = draw((chains, *path.start.mean.shape), generator, path.start.mean)
    state, last = _state(path, noise), len(path.betas) - 1
    log_weights, acceptance = torch.zeros_like(state.value), []
    for t in range(1, last + 1):
        log_weights += (path.betas[t] - path.betas[t - 1]) * (state.value - _log_start(state))
        if t < last:
            state, probability = _transition(path, t, state, generator)
            acceptance.append(float(probability.mean()))
        progress("annealing", t, last)
    return _annealed(log_weights, acceptance, sign=1)


def anneal_back(
    path: Path,
    codes: Tensor,
    *,
    chains: int,
    generator: torch.Generator,
    progress: Progress = silent,
) -> Annealed:
    """An upper bound of log p(x): the same path walked from the posterior back to q.

    Args:
        path: from `tune`; it may depend on the images, not on `codes`.
        codes: one exact sample of p(z|x_n) per image, (N, L): known only where the images were
            made from them.
        chains: per image, all from that sample.
        generator: of all noise.
        progress: told how many temperatures are done.

    Source: Grosse, Ghahramani & Adams, "Sandwiching the marginal likelihood using bidirectional
    Monte Carlo", 2015, arXiv 1511.02543.
    """
    noise = path.start.noise(codes.double()[None])
    state, last = _state(path, noise.expand(chains, -1, -1).clone()), len(path.betas) - 1
    log_weights, acceptance = torch.zeros_like(state.value), []
    for t in range(last, 0, -1):
        log_weights += (path.betas[t] - path.betas[t - 1]) * (state.value - _log_start(state))
        if t > 1:
            state, probability = _transition(path, t - 1, state, generator)
            acceptance.append(float(probability.mean()))
        progress("annealing back", last + 1 - t, last)
    return _annealed(log_weights, acceptance, sign=-1)


class _State(NamedTuple):
    """Chains (C, N, L) in the start's coordinates, log p(x, z) + log |dz/de|, its gradient."""

    noise: Tensor
    value: Tensor
    gradient: Tensor


def _state(path: Path, noise: Tensor) -> _State:
    value, gradient = path.joint.with_gradient(path.start.codes(noise))
    gradient = torch.einsum("nij,cni->cnj", path.start.scale, gradient)
    return _State(noise, value + path.start.log_det, gradient)


def _log_start(state: _State) -> Tensor:
    """log q in its own coordinates, (C, N)."""
    squares = state.noise.square().sum(-1)
    return -0.5 * (squares + state.noise.shape[-1] * math.log(2 * math.pi))


def _transition(
    path: Path, t: int, state: _State, generator: torch.Generator
) -> tuple[_State, Tensor]:
    """One Hamiltonian step that leaves f_β of β_t invariant, and its acceptance (C, N)."""
    beta = path.betas[t]

    def log_density(of: _State) -> Tensor:
        return beta * of.value + (1 - beta) * _log_start(of)

    def force(of: _State) -> Tensor:
        return beta * of.gradient - (1 - beta) * of.noise

    spread = 1 + JITTER * (2 * _uniform(state.value, generator) - 1)
    size = (path.step_sizes[t] * spread).unsqueeze(-1)
    momentum = draw(state.noise.shape, generator, state.noise)
    energy = log_density(state) - 0.5 * momentum.square().sum(-1)
    moved = state
    momentum = momentum + 0.5 * size * force(state)
    for step in range(path.leapfrogs):
        moved = _state(path, moved.noise + size * momentum)
        last = step == path.leapfrogs - 1
        momentum = momentum + (0.5 if last else 1.0) * size * force(moved)
    change = log_density(moved) - 0.5 * momentum.square().sum(-1) - energy
    # A trajectory that runs off to where nothing is finite is one that is refused.
    probability = change.nan_to_num(-math.inf, posinf=-math.inf).clamp(max=0).exp()
    accepted = _uniform(state.value, generator) < probability
    chosen = _State(
        torch.where(accepted[..., None], moved.noise, state.noise),
        torch.where(accepted, moved.value, state.value),
        torch.where(accepted[..., None], moved.gradient, state.gradient),
    )
    return chosen, probability


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, dtype=torch.float64).to(like.device)


def _annealed(log_weights: Tensor, acceptance: list[float], *, sign: int) -> Annealed:
    mean = (sign * log_weights).logsumexp(0) - math.log(len(log_weights))
    share = sum(acceptance) / len(acceptance) if acceptance else 1.0
    return Annealed(sign * mean, log_weights, share)


def _check_temperatures(temperatures: int) -> None:
    if temperatures < 1:
        raise DataError(f"A path needs at least one temperature, not {temperatures}.")
