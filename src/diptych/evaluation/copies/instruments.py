"""The instruments of the panel, prepared once and then given samples, real items or copies.

What depends on the real sets alone (the cells, the thresholds, distances between real items) is
made once, so that samples, floor and ceiling are measured with the same ruler; `state` is that
ruler as tensors, and instruments that are given it spare themselves the making.
"""

import math
from collections.abc import Callable, Mapping
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
    fewest_differing,
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
        kept: the state of instruments of the same arguments; None makes it.

    Attributes:
        settings: by key, what the figures depend on beyond the sets.
        state: "real_to_train", float64 (N,), distances; where there is one, "threshold", a
            ratio; where there are cells, "centers", (K, D).
    """

    def __init__(
        self,
        real: Tensor,
        train: Tensor,
        *,
        n: int,
        seed: int,
        kept: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.real, self.train, self.seed = real, train, seed
        cells = min(MOST_CELLS, n // PER_CELL, len(train))
        self.state = self._made(cells) if kept is None else dict(kept)
        self.real_to_train = self.state["real_to_train"]
        self.centers = self.state.get("centers")
        self.threshold = float(self.state["threshold"]) if "threshold" in self.state else None
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

    def _made(self, cells: int) -> dict[str, Tensor]:
        """The state, from the real sets alone."""
        real, train = self.real, self.train
        state = {"real_to_train": nearest(real, train)[0][:, 0]}
        # One cell would be the test over the whole space again.
        if cells > 1:
            generator = stream(self.seed, "copies/cells")
            some = train[torch.randperm(len(train), generator=generator)[:FIT_CELLS]]
            state["centers"] = k_means(some, cells, generator=generator, steps=STEPS).centers
        if len(real) > 1:
            itself = torch.arange(len(real), device=real.device)
            others = nearest(real, real, exclude=itself)[0][:, 0]
            threshold = calibrated_threshold(ratio_of_distances(state["real_to_train"], others))
            # Infinite where the held-out items are identical to each other: no ruler at all.
            if math.isfinite(threshold):
                state["threshold"] = torch.tensor(threshold, dtype=torch.float64)
        return state

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
        kept: the state of instruments of the same arguments; None makes it.

    Attributes:
        settings: by key, what the figures depend on beyond the sets.
        state: of the hash, empty where there is none; see `_CalibratedHash.state`.
    """

    def __init__(
        self,
        real: Tensor,
        train: Tensor,
        *,
        seed: int,
        kept: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.train = train
        self.settings: dict[str, dict[str, Any]] = {}
        if kept is None:
            self.hash = self._chosen(real, seed) if train.ndim == 4 else None
        else:
            self.hash = _CalibratedHash.of_state(kept)
        self.state = {} if self.hash is None else self.hash.state
        if self.hash is not None:
            self.settings["perceptual-duplicates"] = {
                "hash": "dct",
                "frequencies": self.hash.frequencies,
                "hamming": self.hash.hamming,
            }

    def _chosen(self, real: Tensor, seed: int) -> "_CalibratedHash | None":
        """The hash that finds more copies, or None if all images are flat."""
        largest = max(2, min(FREQUENCIES, *self.train.shape[1:3]))
        # Twice as many frequencies tell more images apart, unless these have nothing there.
        tried = [
            found
            for frequencies in dict.fromkeys([largest, max(2, largest // 2)])
            if (found := _CalibratedHash.of(real, self.train, frequencies, seed)) is not None
        ]
        return max(tried, key=lambda found: found.finds, default=None)

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
        unseen: int64, bits from held-out images, flat ones apart, to the nearest training image.
        finds: the share, 0..1, of noisy copies of training images that are found so.
    """

    frequencies: int
    hashes: Tensor
    flat: Tensor
    unseen: Tensor
    finds: float

    @classmethod
    def of(
        cls, real: Tensor, train: Tensor, frequencies: int, seed: int
    ) -> "_CalibratedHash | None":
        """Calibrate on held-out images; None if these or the training images are all flat."""
        base, base_flat = perceptual_hash(train, frequencies=frequencies)
        hashes, flat = perceptual_hash(real, frequencies=frequencies)
        if bool(base_flat.all()) or bool(flat.all()):
            return None
        unseen = fewest_differing(hashes[~flat], base[~base_flat])
        generator = stream(seed, "copies/hash")
        some = (~base_flat).nonzero()[:, 0]
        some = some[torch.randperm(len(some), generator=generator)[:PLANTED]]
        noisy, _ = perceptual_hash(
            noisy_bytes(train[some], generator=generator), frequencies=frequencies
        )
        hamming = calibrated_hamming(unseen, bits=base.shape[1], level=LEVEL)
        finds = float(((noisy ^ base[some]).sum(1) <= hamming).double().mean())
        return cls(frequencies, base, base_flat, unseen, finds)

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> "_CalibratedHash | None":
        """The reverse of `state`; None where there was no hash."""
        if "hashes" not in state:
            return None
        frequencies, finds = state["hash"].tolist()
        return cls(int(frequencies), state["hashes"], state["flat"], state["unseen"], finds)

    @property
    def state(self) -> dict[str, Tensor]:
        """As tensors; "hash" holds the frequencies and the share found."""
        numbers = torch.tensor([self.frequencies, self.finds], dtype=torch.float64)
        return {
            "hash": numbers,
            "hashes": self.hashes,
            "flat": self.flat,
            "unseen": self.unseen,
        }

    @property
    def hamming(self) -> int:
        """Bits that may differ."""
        return calibrated_hamming(self.unseen, bits=self.hashes.shape[1], level=LEVEL)

    @property
    def doubt(self) -> str:
        """A sentence where the hash is not to be trusted in these data, else empty."""
        if float((self.unseen == 0).double().mean()) > LEVEL:
            return "These images are too simple: unseen ones have the hashes of training images."
        if len(self.unseen) < FEWEST_CALIBRATING:
            return f"{len(self.unseen)} held-out images cannot calibrate the bits."
        return ""

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
