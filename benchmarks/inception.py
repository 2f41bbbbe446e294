"""The Inception-v3 of the standard FID, up to its 2048 pooled features, in plain torch.

The network is the TensorFlow graph of December 2015.  Its weights are data, read from a
safetensors file: for every convolution a kernel and the mean, variance and shift of the batch
normalisation after it (the scale is 1).  We fold the normalisation into the kernel when the file
is read, so each layer is one convolution with bias and a ReLU.

Two details differ from the Inception-v3 found in model zoos, and both move the FID: average pools
leave the padding out of their mean, and the last block has a max pool where the others average.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS_NAME = "fid_inception_2015_trunk.safetensors"
INPUT_SIZE = 299
FEATURES = 2048
BN_EPS = 1e-3

Images = npt.NDArray[np.uint8]


def default_weights() -> Path:
    """Return the weight file below the folder that ``DIPTYCH_DATA`` names."""
    root = os.environ.get("DIPTYCH_DATA")
    if not root:
        raise FileNotFoundError(f"give the path of {WEIGHTS_NAME} or set DIPTYCH_DATA")
    return Path(root) / "weights" / WEIGHTS_NAME


def bilinear_matrix(size_in: int, size_out: int) -> Tensor:
    """Return the (size_out, size_in) matrix of a one-dimensional TF1 bilinear resize.

    TF1 puts output pixel ``j`` at input position ``j * size_in / size_out``: no half-pixel shift
    and no antialiasing.
    """
    position = torch.arange(size_out, dtype=torch.float32) * (size_in / size_out)
    left = position.floor().long().clamp_(max=size_in - 1)
    right = (left + 1).clamp_(max=size_in - 1)
    share = position - left
    matrix = torch.zeros(size_out, size_in)
    rows = torch.arange(size_out)
    matrix[rows, left] = 1.0 - share
    matrix[rows, right] += share
    return matrix


def prepare(images: Tensor) -> Tensor:
    """Turn uint8 NHWC images into the network's input: RGB, 299 pixels, scaled to [-1, 1)."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(f"want uint8 NHWC with 1 or 3 channels, got {tuple(images.shape)}")
    x = images.permute(0, 3, 1, 2).float()
    height, width = x.shape[2:]
    if (height, width) != (INPUT_SIZE, INPUT_SIZE):
        rows = bilinear_matrix(height, INPUT_SIZE).to(x.device)
        columns = bilinear_matrix(width, INPUT_SIZE).to(x.device)
        x = rows @ x @ columns.T
    x = ((x - 128.0) / 128.0).expand(-1, 3, -1, -1)
    return x.contiguous(memory_format=torch.channels_last)


