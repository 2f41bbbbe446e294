"""Layers whose weight is divided by its largest singular value: spectral normalisation.

W_SN = W / sigma(W), with W as a matrix (outputs, everything else), makes a layer's map Lipschitz
with constant about 1. sigma = u^T W v from one step of the power iteration per training forward,
v <- W^T u / |W^T u|, u <- W v / |W v|, which keeps up with weights that move slowly. u and v are
constants to the graph, so the gradient with respect to W goes through the division:
d sigma / dW = u v^T.

Source: Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018,
arXiv 1802.05957, algorithm 1.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, normalize

__all__ = ["SpectralConv2d", "SpectralLinear"]

_FIRST_ITERATIONS = 15
"""At construction, so that even the first sigma is near the truth."""


class _Spectral(nn.Module):
    """The state and the division, for a layer that has a `weight`."""

    weight: Tensor
    u: Tensor
    v: Tensor

    def _begin(self) -> None:
        matrix = self.weight.detach().flatten(1)
        self.register_buffer("u", normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("v", normalize(torch.randn(matrix.shape[1]), dim=0))
        for _ in range(_FIRST_ITERATIONS):
            self._iterate(matrix)

    def _iterate(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """One step of the power iteration; what it gives is kept and returned."""
        with torch.no_grad():
            v = normalize(matrix.t().mv(self.u), dim=0)
            u = normalize(matrix.mv(v), dim=0)
            # The graph of this forward holds u and v themselves, never the buffers, which the
            # next forward overwrites.
            self.u.copy_(u)
            self.v.copy_(v)
        return u, v

    def normalised_weight(self) -> Tensor:
        """W / sigma in the weight's own precision, also under autocast.

        In training it takes a step of the power iteration; in evaluation u and v are those of
        the last one, so that evaluation changes nothing.
        """
        with torch.autocast(self.weight.device.type, enabled=False):
            matrix = self.weight.flatten(1)
            u, v = self._iterate(matrix) if self.training else (self.u, self.v)
            return self.weight / u.dot(matrix.mv(v))


class SpectralConv2d(_Spectral, nn.Conv2d):
    """A convolution of stride 1 that keeps the size, with a spectrally normalised weight.

    Args:
        before: input channels.
        after: output channels.
        kernel_size: odd.
        gain: of the uniform initialisation of Glorot & Bengio; biases begin at 0.
    """

    def __init__(self, before: int, after: int, kernel_size: int, *, gain: float = 1.0) -> None:
        super().__init__(before, after, kernel_size, padding=kernel_size // 2)
        nn.init.xavier_uniform_(self.weight, gain)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]
        self._begin()

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, H, W)."""
        return conv2d(x, self.normalised_weight(), self.bias, padding=self.padding)


class SpectralLinear(_Spectral, nn.Linear):
    """A linear map with a spectrally normalised weight.

    Args:
        before: input features.
        after: output features.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)
        self._begin()

    def forward(self, x: Tensor) -> Tensor:
        """(N, before) to (N, after)."""
        return linear(x, self.normalised_weight(), self.bias)
