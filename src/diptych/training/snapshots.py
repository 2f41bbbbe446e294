"""Pictures while training: the same codes each time, drawn at set parts of the budget."""

from pathlib import Path

import torch

from diptych.data.pictures import write_png
from diptych.models import Game
from diptych.models.drawing import picture_of

__all__ = ["Snapshots"]

_AT = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Parts of the budget; the first ones early, because that is when people look."""


class Snapshots:
    """Writes `samples/IMAGES.png`, named by the images seen.

    Args:
        folder: where to write.
        resumed_at: part of the budget already spent; earlier pictures are not drawn again.
    """

    def __init__(self, folder: Path, *, resumed_at: float = 0.0) -> None:
        self._folder = folder
        self._left = [at for at in _AT if at >= resumed_at]

    def due(self, progress: float) -> bool:
        """True once for each mark that progress has passed."""
        passed = [at for at in self._left if at <= progress]
        self._left = self._left[len(passed) :]
        return bool(passed)

    def draw(self, game: Game, *, images_seen: int) -> Path:
        """Sample 64 pictures (or 2,000 points) from fixed codes and write them."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with torch.inference_mode():
            samples = game.sample(64 if game.is_image else 2_000, seed=0)
        path = self._folder / f"{images_seen:012d}.png"
        write_png(picture_of(samples, scale=1), path)
        return path
