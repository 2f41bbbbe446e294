"""Batch normalisation over the batch of all workers, not over each worker's share of it.

torch's own SyncBatchNorm computes the same on GPUs only, and has no second derivative.

Source: Ioffe & Szegedy, "Batch normalization: accelerating deep network training by reducing
internal covariate shift", ICML 2015, arXiv 1502.03167.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from diptych.errors import DiptychError
from diptych.workers import mean_over_workers, worker_count

__all__ = ["normalise_over_workers"]


class _OverWorkers(_BatchNorm):
    """torch's layer where one worker has the whole batch; else with the workers' common moments.

    Names in the state dict are torch's own.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) of this worker's share to the same shape."""
        if worker_count() == 1 or not self.training:
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        others = [dim for dim in range(input.dim()) if dim != 1]
        per_channel = [1, -1, *[1] * (input.dim() - 2)]
        x = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
        # Shares are of equal size, so means of shares are means of the batch. The variance is
        # taken about the common mean: the mean of squares would cancel.
        mean = mean_over_workers(x.mean(others)).view(per_channel)
        variance = mean_over_workers((x - mean).square().mean(others)).view(per_channel)
        self._follow(mean.detach().flatten(), variance.detach().flatten(), x)
        normal = (x - mean) * torch.rsqrt(variance + self.eps)
        if self.affine:
            normal = normal * self.weight.view(per_channel) + self.bias.view(per_channel)
        return normal.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, x: Tensor) -> None:
        """Move the running statistics as torch does: the variance without bias."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:  # a plain mean over the batches
            momentum = 1.0 / float(self.num_batches_tracked)
        values = worker_count() * x.numel() // x.shape[1]
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_((variance * (values / (values - 1))).to(self.running_var), momentum)


class _OverWorkers1d(_OverWorkers, nn.BatchNorm1d):
    """For (N, C) and (N, C, L)."""


class _OverWorkers2d(_OverWorkers, nn.BatchNorm2d):
    """For (N, C, H, W)."""


_OF: dict[type[nn.Module], type[_OverWorkers]] = {
    nn.BatchNorm1d: _OverWorkers1d,
    nn.BatchNorm2d: _OverWorkers2d,
}


def normalise_over_workers(module: nn.Module) -> None:
    """Let every batch normalisation inside use the moments of the whole batch.

    The layers stay the objects they are, with their parameters and buffers.

    Args:
        module: a network, or a game of them.

    Raises:
        DiptychError: for a kind of layer that would look at this worker's share only.
    """
    for name, layer in module.named_modules():
        if type(layer) in _OF:
            layer.__class__ = _OF[type(layer)]
        elif isinstance(layer, _BatchNorm) and not isinstance(
            layer, (_OverWorkers, nn.SyncBatchNorm)
        ):
            raise DiptychError(
                f"{name} is a {type(layer).__name__}, which several workers cannot compute over "
                "the whole batch; use BatchNorm1d or BatchNorm2d, or --devices 1"
            )
