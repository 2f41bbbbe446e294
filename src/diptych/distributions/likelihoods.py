"""Likelihoods p(x|z): what turns a decoder's output into a distribution over images.

Each is a module called with the decoder's output (N, *event) and returning a
`torch.distributions.Distribution` whose event is one whole image, so `log_prob(x)` is (N,) in nats
per image, summed over pixels.
"""

import math
from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Laplace, Normal

from diptych.distributions.continuous_bernoulli import ContinuousBernoulli
from diptych.workers import mean_over_workers

__all__ = [
    "BernoulliLikelihood",
    "ContinuousBernoulliLikelihood",
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "Likelihood",
]

# A sigma that is estimated stays above e^-6 = 0.0025, which keeps log p finite when the decoder
# fits a constant pixel exactly.
_LOG_SIGMA_FLOOR = -6.0


class Likelihood(nn.Module):
    """The base: an event shape and the way from decoder outputs to a distribution.

    Args:
        event_shape: (C, H, W) of an image or (D,) of a point.
    """

    density_on_unit_interval: bool
    """True for densities over [0, 1], whose bits per dimension need dequantization (+ 8 bits)."""

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_ndims = len(event_shape)

    @abstractmethod
    def forward(self, output: Tensor) -> Distribution:
        """The likelihood for decoder outputs (N, *event), in single precision or better."""

    def fit(self, output: Tensor, x: Tensor) -> None:
        """Set what is estimated from a training batch rather than by gradient; most need nothing.

        Args:
            output: the decoder's output, (N, *event).
            x: the batch it should explain, (N, *event).
        """

    def _independent(self, base: Distribution) -> Distribution:
        return Independent(base, self.event_ndims, validate_args=False)


class BernoulliLikelihood(Likelihood):
    """Independent pixels in {0, 1}; the output is their logits. For binary data only."""

    density_on_unit_interval = False

    def forward(self, output: Tensor) -> Distribution:
        """Bernoulli(sigmoid(output))."""
        return self._independent(Bernoulli(logits=output, validate_args=False))


class ContinuousBernoulliLikelihood(Likelihood):
    """Independent pixels in [0, 1] under a continuous Bernoulli; the output is its logits."""

    density_on_unit_interval = True

    def forward(self, output: Tensor) -> Distribution:
        """ContinuousBernoulli(output)."""
        return self._independent(ContinuousBernoulli(output, validate_args=False))


class LaplaceLikelihood(Likelihood):
    """Independent Laplace pixels with one fixed scale b: the absolute-error VAE.

    -log p(x|z) = sum |x - m| / b + constant. Its best location m is a median where a Gaussian's is
    a mean, so an uncertain edge stays an edge instead of becoming a grey ramp.

    Args:
        event_shape: (C, H, W) or (D,).
        scale: b, in units of x; > 0.
        bounded_mean: put the location through a sigmoid into (0, 1); off for points.
    """

    def __init__(self, event_shape: tuple[int, ...], *, scale: float, bounded_mean: bool) -> None:
        super().__init__(event_shape)
        self.scale = scale
        self.bounded_mean = bounded_mean
        self.density_on_unit_interval = bounded_mean

    def forward(self, output: Tensor) -> Distribution:
        """Laplace(location(output), b)."""
        location = torch.sigmoid(output) if self.bounded_mean else output
        scale = torch.full_like(location, self.scale)
        return self._independent(Laplace(location, scale, validate_args=False))


class GaussianLikelihood(Likelihood):
    """Independent Gaussian pixels with one shared standard deviation sigma.

    - `fixed`: sigma is a constant. The negative log-likelihood is then
      sum (x - mean)^2 / (2 sigma^2) + constant: **this is the mean-squared-error VAE**, and sigma
      is what its "weight of the reconstruction term" really is.
    - `learned`: log sigma is a parameter, moved by the same gradient as the decoder.
    - `optimal`: sigma^2 is set to the batch's mean squared error, the maximiser in closed form.
      No gradient needs to flow through it: at the maximum the derivative with respect to sigma
      is zero. Evaluation uses the value of the last training batch.

    Args:
        event_shape: (C, H, W) or (D,).
        sigma: the constant for `fixed`, else the value to start from, in units of x; > 0.
        mode: `fixed`, `learned` or `optimal`.
        bounded_mean: put the mean through a sigmoid into (0, 1), as pixels are; off for points.

    Source: Rybkin, Daniilidis & Levine, "Simple and effective VAE training with calibrated
    decoders", ICML 2021, arXiv 2006.13202 (one shared sigma, from the global error).
    """

    log_sigma: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        sigma: float,
        mode: Literal["fixed", "learned", "optimal"],
        bounded_mean: bool,
    ) -> None:
        super().__init__(event_shape)
        self.mode = mode
        self.bounded_mean = bounded_mean
        self.density_on_unit_interval = bounded_mean
        start = torch.tensor(math.log(sigma))
        if mode == "learned":
            self.log_sigma = nn.Parameter(start)
        else:
            self.register_buffer("log_sigma", start)

    def mean(self, output: Tensor) -> Tensor:
        """The mean of the pixels, (N, *event)."""
        return torch.sigmoid(output) if self.bounded_mean else output

    def forward(self, output: Tensor) -> Distribution:
        """N(mean(output), sigma^2)."""
        floored = self.log_sigma.clamp(min=_LOG_SIGMA_FLOOR)
        log_sigma = self.log_sigma if self.mode == "fixed" else floored
        sigma = torch.exp(log_sigma).to(output.dtype)
        mean = self.mean(output)
        return self._independent(Normal(mean, sigma.expand_as(mean), validate_args=False))

    @torch.no_grad()
    def fit(self, output: Tensor, x: Tensor) -> None:
        """For `optimal`, set sigma to the batch's root mean squared error."""
        if self.mode == "learned":
            # Below the floor no gradient would ever lift it again.
            self.log_sigma.clamp_(min=_LOG_SIGMA_FLOOR)
        if self.mode == "optimal":
            error = mean_over_workers((x - self.mean(output)).square().mean()).clamp(min=1e-12)
            self.log_sigma.copy_(0.5 * error.log())
