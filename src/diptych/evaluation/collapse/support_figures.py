"""Figures of features: bins that samples miss or crowd, and samples that are nearly the same."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from diptych.evaluation.clustering import k_means
from diptych.evaluation.collapse import bins, birthday
from diptych.evaluation.collapse.metrics import METRICS
from diptych.evaluation.collapse.shares import jensen_shannon_estimate, jensen_shannon_floor
from diptych.evaluation.figure import Estimate, Figure
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.sets import Sets
from diptych.evaluation.streams import stream

__all__ = ["bin_figures", "birthday_figures"]

MOST_BINS = 100
PER_BIN = 20  # items a bin should hold, for z to be normal and the shares to mean something
FEW_BINS = 10
FITTED = 5_000  # items that shape the bins
STEPS = 30  # of Lloyd: bins need not be the best ones, only the same for everyone
BIRTHDAYS = 4_000  # items whose pairs are compared
FEWEST_BIRTHDAYS = 20


def bin_figures(
    described: Sets, common: Mapping[str, Any], name: str, seed: int, *, training: str | None
) -> list[Figure]:
    """NDB and JSD over bins shaped by training items, or by half of the reference.

    `training` names the items behind `described.train`: features may differ in their last bits
    from one machine to the next, and would make protocols differ that do not.
    """
    reference, shaping = described.real, described.train
    if shaping is None:
        # Bins shaped by the very items that are counted would fit these better than any others.
        order = torch.randperm(len(reference), generator=stream(seed, "collapse/halves"))
        first, second = order.to(reference.device).tensor_split(2)
        shaping, reference = reference[first], reference[second]
    n, m = len(reference), len(described.fake)
    k = min(MOST_BINS, min(n, m, len(shaping)) // PER_BIN)
    if k < 2:
        return []
    generator = stream(seed, "collapse/bins")
    some = _some(shaping, FITTED, generator)
    centers = k_means(some, k, generator=generator, steps=STEPS).centers
    real = bins.count_bins(reference, centers)

    def compared(with_items: Tensor) -> tuple[bins.BinComparison, dict[str, Estimate]]:
        fake = bins.count_bins(with_items, centers)
        comparison = bins.compare_bins(real, fake)
        return comparison, {
            "ndb": Estimate(float(comparison.different)),
            "ndb-holm": Estimate(float(comparison.significant)),
            "bin-jsd": jensen_shannon_estimate(real, fake),
        }

    comparison, values = compared(described.fake)
    if comparison.used < 2:
        return []
    floors = {} if described.floor is None else compared(described.floor)[1]
    doubts = [
        f"{k} bins are few: bring more items." if k < FEW_BINS else "",
        "Half of the real set shaped the bins and is counted nowhere."
        if described.train is None
        else "",
    ]
    chance = jensen_shannon_floor(k, n, m)
    notes = {
        "ndb": f"Of {k}; chance alone makes about {bins.LEVEL * k:.1f} differ at 5 %.",
        "ndb-holm": f"Of {k - comparison.thin} tested; chance alone makes one differ in 5 % of "
        "cases.",
        "bin-jsd": f"Chance alone gives {chance:.2g} nats.",
    }
    return [
        Figure.of(
            METRICS[key],
            replace(estimate, trusted=k >= FEW_BINS),
            floor=floors.get(key),
            ceiling=math.log(2) if key == "bin-jsd" else float(k),
            protocol=Protocol.of(
                metric=key,
                **common,
                bins=k,
                steps=STEPS,
                fitted_on="half of real" if described.train is None else "train",
                training=training,
                seed=seed,
            ),
            n_real=n,
            n_fake=m,
            note=" ".join(part for part in (notes[key], *doubts) if part),
            extractor=name,
        )
        for key, estimate in values.items()
    ]


def birthday_figures(
    described: Sets, common: Mapping[str, Any], name: str, seed: int
) -> list[Figure]:
    """The support by near-duplicates; "near" is what it is among the reference."""
    everyone = (described.real, described.fake, described.floor)
    if min(len(items) for items in everyone if items is not None) < FEWEST_BIRTHDAYS:
        return []
    generator = stream(seed, "collapse/birthdays")
    real = _some(described.real, BIRTHDAYS, generator)
    fake = _some(described.fake, BIRTHDAYS, generator)
    distance = birthday.near_duplicate_distance(real)
    estimate = birthday.support_size(birthday.near_pairs(fake, distance))
    floor = None
    if described.floor is not None:
        unseen = _some(described.floor, BIRTHDAYS, generator)
        floor = birthday.support_size(birthday.near_pairs(unseen, distance))
    if distance == 0:
        note = "The real set holds exact duplicates, so that only such count."
        estimate = replace(estimate, trusted=False)
    else:
        note = "Nearly the same: closer than 95 % of the real items come to any other."
    if floor is not None and not floor.trusted:
        note += " The floor, too, is a lower bound."
    return [
        Figure.of(
            METRICS["birthday-support"],
            estimate,
            floor=floor,
            protocol=Protocol.of(
                metric="birthday-support",
                **common,
                quantile=birthday.QUANTILE,
                calibrated_on=len(real),
                seed=seed,
            ),
            n_real=len(real),
            n_fake=len(fake),
            note=note,
            extractor=name,
        )
    ]


def _some(items: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return at most so many items, at random: sets may be sorted by class."""
    if len(items) <= most:
        return items
    return items[torch.randperm(len(items), generator=generator)[:most].to(items.device)]
