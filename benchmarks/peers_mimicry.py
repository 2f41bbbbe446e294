"""torch-mimicry's SNGAN for 32 x 32 as a peer: its own networks, its own train_step, one batch.

`peer(batch)` gives one step of its training: the discriminator's update, then the generator's
(n_dis = 1), hinge loss, Adam 2e-4 with betas (0, 0.9). The batch is resident, so nothing of its
data loading is timed.

Needs torch-mimicry 0.1.16 (`pip install torch-mimicry`); of what it imports, only torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from diptych.networks import ResidualDecoder, ResidualEncoder

CHANNELS = 64
"""Of both networks: 368,771 parameters in the generator, 264,769 in the discriminator."""


def networks() -> tuple[Any, Any]:
    """Its generator and discriminator, fresh, contiguous, in fp32."""
    sngan = _imported("torch_mimicry.nets.sngan.sngan_32")
    return sngan.SNGANGenerator32(ngf=CHANNELS), sngan.SNGANDiscriminator32(ndf=CHANNELS)


def peer(batch: Tensor) -> Callable[[], None]:
    """One call: both updates of torch-mimicry on the batch, as its own methods take them.

    Args:
        batch: resident images (N, 3, 32, 32) in [-1, 1], float32, NCHW as its loader gives them.
    """
    generator, discriminator = networks()
    log = _imported("torch_mimicry.training.metric_log").MetricLog()
    of_generator, of_discriminator = (
        torch.optim.Adam(net.parameters(), 2e-4, betas=(0.0, 0.9))
        for net in (generator, discriminator)
    )
    real = (batch, torch.zeros(len(batch), dtype=torch.long))

    def one_step() -> None:
        discriminator.train_step(
            real_batch=real, netG=generator, optD=of_discriminator, log_data=log
        )
        generator.train_step(real_batch=real, netD=discriminator, optG=of_generator, log_data=log)

    return one_step


OURS_OF_THEIRS = {
    "generator": {
        "l1.": "0.project.", "block2.": "0.blocks.0.", "block3.": "0.blocks.1.",
        "block4.": "0.blocks.2.", "b5.": "0.norm.", "c5.": "0.last.",
        ".c_sc.": ".shortcut.", ".c1.": ".conv1.", ".c2.": ".conv2.", ".b1.": ".norm1.",
        ".b2.": ".norm2.",
    },
    "discriminator": {
        "block1.": "blocks.0.", "block2.": "blocks.1.", "block3.": "blocks.2.",
        "block4.": "blocks.3.", "l5.": "head.", ".c_sc.": ".shortcut.", ".c1.": ".conv1.",
        ".c2.": ".conv2.", "weight_orig": "weight", "weight_u": "u", "weight_v": "v",
    },
}  # fmt: skip
"""Names of parameters and buffers: theirs, and what stands there in ours."""


def largest_differences(batch: Tensor) -> dict[str, float]:
    """How far our networks are from the peer's with the peer's weights in them, in training.

    Ours upsample bilinearly here, as the peer does. The peer's discriminator rectifies the input
    of a block in place, before the shortcut reads it; in the paper the shortcut reads the input
    itself. For this comparison the peer is told to do so; it costs the same.

    Args:
        batch: images (N, 3, 32, 32) in [-1, 1].
    """
    ours: dict[str, nn.Module] = {
        "generator": nn.Sequential(
            ResidualDecoder(128, (3, 32, 32), width=CHANNELS, upsampling="bilinear"), nn.Tanh()
        ),
        "discriminator": ResidualEncoder((3, 32, 32), 1, width=CHANNELS),
    }
    inputs = {"generator": torch.randn(len(batch), 128), "discriminator": batch}
    differences = {}
    for name, theirs in zip(ours, networks(), strict=True):
        for module in theirs.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        state = {}
        for key, value in theirs.state_dict().items():
            for old, new in OURS_OF_THEIRS[name].items():
                key = key.replace(old, new)
            state[key] = value
        ours[name].load_state_dict(state)
        with torch.no_grad():
            difference = ours[name](inputs[name]) - theirs(inputs[name])
        differences[name] = float(difference.abs().max())
    return differences


def _imported(name: str) -> Any:
    """A module of torch-mimicry, without what its package imports beside it.

    Its `__init__` files import logging, data sets and metrics, and with them tensorboard and
    torchvision, of which a training step uses nothing. Packages are entered by their paths alone.
    """
    for package in ("torch_mimicry", "torch_mimicry.training"):
        if package not in sys.modules:
            spec = importlib.util.find_spec(package)
            if spec is None or spec.submodule_search_locations is None:
                raise ModuleNotFoundError("the peer is missing: pip install torch-mimicry")
            bare = types.ModuleType(package)
            bare.__path__ = list(spec.submodule_search_locations)
            sys.modules[package] = bare
    return importlib.import_module(name)
