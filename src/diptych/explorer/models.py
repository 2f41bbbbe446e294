"""What the page may ask of a live model, whatever its family."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.data import Data
from diptych.distributions import standard_normal
from diptych.evaluation.latent.usage import latent_usage
from diptych.explorer.studio import Pulse, beating
from diptych.models import Game
from diptych.models.drawing import to_bytes
from diptych.models.paths import linear_path
from diptych.objectives import kl_per_dimension
from diptych.study.pictures import real_items
from diptych.training.batches import images_from_bytes
from diptych.training.run import Run

__all__ = ["PICTURES", "Exhibit", "Found", "Usage"]

PICTURES = 8
"""Held-out pictures shown at once: as many as `diptych reconstruct` shows."""
HELD_OUT = 500
"""Held-out pictures over which the KL of a latent is averaged."""
DECODINGS = 1024
"""Decodings that measuring the movement of latents may cost."""


@dataclass(frozen=True)
class Usage:
    """The latents, most used first."""

    order: tuple[int, ...]
    amounts: tuple[float, ...]
    """One per latent, in the order of the code."""
    unit: str
    sentence: str


@dataclass(frozen=True)
class Found:
    """Codes of pictures, and what became of the pictures."""

    codes: Tensor
    """(N, L)."""
    again: Tensor
    """Their decodings, (N, C, H, W) in [0, 1]."""
    errors: tuple[float, ...]
    """Mean squared error of each, over pixels in [0, 1]."""


@dataclass(frozen=True)
class Exhibit:
    """A run whose model is alive, with the data to choose pictures from.

    All methods touch the model and are meant for the studio's thread alone.
    """

    run: Run
    title: str
    data: Data | None = None
    """Pictures of the model's own shape, or None where there are none."""
    is_own: bool = True
    """Whether the data are those that the run was trained on."""
    given: str | None = None
    """What names the data on the command line, where it was not the run itself."""
    without: str = ""
    """Why there are no data."""

    @property
    def model(self) -> Game:
        """The averaged players, in eval mode."""
        return self.run.model

    @property
    def directory(self) -> Path:
        """The run's directory."""
        return self.run.directory

    @property
    def encodes(self) -> bool:
        """Whether codes are read off an encoder; else they have to be searched for."""
        return callable(getattr(self.model, "encode", None))

    @property
    def most_spread(self) -> float:
        """The largest factor on prior draws: 1 for a GAN's truncation, 2 for a temperature."""
        return 1.0 if self.model.family == "gan" else 2.0

    @cached_property
    def walks_straight(self) -> bool:
        """Whether the model's own way between two codes is the straight line."""
        start, end = torch.split(self.codes(2, 0), 1)
        own = self.model.interpolate(start, end, steps=3)
        straight = self.model.decode_path(linear_path(start, end, 3))
        return bool(torch.allclose(own, straight, atol=1e-5))

    def codes(self, n: int, seed: int) -> Tensor:
        """n codes from the prior, (n, L)."""
        return self.model.sample_codes(n, seed=seed)

    def tensor(self, codes: list[list[float]]) -> Tensor:
        """Codes from the page as the model takes them, (N, L)."""
        return torch.tensor(codes, dtype=torch.float64).to(next(self.model.parameters()))

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (N, L) to images (N, C, H, W) in [0, 1]."""
        return self.model.decode_mean(codes)

    def sample(self, n: int, seed: int, spread: float) -> Tensor:
        """n new images of prior codes times `spread`; with 1 they are `model.sample(n, seed)`.

        Of a VAE this is the temperature, the standard deviation of the draws. Of a GAN it is a
        truncation: codes are drawn toward their mean, 0, as StyleGAN (Karras et al. 2019, arXiv
        1812.04948, appendix B) does it in its own latent space. BigGAN (Brock et al. 2019, arXiv
        1809.11096) instead draws again what lies beyond a threshold; shrinking moves every picture
        smoothly with the slider.
        """
        if spread == 1.0:
            return self.model.sample(n, seed=seed)
        return self.decode(self.codes(n, seed) * spread)

    def path(self, start: Tensor, end: Tensor, steps: int) -> Tensor:
        """The model's own way from one code to another, (steps, C, H, W)."""
        return self.model.interpolate(start, end, steps=steps)[0]

    def pictures(self, page: int) -> tuple[Tensor, tuple[str, ...]]:
        """Eight pictures in [0, 1] with the names of their classes, empty without labels.

        Page 0 holds what `diptych reconstruct` takes; further pages are drawn at random with their
        number as the seed. Of a run's own data only held-out pictures are taken.
        """
        assert self.data is not None
        data, split = self.data, "test" if self.is_own else None
        rows = data.splits["test"] if self.is_own else np.arange(len(data.array))
        count = min(PICTURES, len(rows))
        if page == 0:
            images = real_items(data, count, split="test" if split else None)
            chosen = rows[np.arange(count) * len(rows) // count]
        else:
            chosen = np.random.default_rng(page).choice(rows, count, replace=False)
            images = images_from_bytes(torch.from_numpy(np.asarray(data.array[chosen])))
        if data.labels is None:
            return images, ()
        return images, tuple(data.class_names[label] for label in data.labels[chosen])

    def find(self, images: Tensor, pulse: Pulse) -> Found:
        """The codes that `model.find_codes(images, seed=0)` gives, and their decodings."""
        images = images.to(self.model.device)
        with beating(self.model, pulse):
            codes = self.model.find_codes(images, seed=0)
            again = self.decode(codes)
        errors = (again - images).square().flatten(1).mean(1)
        return Found(codes, again, tuple(errors.tolist()))

    @cached_property
    def usage(self) -> Usage:
        """The latents by what they do, measured once."""
        if self.encodes and self.data is not None:
            kl = self._mean_kl(self.data)
            if kl is not None:
                taken = min(HELD_OUT, len(self.data.splits["test"]))
                return _usage(
                    kl,
                    "nats",
                    f"KL of q(z|x) to the prior, a mean over {taken} held-out pictures",
                )
        latents = self.model.latent_dim
        codes = self.codes(max(1, min(4, DECODINGS // (2 * latents))), 0)
        measured = latent_usage(self.decode, codes)
        movement = torch.zeros(latents) if measured is None else measured.movement
        per_pixel = 100 * movement / math.sqrt(math.prod(self.model.event_shape))
        return _usage(
            per_pixel,
            "% per unit",
            "root mean square change of a pixel for one unit of the latent, in % of its range, "
            f"at {len(codes)} random codes",
        )

    @torch.inference_mode()
    def _mean_kl(self, data: Data) -> Tensor | None:
        encode: Callable[[Tensor], Any] = self.model.encode  # type: ignore[assignment]
        prior = standard_normal(self.model.latent_dim, next(self.model.parameters()))
        images = real_items(data, HELD_OUT).to(self.model.device)
        parts = [kl_per_dimension(encode(batch), prior) for batch in torch.split(images, 100)]
        kept = [part for part in parts if part is not None]
        return torch.cat(kept).mean(0) if len(kept) == len(parts) else None


def _usage(amounts: Tensor, unit: str, sentence: str) -> Usage:
    order = torch.argsort(amounts, descending=True, stable=True)
    return Usage(tuple(int(latent) for latent in order), tuple(amounts.tolist()), unit, sentence)


def as_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 (N, H, W, C) to float (N, C, H, W) in [0, 1], as a run's own data are brought."""
    return images_from_bytes(torch.from_numpy(pixels))


def as_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Float (N, C, H, W) in [0, 1] to uint8 (N, H, W, C)."""
    return to_bytes(images)
