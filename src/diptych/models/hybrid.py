"""The hybrid: a VAE whose decoder must also pass a discriminator. Two turns."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from diptych.distributions import Likelihood
from diptych.models.game import Moment, Turn
from diptych.models.judging import Judge, PenaltyForm, logits_of
from diptych.models.vae import VAE
from diptych.objectives import (
    Terms,
    balanced_weight,
    generator_loss_non_saturating,
    linear_warmup,
)
from diptych.workers import standard_noise

__all__ = ["VAEGAN"]


class VAEGAN(VAE):
    """A VAE with a discriminator beside it; whatever can be asked of a VAE can be asked of it.

    The autoencoder lowers negative ELBO + w * -E[log D(decoded)], the discriminator learns to
    tell real images from decoded ones. What is judged are the means of p(x|z), which is what
    samples and reconstructions show.

    It judges as many decoded pictures as there are real ones: one half reconstructions and, by
    default, one half decoded codes of the prior. Reconstructions alone would leave codes that no
    training image has to the decoder's habits, and those are the codes that are sampled.

    The weight follows `balanced_weight` of the objectives: `adversarial_weight` says how hard the
    term pushes the decoder's last layer, the reconstruction's own push being 1. The term is off
    until `adversarial_start`, while the discriminator learns already, and then rises over
    `adversarial_ramp`: a discriminator that knows nothing yet would only add noise.

    Args:
        encoder, decoder, likelihood, event_shape, latent_dim, beta, kl_warmup, free_nats:
            as in `VAE`.
        discriminator: images in [-1, 1] (points: as they are) to logits (N, 1).
        adversarial_weight: the term's push on the decoder's last layer, in parts of the
            reconstruction's; 0 leaves a plain VAE.
        adversarial_cap: the largest weight, in nats of ELBO per nat of the adversarial term and
            per value of an image, because the ELBO is a sum over those. The balance
            amplifies the small gradient of a discriminator gone blind; this bounds it.
        adversarial_start: part of the budget before which the term is off; in [0, 1).
        adversarial_ramp: part of the budget over which it then rises; in [0, 1).
        judged: "both" for reconstructions and decoded prior codes, or "reconstructions".
        r1_gamma, r2_gamma, r1_interval, penalty: of the gradient penalties, see `Judge`.

    Source: Larsen et al., "Autoencoding beyond pixels using a learned similarity metric",
    ICML 2016, arXiv 1512.09300, for the game (there likelihood is measured in the discriminator's
    features; here in pixels, so that the ELBO stays one). Esser et al., CVPR 2021, arXiv
    2012.09841, for the weight and the late start.
    """

    family: ClassVar[Literal["vae", "gan", "hybrid"]] = "hybrid"

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        discriminator: nn.Module,
        *,
        event_shape: tuple[int, ...],
        latent_dim: int,
        beta: float = 1.0,
        kl_warmup: float = 0.0,
        free_nats: float = 0.0,
        adversarial_weight: float = 0.25,
        adversarial_cap: float = 1.0,
        adversarial_start: float = 0.1,
        adversarial_ramp: float = 0.1,
        judged: Literal["both", "reconstructions"] = "both",
        r1_gamma: float = 0.0,
        r2_gamma: float = 0.0,
        r1_interval: int = 1,
        penalty: PenaltyForm = "exact",
    ) -> None:
        super().__init__(
            encoder,
            decoder,
            likelihood,
            event_shape=event_shape,
            latent_dim=latent_dim,
            beta=beta,
            kl_warmup=kl_warmup,
            free_nats=free_nats,
        )
        self.discriminator = discriminator
        self.adversarial_weight = adversarial_weight
        self.adversarial_cap = adversarial_cap
        self.adversarial_start = adversarial_start
        self.adversarial_ramp = adversarial_ramp
        self.judged = judged
        self.judge = Judge(
            r1_gamma=r1_gamma, r2_gamma=r2_gamma, r1_interval=r1_interval, penalty=penalty
        )
        self._kept_fakes: Tensor | None = None

    def _strength(self, progress: float) -> float:
        """How far the term is ramped in, in [0, 1]."""
        if progress < self.adversarial_start or self.adversarial_weight == 0.0:
            return 0.0
        return linear_warmup(progress - self.adversarial_start, self.adversarial_ramp)

    def _scaled(self, images: Tensor) -> Tensor:
        """Images in [0, 1] in the discriminator's range, [-1, 1]; points as they are."""
        return images * 2.0 - 1.0 if self.is_image else images

    def _fakes(self, output: Tensor) -> Tensor:
        """Decoded pictures to be judged, as many as the batch has, in [-1, 1]."""
        if self.judged == "both":
            half = len(output) // 2
            # A pass of its own: batch statistics of the reconstructions stay those of a VAE.
            output = torch.cat([output[:half], self._decoded_noise(output, len(output) - half)])
        return self._scaled(self._likelihood(output).mean)

    def _decoded_noise(self, like: Tensor, count: int) -> Tensor:
        """The decoder's output for codes drawn from the prior, (count, *event)."""
        return self._decoder_output(standard_noise(count, self.latent_dim, like=like))

    def rehearse(self, batch: Tensor) -> None:
        """Encode and decode a batch; and codes of the prior, if those were decoded in training.

        Batch statistics of reconstructions alone are not those under which the discriminator saw
        samples: pictures measured with them are less sharp than the ones it was shown.
        """
        super().rehearse(batch)
        if self.judged == "both":
            self._decoded_noise(batch, len(batch) - len(batch) // 2)

    def _last_layer(self) -> list[nn.Parameter]:
        """The parameters of the last module of the decoder that has any of its own."""
        layers = [list(module.parameters(recurse=False)) for module in self.decoder.modules()]
        return next(layer for layer in reversed(layers) if layer)

    def _adversarial(self, fakes: Tensor) -> tuple[Tensor, Tensor]:
        """-E[log D(fakes)] in nats, and the same with a graph that ends at the fakes.

        Its gradient is taken twice, to be weighed and to be followed; the discriminator's part of
        the chain rule is worked out once: <g, fakes> with g = d loss / d fakes has the same one.
        """
        judged = fakes.detach().requires_grad_(True)
        value = generator_loss_non_saturating(logits_of(self.discriminator, judged))
        (gradient,) = torch.autograd.grad(value, judged)
        followed = (gradient * fakes).sum()
        value = value.detach()
        return value, value + (followed - followed.detach())

    def loss(self, images: Tensor, moment: Moment) -> Terms:
        """The negative ELBO plus w times -E[log D(decoded)], in nats per image."""
        bound, output = self._bound(images, moment)
        strength = self._strength(moment.progress)
        with torch.set_grad_enabled(strength > 0.0):
            fakes = self._fakes(output)
        self._kept_fakes = fakes.detach()
        if strength == 0.0:
            weight = torch.zeros_like(bound.loss)
            return Terms(bound.loss, {**bound.named, "adversarial_weight": weight.detach()})
        adversarial, term = self._adversarial(fakes)
        # The KL does not pass through the decoder: there the bound's gradient is all
        # reconstruction.
        weight = strength * balanced_weight(
            bound.loss,
            term,
            self._last_layer(),
            share=self.adversarial_weight,
            cap=self.adversarial_cap * images[0].numel(),
        )
        named = {
            **bound.named,
            "adversarial": adversarial,
            "adversarial_weight": weight,
        }
        return Terms(bound.loss + weight * term, named)

    def loss_discriminator(self, images: Tensor, moment: Moment) -> Terms:
        """-E[log D(x)] - E[log(1 - D(decoded))], plus penalties where they are due."""
        real, fake = self._scaled(images), self._fakes_to_judge(images)
        return self.judge.terms(self.discriminator, real, fake, step=moment.step)

    def _fakes_to_judge(self, images: Tensor) -> Tensor:
        """What the autoencoder's turn on the same batch decoded: never a path for gradients."""
        if self._kept_fakes is not None:
            kept, self._kept_fakes = self._kept_fakes, None
            return kept
        with torch.no_grad():
            return self._fakes(self._decoder_output(self._draw(self.encode(images))))

    def turns(self) -> tuple[Turn, ...]:
        """The autoencoder against the discriminator as it is, then the discriminator."""
        return (
            Turn(
                name="autoencoder",
                players=("encoder", "decoder", "likelihood"),
                loss=self.loss,
                sentence="encoder and decoder lower the negative ELBO and learn to pass for real",
            ),
            Turn(
                name="discriminator",
                players=("discriminator",),
                loss=self.loss_discriminator,
                sentence="the discriminator learns to tell real images from decoded ones",
            ),
        )
