"""The instruments of the panel, prepared once and then given samples, real items or copies.

What depends on the real sets alone (the cells, the thresholds, distances between real items) is
made once, so that samples, floor and ceiling are measured with the same ruler.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.clustering import k_means
from diptych.evaluation.copies.authenticity import authenticity_of_nearest
from diptych.evaluation.copies.data_copying import FEWEST, copying_by_cells, z_of_distances
from diptych.evaluation.copies.duplicates import (
    FREQUENCIES,
    calibrated_hamming,
    duplicates_of_hashes,
    exact_duplicates,
    hamming_nearest,
    perceptual_hash,
)
from diptych.evaluation.copies.intervals import share
from diptych.evaluation.copies.likelihood_gap import likelihood_gap
from diptych.evaluation.copies.membership import FALSE, membership
from diptych.evaluation.copies.nearest import nearest
from diptych.evaluation.copies.planted import noisy_bytes
from diptych.evaluation.copies.ratio import (
    LEVEL,
    calibrated_threshold,
    median_ratio,
    ratio_of_distances,
    suspicious_share,
)
from diptych.evaluation.figure import Estimate
from diptych.evaluation.streams import stream

__all__ = ["FeatureInstruments", "ItemInstruments"]

MOST_CELLS = 20
PER_CELL = 50  # generated items that a cell of C_T should hold on average
FIT_CELLS = 5000  # training items that place the cells
STEPS = 20  # of k-means: cells need not be the best ones
PLANTED = 500  # noisy copies that choose the hash
FEWEST_CALIBRATING = 100  # of which one may pass a threshold of 1 %


class FeatureInstruments:
    """Everything that is measured on features.

    Args:
        real: (N, D), held out.
        train: (L, D).
        n: how many items will be judged, for the number of cells.
        seed: of the cells and of every choice of items.

    Attributes:
        settings: by key, what the figures depend on beyond the sets.
    """

    def __init__(self, real: Tensor, train: Tensor, *, n: int, seed: int) -> None:
        self.real, self.train, self.seed = real, train, seed
        cells = min(MOST_CELLS, n // PER_CELL, len(train))
        # One cell would be the test over the whole space again.
        self.centers: Tensor | None = None
        if cells > 1:
            generator = stream(seed, "copies/cells")
            some = train[torch.randperm(len(train), generator=generator)[:FIT_CELLS]]
            self.centers = k_means(some, cells, generator=generator, steps=STEPS).centers
        self.real_to_train = nearest(real, train)[0][:, 0]
        self.threshold: float | None = None
        if len(real) > 1:
            others = nearest(real, real, exclude=torch.arange(len(real), device=real.device))[0][
                :, 0
            ]
            unseen = ratio_of_distances(self.real_to_train, others)
            threshold = calibrated_threshold(unseen)
            # Infinite where the held-out items are identical to each other: no ruler at all.
            self.threshold = threshold if math.isfinite(threshold) else None
        order = torch.randperm(len(train), generator=stream(seed, "copies/gap"))
        self.some_train = train[order[: len(real)].to(train.device)]
        members = {"seed": seed, "members": len(self.some_train)}
        self.settings: dict[str, dict[str, Any]] = {
            "copying-ct": {"cells": cells, "fewest": FEWEST, "fit_on": FIT_CELLS, "seed": seed},
            "likelihood-gap": {**members, "bandwidth": "one, on train and held-out"},
            "nearest-ratio-share": {"level": LEVEL},
            "membership-auc": members,
            "membership-tpr": {**members, "false": FALSE},
        }

    def __call__(self, fake: Tensor) -> dict[str, Estimate]:
        """Return the estimates by key; what does not apply to these sets is left out.

        Args:
            fake: (M, D), whatever is judged.
        """
        to_train, index = (found[:, 0] for found in nearest(fake, self.train))
        ratios = ratio_of_distances(to_train, nearest(fake, self.real)[0][:, 0])
        generator = stream(self.seed, "copies/membership")
        test = membership(fake, self.real, self.train, generator=generator)
        values = {
            "copying-z": z_of_distances(to_train, self.real_to_train),
            "membership-auc": test.auc,
            "membership-tpr": test.tpr,
        }
        if self.centers is not None:
            values["copying-ct"] = copying_by_cells(
                fake, self.real, self.train, self.centers
            ).estimate
        if self.threshold is not None:
            values["nearest-ratio-share"] = self._suspicious(ratios, self.threshold)
        applicable: dict[str, Callable[[], Estimate]] = {
            "authenticity": lambda: authenticity_of_nearest(to_train, index, self.train),
            "likelihood-gap": lambda: self._gap(fake),
            "nearest-ratio": lambda: median_ratio(ratios),
        }
        for key, measure in applicable.items():
            try:
                values[key] = measure()
            except DataError:
                # Too few or identical items: this instrument has no number, the others do.
                continue
        return values

    def _gap(self, fake: Tensor) -> Estimate:
        return likelihood_gap(
            fake, self.real, self.some_train, generator=stream(self.seed, "copies/bandwidth")
        ).estimate

    def _suspicious(self, ratios: Tensor, threshold: float) -> Estimate:
        estimate = suspicious_share(ratios, threshold)
        note = f"Ratio at most {threshold:.3g}, as of {LEVEL:.0%} of held-out items."
        if threshold == 0:
            note = "More than 1 % of the held-out items are also in the training set."
        few = len(self.real) < FEWEST_CALIBRATING
        if few:
            note = f"{len(self.real)} held-out items cannot calibrate a threshold of {LEVEL:.0%}."
        return replace(estimate, note=note, trusted=not few and threshold > 0)


class ItemInstruments:
    """Everything that is measured on the items themselves: images or points.

    Args:
        real: images uint8 (N, H, W, C) or points (N, D), held out.
        train: likewise.
        seed: of the noisy copies that choose the hash.

    Attributes:
        settings: by key, what the figures depend on beyond the sets.
    """

    def __init__(self, real: Tensor, train: Tensor, *, seed: int) -> None:
        self.train = train
        self.settings: dict[str, dict[str, Any]] = {}
        self.hash: _CalibratedHash | None = None
        if train.ndim != 4:
            return
        largest = max(2, min(FREQUENCIES, *train.shape[1:3]))
        # Twice as many frequencies tell more images apart, unless these have nothing there.
        tried = [
            found
            for frequencies in dict.fromkeys([largest, max(2, largest // 2)])
            if (found := _CalibratedHash.of(real, train, frequencies, seed)) is not None
        ]
        if not tried:
            return
        self.hash = max(tried, key=lambda found: found.finds)
        self.settings["perceptual-duplicates"] = {
            "hash": "dct",
            "frequencies": self.hash.frequencies,
            "hamming": self.hash.hamming,
        }

    def __call__(self, fake: Tensor) -> dict[str, Estimate]:
        """Return the estimates by key; perceptual ones for images only.

        Args:
            fake: whatever is judged, of the shape of the training items.
        """
        values = self.exact(fake)
        if self.hash is not None:
            values["perceptual-duplicates"] = self.hash.share(fake)
        return values

    def exact(self, fake: Tensor) -> dict[str, Estimate]:
        """Return the share of exact copies alone."""
        return {"exact-duplicates": share(exact_duplicates(fake, self.train).found)}


@dataclass(frozen=True, eq=False)
class _CalibratedHash:
    """The hashes of the training images, and how many bits may differ in these data.

    Attributes:
        frequencies: of the hash, each way.
        hashes: of the training images.
        flat: which of them are too flat.
        hamming: bits that may differ.
        finds: the share, 0..1, of noisy copies of training images that are found so.
        doubt: a sentence where the hash is not to be trusted in these data, else empty.
    """

    frequencies: int
    hashes: Tensor
    flat: Tensor
    hamming: int
    finds: float
    doubt: str

    @classmethod
    def of(
        cls, real: Tensor, train: Tensor, frequencies: int, seed: int
    ) -> "_CalibratedHash | None":
        """Calibrate on held-out images; None if these or the training images are all flat."""
        base, base_flat = perceptual_hash(train, frequencies=frequencies)
        hashes, flat = perceptual_hash(real, frequencies=frequencies)
        if bool(base_flat.all()) or bool(flat.all()):
            return None
        bits, _ = hamming_nearest(hashes[~flat], base[~base_flat])
        hamming = calibrated_hamming(bits, bits=base.shape[1], level=LEVEL)
        doubt = ""
        if float((bits == 0).double().mean()) > LEVEL:
            doubt = "These images are too simple: unseen ones have the hashes of training images."
        elif len(bits) < FEWEST_CALIBRATING:
            doubt = f"{len(bits)} held-out images cannot calibrate the bits."
        generator = stream(seed, "copies/hash")
        some = (~base_flat).nonzero()[:, 0]
        some = some[torch.randperm(len(some), generator=generator)[:PLANTED]]
        noisy, _ = perceptual_hash(
            noisy_bytes(train[some], generator=generator), frequencies=frequencies
        )
        finds = float(((noisy ^ base[some]).sum(1) <= hamming).double().mean())
        return cls(frequencies, base, base_flat, hamming, finds, doubt)

    def share(self, fake: Tensor) -> Estimate:
        """Return the share of images that have the hash of a training image, nearly."""
        hashes, flat = perceptual_hash(fake, frequencies=self.frequencies)
        found = duplicates_of_hashes(hashes, flat, self.hashes, self.flat, hamming=self.hamming)
        notes = [f"At most {self.hamming} of {hashes.shape[1]} bits differ."]
        if bool(flat.any()):
            notes.append(f"{int(flat.sum())} images are too flat to be compared.")
        if self.doubt:
            notes.append(self.doubt)
        return replace(
            share(found.found),
            note=" ".join(notes),
            trusted=not self.doubt and not bool(flat.all()),
        )
