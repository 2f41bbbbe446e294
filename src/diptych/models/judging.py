"""The discriminator's side of a game: its logits and the loss it lowers."""

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from diptych.errors import PenaltyLost
from diptych.networks.faster import in_one_pass
from diptych.objectives import (
    Terms,
    discriminator_loss,
    squared_gradient,
    squared_gradient_by_differences,
)
from diptych.objectives.precision import at_least_single

__all__ = ["Judge", "PenaltyForm", "logits_of"]

PenaltyForm = Literal["exact", "finite-difference"]


def logits_of(discriminator: nn.Module, images: Tensor) -> Tensor:
    """D(x) of images in the game's own range, [-1, 1], as logits (N, 1)."""
    return at_least_single(discriminator(images))


@dataclass
class Judge:
    """What a discriminator lowers: its loss, plus R1 and R2 on the steps where they are due.

    The penalties are lazy. On every `r1_interval`-th step the loss is

        loss + interval (R1 + R2),   and on the steps between   loss,

    so the mean gradient over an interval is that of loss + R1 + R2, and with interval 1 it is the
    plain form. The optimizer takes exactly one step per step of the game either way. That is why
    nothing corrects Adam here: StyleGAN2 gives the penalty steps of their own, so that its
    optimizer takes k + 1 steps where the loss asks for k, and it scales the rate and both betas
    by k / (k + 1) to undo that. What remains approximate is Adam's second moment, which sees one
    large gradient in place of k small ones, there as here.

    Args:
        loss: of real and of fake logits.
        r1_gamma: weight of the penalty on real images; 0 turns it off.
        r2_gamma: weight of the penalty on fakes; 0 turns it off.
        r1_interval: compute the penalties every so many steps, multiplied by as many.
        penalty: "exact" by double backward, or "finite-difference" without it.

    Source: lazy regularisation: Karras et al., "Analyzing and improving the image quality of
    StyleGAN", CVPR 2020, arXiv 1912.04958, appendix B. The penalties: `objectives/penalties.py`.
    """

    loss: Callable[[Tensor, Tensor], Tensor] = discriminator_loss
    r1_gamma: float = 0.0
    r2_gamma: float = 0.0
    r1_interval: int = 1
    penalty: PenaltyForm = "exact"
    _known: nn.Module | None = field(default=None, init=False, repr=False)
    _known_allows_one_pass: bool = field(default=False, init=False, repr=False)
    _seen_flat: bool = field(default=False, init=False, repr=False)
    _proved: bool = field(default=False, init=False, repr=False)

    def terms(self, discriminator: nn.Module, real: Tensor, fake: Tensor, *, step: int) -> Terms:
        """The terms of the discriminator's turn.

        Args:
            discriminator: images to logits (N, 1).
            real: (N, *event), images in [-1, 1].
            fake: (M, *event), likewise; without a graph, so that nothing reaches who made them.
            step: steps taken before this one.

        Returns:
            The loss, with `loss`, `logits_real`, `logits_fake`, and `r1` and `r2` where they were
            computed.

        Raises:
            PenaltyLost: the first time a penalty is computed, if it has no gradient.
        """
        due = step % self.r1_interval == 0
        gammas = {"r1": self.r1_gamma if due else 0.0, "r2": self.r2_gamma if due else 0.0}
        if any(gammas.values()):
            with _uncompiled():
                real_logits, fake_logits, penalties = self._penalised(
                    discriminator, real, fake, gammas
                )
            self._prove(penalties, discriminator, step)
        else:
            penalties = {}
            real_logits, fake_logits = self._both(discriminator, real, fake)
        plain = loss = self.loss(real_logits, fake_logits)
        for penalty in penalties.values():
            loss = loss + self.r1_interval * penalty
        named = {
            "loss": plain.detach(),
            "logits_real": real_logits.detach().mean(),
            "logits_fake": fake_logits.detach().mean(),
            **{name: penalty.detach() for name, penalty in penalties.items()},
        }
        return Terms(loss, named)

    def _both(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both, in one pass where that changes nothing.

        No image's logit then depends on its neighbours of the other kind. With spectral
        normalisation one pass is also one power iteration per turn.
        """
        if self._known is not discriminator:  # looked at once, not in every step
            self._known = discriminator
            self._known_allows_one_pass = _judges_each_alone(discriminator, real, fake)
        passed = in_one_pass(discriminator, (real, fake)) if self._known_allows_one_pass else None
        if passed is None:
            return logits_of(discriminator, real), logits_of(discriminator, fake)
        return at_least_single(passed[0]), at_least_single(passed[1])

    def _penalised(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor, gammas: Mapping[str, float]
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Logits of both and the penalties. What is penalised passes in single precision.

        The two pass apart: the other side then may stay in half precision, and the second
        derivative is not taken of rows that need none (measured: 1.5 times as fast as one pass).
        """
        sides = {"r1": real, "r2": fake}
        logits: dict[str, Tensor] = {}
        penalties: dict[str, Tensor] = {}
        for name, images in sides.items():
            if gammas[name] == 0.0:
                logits[name] = logits_of(discriminator, images)
                continue
            # A penalty is a gradient of a gradient, or a difference of near values.
            with torch.autocast(images.device.type, enabled=False):
                images = at_least_single(images.detach()).requires_grad_(True)
                logits[name] = logits_of(discriminator, images)
                if self.penalty == "exact":
                    squared = squared_gradient(logits[name], images)
                else:
                    squared = squared_gradient_by_differences(discriminator, logits[name], images)
            penalties[name] = 0.5 * gammas[name] * squared.mean()
        return logits["r1"], logits["r2"], penalties

    def _prove(self, penalties: Mapping[str, Tensor], discriminator: nn.Module, step: int) -> None:
        """Once per run: the penalties must move the discriminator. Compilers have lost that.

        Until a penalty has been seen to do so, this reads values off the device; never after.
        """
        if self._proved:
            return
        moved = [p for p in discriminator.parameters() if p.requires_grad]
        if not moved:
            return
        for name, penalty in penalties.items():
            value = float(penalty.detach())
            if value != value or abs(value) == float("inf"):
                return  # the loop tells that the run diverged, and which term did
            gradients = (
                torch.autograd.grad(penalty, moved, retain_graph=True, allow_unused=True)
                if penalty.requires_grad
                else ()
            )
            if any(bool(g.abs().max() > 0) for g in gradients if g is not None and g.numel()):
                continue
            if value == 0.0 and penalty.requires_grad and not self._seen_flat:
                # A discriminator whose last weights begin at 0 is flat, once.
                self._seen_flat = True
                return
            raise PenaltyLost(
                f"the penalty {name} is {value:.4g} at step {step + 1} and has no gradient with "
                "respect to the discriminator's weights, so it would change nothing; something "
                "dropped its second derivative, such as a compiler around the discriminator: "
                "train with --compile off"
            )
        self._proved = True


def _judges_each_alone(discriminator: nn.Module, real: Tensor, fake: Tensor) -> bool:
    """Whether a real image's logit is the same with fakes beside it, batch normalisation apart.

    It is not for a layer like the minibatch standard deviation. Batch normalisation, which
    `in_one_pass` knows how to keep apart, is in evaluation here.
    """
    modes = [(module, module.training) for module in discriminator.modules()]
    discriminator.eval()
    try:
        with torch.no_grad(), torch.autocast(real.device.type, enabled=False), _uncompiled():
            alone = logits_of(discriminator, real)
            beside = logits_of(discriminator, torch.cat([real, fake]))[: len(real)]
    finally:
        for module, training in modes:
            module.training = training
    scale = 1e-6 + alone.abs().max()
    return bool(((beside - alone).abs() <= 1e-3 * scale).all())


def _uncompiled() -> AbstractContextManager[object]:
    """Run compiled modules as they were written: compilers take no second derivative."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled, and importing it takes seconds
        return nullcontext()
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance
