"""What all network extractors share: colour channels, and one pass over many images."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from diptych.errors import DataError
from diptych.evaluation.sets import Progress

__all__ = ["as_rgb", "channels_last", "in_batches", "on_channels"]


def as_rgb(images: Tensor) -> Tensor:
    """Give images the three channels that a network of photographs expects.

    Args:
        images: (N, C, H, W): grey is repeated, of four channels the last (alpha) is dropped.

    Returns:
        (N, 3, H, W); a view where that is possible.

    Raises:
        DataError: another number of channels.
    """
    channels = images.shape[1]
    if channels == 1:
        return images.expand(-1, 3, -1, -1)
    if channels in (3, 4):
        return images[:, :3]
    raise DataError(
        f"A network of photographs needs images of 1, 3 or 4 channels and was given {channels}; "
        "use the features pixels, wavelets or classifier."
    )


def on_channels(channels: int | None) -> str:
    """Say in a sentence what :func:`as_rgb` does to images; empty if it leaves them alone.

    Args:
        channels: of the images, or None where it is not known yet.
    """
    grey = "Grey images are repeated to three channels, though the network learned from colour."
    alpha = "Alpha is dropped."
    return {None: f"{grey} {alpha}", 1: grey, 4: alpha}.get(channels, "")


def channels_last(network: nn.Module) -> None:
    """Lay out the kernels of a network for images in channels-last order: half as fast again."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def in_batches(
    function: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    size: int,
    what: str,
    progress: Progress,
) -> Tensor:
    """Run a function over images part by part, without gradients.

    Args:
        function: from images (B, C, H, W) to features (B, D).
        images: uint8 (N, C, H, W).
        size: of a part. It bounds memory; features do not depend on it but for rounding.
        what: the name of the work, for ``progress``.
        progress: told after each part.

    Returns:
        float32 (N, D) on the CPU.
    """
    found: list[Tensor] = []
    done = 0
    with torch.inference_mode():
        for part in torch.split(images, size):
            found.append(function(part).float().cpu())
            done += len(part)
            progress(what, done, len(images))
    # Cloned outside, for inference tensors refuse to take part in anything that is trained.
    return torch.cat(found).clone()
