"""KL(q(z|x) || p(z)): in closed form where there is one, else from the sample at hand."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence

__all__ = ["kl_per_dimension", "kl_to_prior"]


def kl_per_dimension(posterior: Distribution, prior: Distribution) -> Tensor | None:
    """The KL of each latent on its own, or None where the pair does not factorise so.

    For a diagonal Gaussian posterior and prior:
    KL_j = log(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2.

    Args:
        posterior: q(z|x), batch shape (N,), event shape (L,).
        prior: p(z), event shape (L,).

    Returns:
        (N, L) in nats, or None.
    """
    if not (isinstance(posterior, Independent) and isinstance(prior, Independent)):
        return None
    q, p = posterior.base_dist, prior.base_dist
    if not (isinstance(q, Normal) and isinstance(p, Normal)):
        return None
    return kl_divergence(q, p)


def kl_to_prior(posterior: Distribution, prior: Distribution, z: Tensor) -> Tensor:
    """KL(q || p) in nats per image.

    Closed form where torch knows one; else log q(z) - log p(z) on the sample the decoder also
    sees, which is unbiased and has the right gradient for mixtures, flows and learned priors.

    Args:
        posterior: q(z|x), batch shape (N,).
        prior: p(z).
        z: a reparameterised sample of the posterior, (N, L).

    Returns:
        (N,) nats.
    """
    per_dimension = kl_per_dimension(posterior, prior)
    if per_dimension is not None:
        return per_dimension.sum(-1)
    try:
        # Expanded, because torch's registry wants equal batch shapes for some pairs.
        return kl_divergence(posterior, prior.expand(posterior.batch_shape))
    except NotImplementedError:
        log_ratio: Tensor = posterior.log_prob(z) - prior.log_prob(z)
        return torch.as_tensor(log_ratio)
