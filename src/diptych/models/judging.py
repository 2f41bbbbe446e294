"""The discriminator's side of a game: its logits and the loss it lowers."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from diptych.objectives import Terms, discriminator_loss, r1_penalty
from diptych.objectives.precision import at_least_single

__all__ = ["discriminator_terms", "logits_of"]


def logits_of(discriminator: nn.Module, images: Tensor) -> Tensor:
    """D(x) of images in the game's own range, [-1, 1], as logits (N, 1)."""
    return at_least_single(discriminator(images))


def discriminator_terms(
    discriminator: nn.Module,
    real: Tensor,
    fake: Tensor,
    *,
    step: int,
    r1_gamma: float,
    r1_interval: int,
) -> Terms:
    """-E[log D(x)] - E[log(1 - D(fake))], plus R1 on the steps where it is due.

    Args:
        discriminator: images to logits (N, 1).
        real: (N, *event), images in [-1, 1].
        fake: (M, *event), likewise; without a graph, so that nothing reaches who made them.
        step: steps taken before this one.
        r1_gamma: weight of the penalty; 0 turns it off.
        r1_interval: compute it every so many steps, multiplied by as many.

    Returns:
        The loss, with `loss`, `logits_real`, `logits_fake`, and `r1` where it was computed.
    """
    penalise = r1_gamma > 0 and step % r1_interval == 0
    if penalise:
        # The penalty squares a gradient of a gradient: single precision throughout.
        with torch.autocast(real.device.type, enabled=False):
            real = real.detach().requires_grad_(True)
            real_logits = logits_of(discriminator, real)
        fake_logits = logits_of(discriminator, fake)
    elif any(isinstance(module, _BatchNorm) for module in discriminator.modules()):
        real_logits, fake_logits = logits_of(discriminator, real), logits_of(discriminator, fake)
    else:  # one pass, where no image's logit depends on its neighbours
        logits = logits_of(discriminator, torch.cat([real, fake]))
        real_logits, fake_logits = logits[: len(real)], logits[len(real) :]
    loss = discriminator_loss(real_logits, fake_logits)
    named = {
        "loss": loss.detach(),
        "logits_real": real_logits.detach().mean(),
        "logits_fake": fake_logits.detach().mean(),
    }
    if penalise:
        penalty = r1_penalty(real_logits, real, r1_gamma)
        loss = loss + r1_interval * penalty
        named["r1"] = penalty.detach()
    return Terms(loss, named)
