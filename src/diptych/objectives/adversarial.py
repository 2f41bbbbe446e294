"""The two-player losses of the GAN, on logits.

The discriminator's probability that an image is real is D = sigmoid(logit). With
log D = -softplus(-logit) and log(1 - D) = -softplus(logit) no probability is ever formed, so no
logarithm of a rounded 0 and no epsilon that would stop the gradient.

The hinge losses do not speak of probabilities: there a logit beyond the margin of 1 on its own
side costs the discriminator nothing.

Source: Goodfellow et al., "Generative adversarial nets", NeurIPS 2014, arXiv 1406.2661. Hinge:
Lim & Ye, "Geometric GAN", arXiv 1705.02894; Miyato et al., ICLR 2018, arXiv 1802.05957,
equations 16 and 17.
"""

from torch import Tensor
from torch.nn.functional import relu, softplus

__all__ = [
    "discriminator_loss",
    "discriminator_loss_hinge",
    "generator_loss_hinge",
    "generator_loss_minimax",
    "generator_loss_non_saturating",
]


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))], nats; the discriminator lowers it in both games.

    Args:
        real_logits: of real images, any shape.
        fake_logits: of generated images, detached from the generator.

    Returns:
        A scalar; 2 log 2 = 1.386 when the discriminator cannot tell.
    """
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def generator_loss_minimax(fake_logits: Tensor) -> Tensor:
    """E[log(1 - D(G(z)))], nats: the other side of the same game (equation 1).

    Its gradient with respect to a logit is -D: it fades exactly where the discriminator is sure
    that the image is fake. That is the game's own weakness, kept here to be seen.
    """
    return -softplus(fake_logits).mean()


def generator_loss_non_saturating(fake_logits: Tensor) -> Tensor:
    """-E[log D(G(z))], nats: the same fixed point with a gradient -(1 - D) that stays alive.

    The form the authors recommend in practice (section 3 of the paper).
    """
    return softplus(-fake_logits).mean()


def discriminator_loss_hinge(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]; the discriminator lowers it.

    Args:
        real_logits: of real images, any shape.
        fake_logits: of generated images, detached from the generator.

    Returns:
        A scalar; 2 when the discriminator says 0 to everything, 0 when it separates by a margin.
    """
    return relu(1.0 - real_logits).mean() + relu(1.0 + fake_logits).mean()


def generator_loss_hinge(fake_logits: Tensor) -> Tensor:
    """-E[D(G(z))]: the generator's side of the hinge game, without a margin of its own."""
    return -fake_logits.mean()