class ConvReLU(nn.Module):
    """A convolution, its folded batch normalisation and a ReLU."""

    def __init__(
        self, weights: dict[str, Tensor], name: str, stride: int = 1, same: bool = True
    ) -> None:
        super().__init__()
        kernel = weights[f"{name}.weight"]
        scale = torch.rsqrt(weights[f"{name}.var"] + BN_EPS)
        folded = (kernel * scale[:, None, None, None]).to(memory_format=torch.channels_last)
        self.register_buffer("kernel", folded)
        self.register_buffer("bias", weights[f"{name}.beta"] - weights[f"{name}.mean"] * scale)
        self.kernel: Tensor
        self.bias: Tensor
        self.stride = stride
        self.padding = (kernel.shape[2] // 2, kernel.shape[3] // 2) if same else (0, 0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified convolution of ``x``."""
        return F.conv2d(x, self.kernel, self.bias, self.stride, self.padding).relu_()


class Branches(nn.Module):
    """Parallel chains of layers whose outputs are joined along the channels.

    ``pool`` says what feeds the last chain: the average or the maximum of each 3x3
    neighbourhood, or ``"halve"`` for a strided max pool that is a branch by itself.
    """

    def __init__(self, chains: Sequence[nn.Module], pool: str) -> None:
        super().__init__()
        self.chains = nn.ModuleList(chains)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Return the joined outputs of the chains and the pooling branch."""
        if self.pool == "halve":
            return torch.cat([chain(x) for chain in self.chains] + [F.max_pool2d(x, 3, 2)], 1)
        if self.pool == "mean":
            pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        else:
            pooled = F.max_pool2d(x, 3, 1, 1)
        parts = [chain(x) for chain in self.chains[:-1]]
        return torch.cat([*parts, self.chains[-1](pooled)], 1)


class Fork(nn.Module):
    """A stem whose output goes through two layers side by side."""

    def __init__(self, stem: nn.Module, one: nn.Module, two: nn.Module) -> None:
        super().__init__()
        self.stem, self.one, self.two = stem, one, two

    def forward(self, x: Tensor) -> Tensor:
        """Return both ends, joined along the channels."""
        x = self.stem(x)
        return torch.cat([self.one(x), self.two(x)], 1)


class Inception(nn.Module):
    """Map uint8 NHWC images to 2048 features, as the standard FID does."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()

        def conv(name: str, stride: int = 1, same: bool = True) -> ConvReLU:
            return ConvReLU(weights, name, stride, same)

        def chain(prefix: str, layers: int, halve: bool = False) -> nn.Sequential:
            names = [f"{prefix}.conv"] + [f"{prefix}.conv_{i}" for i in range(1, layers)]
            body = [conv(name) for name in names[: -1 if halve else None]]
            return nn.Sequential(*body, *([conv(names[-1], 2, False)] if halve else []))

        def small(name: str) -> Branches:
            towers = [chain(f"{name}.{t}", n) for t, n in (("tower", 2), ("tower_1", 3))]
            return Branches([conv(f"{name}.conv"), *towers, chain(f"{name}.tower_2", 1)], "mean")

        def long(name: str) -> Branches:
            towers = [chain(f"{name}.{t}", n) for t, n in (("tower", 3), ("tower_1", 5))]
            return Branches([conv(f"{name}.conv"), *towers, chain(f"{name}.tower_2", 1)], "mean")

        def wide(name: str, pool: str) -> Branches:
            first = conv(f"{name}.tower_conv")
            second = nn.Sequential(conv(f"{name}.tower_1_conv"), conv(f"{name}.tower_1_conv_1"))
            forks = [
                Fork(stem, conv(f"{name}.{t}_mixed_conv"), conv(f"{name}.{t}_mixed_conv_1"))
                for t, stem in (("tower", first), ("tower_1", second))
            ]
            ends = [conv(f"{name}.conv"), *forks, conv(f"{name}.tower_2_conv")]
            return Branches(ends, pool)

        self.stem = nn.Sequential(conv("conv", 2, False), conv("conv_1", 1, False), conv("conv_2"))
        self.blocks = nn.Sequential(
            nn.MaxPool2d(3, 2),
            conv("conv_3"),
            conv("conv_4", 1, False),
            nn.MaxPool2d(3, 2),
            small("mixed"),
            small("mixed_1"),
            small("mixed_2"),
            Branches([conv("mixed_3.conv", 2, False), chain("mixed_3.tower", 3, True)], "halve"),
            long("mixed_4"),
            long("mixed_5"),
            long("mixed_6"),
            long("mixed_7"),
            Branches(
                [chain("mixed_8.tower", 2, True), chain("mixed_8.tower_1", 4, True)], "halve"
            ),
            wide("mixed_9", "mean"),
            wide("mixed_10", "max"),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return an (n, 2048) float32 tensor for uint8 NHWC images."""
        maps: Tensor = self.blocks(self.stem(prepare(images)))
        return maps.float().mean((2, 3))


def load(path: Path | None = None) -> Inception:
    """Read the weights and return the network, ready for inference."""
    return Inception(load_file(path or default_weights())).eval()


def features(
    net: Inception, images: Images, *, batch: int = 50, bf16: bool = False, report: bool = False
) -> npt.NDArray[np.float32]:
    """Return the features of uint8 NHWC images, batch by batch.

    ``bf16`` is faster and shifts the FID a little: good for a search, not for a result.
    """
    found = np.empty((len(images), FEATURES), np.float32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for start in range(0, len(images), batch):
            part = torch.from_numpy(images[start : start + batch])
            found[start : start + batch] = net(part).numpy()
            if report and start // batch % 20 == 0:
                print(f"features {start + len(part)}/{len(images)}", flush=True)
    return found
