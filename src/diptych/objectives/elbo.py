"""The evidence lower bound.

ELBO(x) = E_q(z|x)[log p(x|z)] - KL(q(z|x) || p(z)) <= log p(x), summed over pixels and latents,
averaged over images only: averaging over pixels as well would multiply beta by D/2 unseen.

Source: Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014, arXiv 1312.6114.
"""

import math

from torch import Tensor

from diptych.objectives.terms import Terms

__all__ = ["bits_per_dimension", "free_bits_kl", "negative_elbo"]


def free_bits_kl(kl: Tensor, free_nats: float) -> Tensor:
    """The KL that is optimised under free bits: sum_j max(free_nats, mean_n KL_nj).

    The minimum is taken of the batch mean per latent, so a latent costs nothing until it carries
    `free_nats` on average.

    Args:
        kl: KL of each latent, (N, L), nats.
        free_nats: what each latent may use without cost, nats; 0 gives the plain KL.

    Returns:
        A scalar, nats per image.

    Source: Kingma et al., "Improving variational inference with inverse autoregressive flow",
    NeurIPS 2016, arXiv 1606.04934, appendix C.8.
    """
    return kl.mean(0).clamp(min=free_nats).sum()


def negative_elbo(
    log_likelihood: Tensor, kl: Tensor, *, beta: float = 1.0, free_nats: float = 0.0
) -> Terms:
    """-E[log p(x|z)] + beta KL, in nats per image; what a VAE lowers.

    Args:
        log_likelihood: log p(x|z) of each image at one sample of z, (N,), nats.
        kl: KL(q || p) of each image, (N,), or of each of its latents, (N, L), nats.
        beta: weight of the KL on the summed ELBO, >= 0; 1 is the ELBO itself.
        free_nats: per latent, see `free_bits_kl`; needs kl of shape (N, L) when positive.

    Returns:
        The loss, with named `reconstruction`, `kl`, and their sum `negative_elbo`: always the
        plain ones (beta 1, no free bits), so that runs of different weights can be compared.

    Raises:
        ValueError: if free bits are asked for and kl has no latent dimension.

    Source: beta: Higgins et al., "beta-VAE", ICLR 2017.
    """
    if free_nats > 0 and kl.dim() < 2:
        raise ValueError("free bits are per latent: kl must have shape (N, L), not (N,)")
    reconstruction = -log_likelihood.mean()
    plain_kl = kl.sum() / kl.shape[0]
    weighed_kl = free_bits_kl(kl, free_nats) if free_nats > 0 else plain_kl
    loss = reconstruction + beta * weighed_kl
    named = {
        "negative_elbo": (reconstruction + plain_kl).detach(),
        "reconstruction": reconstruction.detach(),
        "kl": plain_kl.detach(),
    }
    return Terms(loss, named)


def bits_per_dimension(nats: float, dimensions: int, *, dequantized: bool) -> float:
    """Nats per image as bits per dimension: nats / (D ln 2), plus 8 for dequantized bytes.

    A density on [0, 1] describes bytes k after uniform dequantization x = (k + u) / 256; each
    pixel's density is then 256 times its byte's probability, which costs log2(256) = 8 bits.

    Args:
        nats: negative log-likelihood (or its bound) of one image.
        dimensions: D, the number of pixels times channels.
        dequantized: True for a density of dequantized bytes, False for a probability.

    Source: Theis, van den Oord & Bethge, "A note on the evaluation of generative models",
    ICLR 2016, arXiv 1511.01844.
    """
    return nats / (dimensions * math.log(2.0)) + (8.0 if dequantized else 0.0)
