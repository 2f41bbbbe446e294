"""The continuous Bernoulli on [0, 1], written in its logit.

With l = log(lambda / (1 - lambda)) the normaliser of Loaiza-Ganem & Cunningham (2019),
C = 2 artanh(1 - 2 lambda) / (1 - 2 lambda), becomes C(l) = l / tanh(l / 2): even in l, smooth, and
equal to 2 at l = 0. Everything below uses that form, so there is no singular branch around
lambda = 0.5 and nothing saturates at large logits, as it does when lambda itself is stored.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

__all__ = ["ContinuousBernoulli"]

# Below these |l| series take over, because the closed forms would divide 0 by 0. Each radius is a
# compromise: the series' error grows with l, the closed forms' cancellation as l shrinks. The
# distribution function and its inverse hardly cancel, so a short series close to 0 is enough.
_SERIES_RADIUS = 0.3
_CDF_SERIES_RADIUS = 0.01


def _split(logits: Tensor, radius: float = _SERIES_RADIUS) -> tuple[Tensor, Tensor, Tensor]:
    """Where the series holds, the logits for it, and logits for the closed form kept off 0.

    `torch.where` sends gradients through both branches: each must see harmless numbers where the
    other one is chosen, else 0 * inf gives NaN.
    """
    small = logits.abs() < radius
    return small, torch.where(small, logits, 0.0), torch.where(small, 1.0, logits)


def _log_normaliser(logits: Tensor) -> Tensor:
    """log C(l) = log(l / tanh(l / 2)) = log|l| + log(1 + e^-|l|) - log(1 - e^-|l|)."""
    small, near, far = _split(logits)
    square = near * near
    series = math.log(2.0) + square * (
        1 / 12 + square * (-7 / 1440 + square * (31 / 90720 - square * 127 / 4838400))
    )
    size = far.abs()
    closed = size.log() + torch.log1p(torch.exp(-size)) - torch.log(-torch.expm1(-size))
    return torch.where(small, series, closed)


class ContinuousBernoulli(Distribution):
    """The density p(x) = C(l) e^{l x} / (1 + e^l) for x in [0, 1].

    It is the correct form of "binary cross-entropy on grey pixels": the same exponent with the
    normaliser that makes it a density.

    Args:
        logits: l, any real tensor; the batch shape is its shape.

    Source: Loaiza-Ganem & Cunningham, "The continuous Bernoulli", NeurIPS 2019, arXiv 1907.06845.
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012 - torch's own convention
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "ContinuousBernoulli":
        """The same distribution with its logits broadcast to `batch_shape`."""
        return ContinuousBernoulli(self.logits.expand(batch_shape), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """E[x] = 1 / (1 - e^-l) - 1 / l, which is 1/2 at l = 0 and strictly inside (0, 1)."""
        small, near, far = _split(self.logits)
        square = near * near
        series = 0.5 + near * (1 / 12 + square * (-1 / 720 + square * (1 / 30240)))
        # For l < 0 use the mirror image: 1 - e^-l overflows there.
        size = far.abs()
        upper = -1.0 / torch.expm1(-size) - 1.0 / size
        return torch.where(small, series, torch.where(far < 0, 1.0 - upper, upper))

    @property
    def variance(self) -> Tensor:
        """Var[x] = 1 / l^2 - e^l / (e^l - 1)^2, which is 1/12 at l = 0."""
        small, near, far = _split(self.logits)
        square = near * near
        series = 1 / 12 + square * (-1 / 240 + square * (1 / 6048 - square / 172800))
        size = far.abs()
        closed = 1.0 / size.square() - torch.exp(-size) / torch.expm1(-size).square()
        return torch.where(small, series, closed)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x) = x l - softplus(l) + log C(l), in nats per element."""
        if self._validate_args:
            self._validate_sample(value)
        return value * self.logits - F.softplus(self.logits) + _log_normaliser(self.logits)

    def cdf(self, value: Tensor) -> Tensor:
        """P(X <= x) = (e^{l x} - 1) / (e^l - 1)."""
        small, near, far = _split(self.logits, _CDF_SERIES_RADIUS)
        series = value + near * value * (value - 1.0) / 2 * (
            1.0 + near * (2.0 * value - 1.0) / 6 + near.square() * value * (value - 1.0) / 12
        )
        # Written in -|l|, so that no exponential overflows, not even in the branch not taken.
        size = far.abs()
        falling = torch.expm1(-size * value) / torch.expm1(-size)
        closed = torch.where(far > 0, torch.exp(size * (value - 1.0)) * falling, falling)
        return torch.where(small, series, closed).clamp(0.0, 1.0)

    def icdf(self, value: Tensor) -> Tensor:
        """The x with P(X <= x) = u: log(1 + u (e^l - 1)) / l."""
        small, near, far = _split(self.logits, _CDF_SERIES_RADIUS)
        spread = value * (1.0 - value)
        series = value + near * spread / 2 * (
            1.0 + near * (1.0 - 2.0 * value) / 3 + near.square() * (1.0 - 6.0 * spread) / 12
        )
        # For l > 0 use the mirror image 1 - icdf(1 - u; -l), whose exponent cannot overflow.
        size = far.abs()
        mirrored = torch.where(far > 0, 1.0 - value, value)
        lower = -torch.log1p(mirrored * torch.expm1(-size)) / size
        closed = torch.where(far > 0, 1.0 - lower, lower)
        return torch.where(small, series, closed).clamp(0.0, 1.0)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Samples `sample_shape + batch_shape` in [0, 1], differentiable in the logits."""
        shape = self._extended_shape(sample_shape)
        uniform = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        # An exact 0 happens in single precision, and its gradient would be 0 * inf.
        return self.icdf(uniform.clamp(min=torch.finfo(uniform.dtype).eps / 2))
