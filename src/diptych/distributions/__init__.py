"""Posteriors, priors and likelihoods as `torch.distributions`: the ELBO is written once."""

from diptych.distributions.continuous_bernoulli import ContinuousBernoulli
from diptych.distributions.gaussian import bounded_log_variance, diagonal_gaussian, standard_normal
from diptych.distributions.likelihoods import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
    Likelihood,
)

__all__ = [
    "BernoulliLikelihood",
    "ContinuousBernoulli",
    "ContinuousBernoulliLikelihood",
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "Likelihood",
    "bounded_log_variance",
    "diagonal_gaussian",
    "standard_normal",
]
