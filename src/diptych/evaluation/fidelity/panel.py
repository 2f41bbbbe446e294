"""The fidelity panel: every instrument on one set of samples, each beside its floor.

It takes arrays and knows no models. Likelihoods and the like come from whoever holds the model.
"""

import hashlib
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.data.dataset import Mixture
from diptych.errors import DataError
from diptych.evaluation.features import Features
from diptych.evaluation.figure import Better, Figure, protocol_of
from diptych.evaluation.frechet import frechet_between
from diptych.evaluation.modes import REACH, count_modes, high_quality_ceiling, kl_floor
from diptych.evaluation.neighbours import density_coverage, precision_recall
from diptych.evaluation.sharpness import sharpness

__all__ = ["NOT_FID", "measure"]

NOT_FID = (
    "FD (classifier) is a Fréchet distance between features of a small classifier trained on this "
    "data set: it is not FID, which uses the Inception network, and cannot be compared with any "
    "published FID."
)
"""To be printed wherever FD (classifier) is."""

Items = Tensor | NDArray[Any]

# name: (unit, which way is better)
_SCALES: dict[str, tuple[str, Better]] = {
    "FD": ("squared feature units", "lower"),
    "precision": ("share", "higher"),
    "recall": ("share", "higher"),
    "density": ("", "closer"),
    "coverage": ("share", "higher"),
    "sharpness ratio": ("", "closer"),
    "modes found": ("modes", "higher"),
    "high-quality share": ("share", "closer"),
    "mode KL": ("nats", "lower"),
}


def measure(
    samples: Items,
    real: Items,
    floor_real: Items,
    *,
    features: Features,
    truth: Mixture | None = None,
    data_kind: Literal["images", "points"],
    seed: int = 0,
) -> list[Figure]:
    """Measure samples against real data, and unseen real data against the same.

    All three sets are cut to the size N of the smallest, at random but repeatably, since most of
    these figures move with N. The floor of a figure is its value with ``floor_real`` in place of
    ``samples``: what a perfect model would get.

    Args:
        samples: generated images, floating (N, C, H, W) in 0..1 or uint8 (N, H, W, C), or
            points (N, D).
        real: the reference, of the same kind.
        floor_real: real items that are not in ``real``.
        features: what describes an item; :class:`PointFeatures` for points.
        truth: the mixture that points come from, if known: modes are counted then, and FD, which
            sees mean and covariance only, is left out.
        data_kind: decides which instruments apply.
        seed: of the cut.

    Returns:
        FD, precision and recall (k = 3), density and coverage (k = 5). For images also the
        sharpness ratio, unless half of the real ones are flat; for points of known truth modes
        found, high-quality share and mode KL in place of FD.

    Raises:
        DataError: a set is too small for its neighbours (6 items), does not fit the others, or
            holds values that are not finite.
    """
    if data_kind not in ("images", "points"):
        raise DataError(f"The panel measures images or points, not {data_kind!r}.")
    n = min(len(samples), len(real), len(floor_real))
    samples, real, floor_real = (_cut(items, n, seed) for items in (samples, real, floor_real))
    described = features.features(real)
    dimensions = described.shape[1]
    sharp = sharpness(real) if data_kind == "images" else 0.0

    def values(items: Tensor) -> dict[str, float]:
        seen = features.features(items)
        pr, dc = precision_recall(described, seen), density_coverage(described, seen)
        found = {
            "precision": pr.precision,
            "recall": pr.recall,
            "density": dc.density,
            "coverage": dc.coverage,
        }
        if sharp:
            found["sharpness ratio"] = sharpness(items) / sharp
        if truth is None or data_kind == "images":
            return {"FD": frechet_between(described, seen), **found}
        count = count_modes(items, torch.from_numpy(truth.centers), truth.sigma)
        return found | {
            "modes found": float(count.found),
            "high-quality share": count.high_quality,
            "mode KL": count.reverse_kl,
        }

    reference = hashlib.sha256(real.cpu().numpy().tobytes()).hexdigest()
    floors = values(floor_real)
    figures = []
    for name, value in values(samples).items():
        unit, better = _SCALES[name]
        protocol = protocol_of(
            metric=name.replace(" ", "-").lower(),
            features=features.protocol,
            n=n,
            reference=reference,
            truth=None if truth is None else [truth.centers.tolist(), truth.sigma],
        )
        figures.append(
            Figure(
                name=f"FD ({features.name})" if name == "FD" else name,
                value=value,
                unit=unit,
                better=better,
                floor=floors[name],
                n_real=n,
                n_fake=n,
                protocol=protocol,
                note=_note(name, n, dimensions, truth),
            )
        )
    return figures


def _note(name: str, n: int, dimensions: int, truth: Mixture | None) -> str:
    """Return the sentence a reader needs beside this figure, often none."""
    if name == "FD" and n < 2 * dimensions:
        return f"N={n} < 2x{dimensions} features: biased upward; compare only at equal N."
    if name in ("precision", "recall", "density", "coverage") and n < 1000:
        return f"N={n} < 1000: the neighbour balls are coarse; read it beside its floor."
    if name == "sharpness ratio":
        return "Noise reads as sharp: look at the samples too."
    if truth is not None and name == "modes found":
        return f"Of {len(truth.centers)}."
    if truth is not None and name == "high-quality share":
        ceiling = high_quality_ceiling(truth.centers.shape[1])
        return f"Within {REACH:g} sigma of a mode; the truth itself reaches {ceiling:.1%}."
    if truth is not None and name == "mode KL":
        return f"A perfect sampler gets {kl_floor(len(truth.centers), n):.2g} nats on average."
    return ""


def _cut(items: Items, n: int, seed: int) -> Tensor:
    """Return n items in their order, drawn without replacement: sets may be sorted by label."""
    chosen = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))[:n]
    chosen = chosen.sort().values
    if isinstance(items, Tensor):
        return items.detach()[chosen.to(items.device)]
    return torch.from_numpy(np.array(items[chosen.numpy()]))
