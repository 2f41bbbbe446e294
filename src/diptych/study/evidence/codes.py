"""Codes as the page carries them, and which way a model goes from one to another."""

import base64

import torch
from torch import Tensor

from diptych.models import VAE, Game
from diptych.models.paths import linear_path, spherical_path

__all__ = ["errors_of", "pack", "path_of", "rounded", "searches"]

AT_ONCE = 100
"""Codes that are decoded together."""


def rounded(codes: Tensor) -> Tensor:
    """The codes as the page will have them, through half precision; same type and device."""
    return codes.half().to(codes)


def pack(codes: Tensor) -> str:
    """Codes (N, L) as float16, little endian, base64."""
    block = codes.half().cpu().numpy().astype("<f2").tobytes()
    return base64.b64encode(block).decode("ascii")


def searches(model: Game) -> bool:
    """Whether the model has no encoder, so that codes of images are searched for."""
    return not isinstance(model, VAE)


@torch.inference_mode()
def errors_of(model: Game, codes: Tensor, images: Tensor) -> list[float]:
    """Mean squared error per value of each image against its code, decoded."""
    again = torch.cat([model.decode_mean(part) for part in torch.split(codes, AT_ONCE)])
    errors: list[float] = (again - images).square().flatten(1).mean(1).tolist()
    return errors


def path_of(model: Game, *, seed: int = 0) -> str:
    """Which path the model's own `interpolate` takes: "linear" or "spherical".

    The middle of a way is decoded along both, and the one that is the model's own is taken.
    """
    start, end = model.sample_codes(8, seed=seed).chunk(2)
    own = model.interpolate(start, end, steps=3)[:, 1]

    def distance(path: list[Tensor]) -> float:
        return float((model.decode_path([path[1]])[:, 0] - own).square().sum())

    straight = distance(linear_path(start, end, 3))
    return "linear" if straight <= distance(spherical_path(start, end, 3)) else "spherical"
