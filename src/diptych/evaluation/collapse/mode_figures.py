"""Figures of modes and classes: which were found among the samples, and how evenly."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from diptych.data.dataset import Mixture
from diptych.evaluation.collapse import labelled, modes
from diptych.evaluation.collapse.metrics import METRICS
from diptych.evaluation.collapse.shares import kl_estimate, kl_floor, share
from diptych.evaluation.figure import Estimate, Figure
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.sets import Sets

__all__ = ["class_figures", "mode_figures", "stacked_figures"]

CONFIDENCE = 0.5  # the least probability with which an item counts for its class
LEAST = 0.1  # of its real share, that a class needs to be found


def mode_figures(sets: Sets, truth: Mixture, base: Mapping[str, Any]) -> list[Figure]:
    """Modes of points drawn from a mixture that is known; real items serve as the floor only."""
    centers = torch.from_numpy(truth.centers)
    total, dimensions = centers.shape

    def values(points: Tensor) -> dict[str, Estimate]:
        return modes.mode_estimates(modes.count_modes(points, centers, truth.sigma))

    ceiling = modes.high_quality_ceiling(dimensions)
    chance = kl_floor(total, len(sets.fake))
    extras: dict[str, tuple[float, str]] = {
        "modes-found": (float(total), f"Of {total}."),
        "high-quality-share": (
            ceiling,
            f"Within {modes.REACH:g} sigma of a mode; the truth itself reaches {ceiling:.1%}.",
        ),
        "mode-kl": (
            math.log(total),
            f"A perfect sampler gets {chance:.2g} nats on average, a single mode "
            f"{math.log(total):.2f}.",
        ),
    }
    floors = {} if sets.floor is None else values(sets.floor)
    return [
        Figure.of(
            METRICS[key],
            estimate,
            floor=floors.get(key),
            ceiling=extras[key][0],
            protocol=Protocol.of(
                metric=key,
                **base,
                truth=[truth.centers.tolist(), truth.sigma],
                reach=modes.REACH,
            ),
            n_fake=len(sets.fake),
            note=extras[key][1],
        )
        for key, estimate in values(sets.fake).items()
    ]


def stacked_figures(logits: Sets, common: Mapping[str, Any]) -> list[Figure]:
    """Modes of stacked images, all equally likely, by the published rule."""

    def values(of: Tensor) -> dict[str, Estimate]:
        count = labelled.stacked_modes(of)
        expected = modes.expected_found(count.total, len(of))
        enough = len(of) >= modes.PER_MODE * count.total
        doubt = "" if enough else f"{len(of)} images are few for {count.total} modes."
        return {
            "modes-found": Estimate(
                float(count.found),
                note=f"Of {count.total}; a perfect sampler would find {expected:.1f}.",
                trusted=enough,
            ),
            "mode-kl": replace(kl_estimate(count.counts, note=doubt), trusted=enough),
        }

    total = int(logits.fake.shape[2] ** logits.fake.shape[1])
    n = len(logits.fake)
    floors = {} if logits.floor is None else values(logits.floor)
    notes = {"mode-kl": f"A perfect sampler gets {kl_floor(total, n):.2g} nats on average."}
    return [
        Figure.of(
            METRICS[key],
            estimate,
            floor=floors.get(key),
            ceiling=float(total) if key == "modes-found" else math.log(total),
            protocol=Protocol.of(metric=key, **common, stacked=True, confidence=0.0),
            n_fake=n,
            note=notes.get(key, ""),
        )
        for key, estimate in values(logits.fake).items()
    ]


def class_figures(
    logits: Sets, class_names: tuple[str, ...], common: Mapping[str, Any]
) -> list[Figure]:
    """Classes that a classifier sees, compared with those it sees among real items.

    Where it is sure of no item, only the share of unsure ones remains.
    """
    sure_of_real = labelled.predicted(logits.real, confidence=CONFIDENCE) >= 0
    accuracy = None
    if logits.real_labels is not None:
        accuracy = labelled.accuracy(logits.real, logits.real_labels)

    def values(of: Tensor) -> dict[str, Estimate]:
        sure = int((labelled.predicted(of, confidence=CONFIDENCE) >= 0).sum())
        unsure = {"unsure-share": share(len(of) - sure, len(of))}
        if not sure or not bool(sure_of_real.any()):
            return unsure
        count = labelled.count_classes(of, logits.real, confidence=CONFIDENCE, least=LEAST)
        return {**_class_estimates(count, class_names, accuracy), **unsure}

    floors = {} if logits.floor is None else values(logits.floor)
    note = "" if accuracy is None else f"The classifier tells {accuracy:.0%} of real items right."
    return [
        Figure.of(
            METRICS[key],
            estimate,
            floor=floors.get(key),
            protocol=Protocol.of(metric=key, **common, confidence=CONFIDENCE, least=LEAST),
            n_real=len(logits.real),
            n_fake=len(logits.fake),
            note=f"No class has a probability of {CONFIDENCE:.0%} or more."
            if key == "unsure-share"
            else note,
        )
        for key, estimate in values(logits.fake).items()
    ]


def _class_estimates(
    count: labelled.ClassCount, class_names: tuple[str, ...], accuracy: float | None
) -> dict[str, Estimate]:
    assert count.reference is not None
    samples, real = int(count.counts.sum()), int(count.reference.sum())
    doubts = []
    if accuracy is not None and accuracy < 0.5:
        doubts.append("The classifier is wrong about most real items.")
    if count.unsure > (1 - modes.FEW) * (samples + count.unsure):
        doubts.append(f"Only {samples} samples look like any class.")
    if samples < modes.PER_MODE * count.total:
        doubts.append(f"{samples} samples are few for {count.total} classes.")
    doubt = " ".join(doubts)
    missing = [
        class_names[place] if place < len(class_names) else str(place)
        for place in count.missing.tolist()
    ]
    lacking = f" Missing: {', '.join(missing[:10])}." if missing else ""
    chance = kl_floor(count.total, samples, real)
    smoothed = " A class without real items has samples; real counts were smoothed."
    found = Estimate(
        float(count.found),
        note=f"Of {count.total}, each with a tenth of its real share or more.{lacking} {doubt}",
        trusted=not doubts,
    )
    kl = kl_estimate(
        count.counts,
        count.reference,
        note=f"Chance alone gives {chance:.2g} nats.{smoothed if count.smoothed else ''} {doubt}",
    )
    return {
        "classes-found": replace(found, note=found.note.strip()),
        "class-kl": replace(kl, note=kl.note.strip(), trusted=not doubts),
    }
