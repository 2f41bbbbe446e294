"""The held-out images that no sample is near to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diptych.data import image_grid, write_png
from diptych.evaluation.copies.nearest import nearest
from diptych.evaluation.fidelity.measures import K_OPEN
from diptych.evaluation.fidelity.neighbours import (
    Balls,
    Containment,
    expected_coverage,
    squared_radii,
)
from diptych.evaluation.fidelity.pairs import prepare, sweep
from diptych.evaluation.sets import Sets

__all__ = ["Neighbourhoods", "missing_evidence"]

SHOWN, COLUMNS = 16, 8


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Every held-out image with the ball that reaches to its fifth nearest held-out neighbour.

    Attributes:
        covered: bool (N,), whether the open ball holds a sample; the mean is the figure coverage.
        reach: float64 (N,), distance to the nearest sample over the ball's radius: how far the
            image is from all samples, measured by how far real images are from each other.
            Infinite for balls of radius 0, unless a sample is identical, which gives 1.
        samples: how many samples there are.
    """

    covered: Tensor
    reach: Tensor
    samples: int

    @classmethod
    def of(cls, real: Tensor, fake: Tensor) -> "Neighbourhoods":
        """From features (N, D) of held-out images, N > 5, and (M, D) of samples."""
        x, y = prepare(real, fake)
        squared = squared_radii(real, K_OPEN)
        counts = Containment(x, y, {"open": Balls(squared, closed=False)}, {})
        sweep(x, y, [counts])
        to_sample = nearest(real, fake)[0][:, 0]
        reach = torch.where((to_sample == 0) & (squared == 0), 1.0, to_sample / squared.sqrt())
        return cls(counts.in_x["open"] > 0, reach, len(fake))


def missing_evidence(sets: Sets, around: Neighbourhoods, folder: Path) -> dict[str, Any]:
    """Write `missing.png` and return the entry `missing` of evidence.json.

    The picture holds the 16 held-out images farthest from any sample, the farthest first; those
    that are not covered before all others.

    Args:
        sets: images uint8 (N, H, W, C).
        around: of the same images, row for row.
        folder: of the picture.
    """
    # An image among its own duplicates has a ball without room: it is counted as the figure
    # counts it, but says nothing of the samples.
    score = torch.where(around.reach.isinf(), 0.0, around.reach)
    order = score.argsort(descending=True, stable=True)
    chosen = order[:SHOWN]
    columns = min(COLUMNS, len(chosen))
    write_png(
        image_grid(sets.real[chosen].numpy(), columns=columns, scale=1), folder / "missing.png"
    )
    return {
        "picture": f"{folder.name}/missing.png",
        "columns": columns,
        "sentence": _sentence(around, len(chosen)),
    }


def _sentence(around: Neighbourhoods, shown: int) -> str:
    total = len(around.covered)
    missing = total - int(around.covered.sum())
    ideal = 1 - expected_coverage(total, around.samples, K_OPEN)
    return (
        f"{missing:,} of {total:,} held-out images ({missing / total:.1%}) have no sample nearer "
        f"than their fifth nearest held-out neighbour, in the classifier's features (coverage "
        f"{1 - missing / total:.1%}); samples of the data's own distribution would leave about "
        f"{ideal:.1%}. Shown are the {shown} images farthest from any sample, the farthest first."
    )
