"""Objectives as pure functions of tensors: each beside its formula and its paper."""

from diptych.objectives.adversarial import (
    discriminator_loss,
    discriminator_loss_hinge,
    generator_loss_hinge,
    generator_loss_minimax,
    generator_loss_non_saturating,
)
from diptych.objectives.balance import balanced_weight
from diptych.objectives.divergences import kl_per_dimension, kl_to_prior
from diptych.objectives.elbo import bits_per_dimension, free_bits_kl, negative_elbo
from diptych.objectives.penalties import (
    r1_penalty,
    r2_penalty,
    squared_gradient,
    squared_gradient_by_differences,
)
from diptych.objectives.schedules import linear_decay, linear_warmup
from diptych.objectives.terms import Terms

__all__ = [
    "Terms",
    "balanced_weight",
    "bits_per_dimension",
    "discriminator_loss",
    "discriminator_loss_hinge",
    "free_bits_kl",
    "generator_loss_hinge",
    "generator_loss_minimax",
    "generator_loss_non_saturating",
    "kl_per_dimension",
    "kl_to_prior",
    "linear_decay",
    "linear_warmup",
    "negative_elbo",
    "r1_penalty",
    "r2_penalty",
    "squared_gradient",
    "squared_gradient_by_differences",
]
