"""Panel 7, copies: whether samples are training items.

No figure here means anything alone: unseen real items are near to training items too, and some
instruments cannot find copies in some data. So each comes with its floor (unseen real items in
place of samples) and its ceiling (planted copies in place of samples).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diptych.data import cache_root
from diptych.errors import DataError
from diptych.evaluation.copies.instruments import FeatureInstruments, ItemInstruments
from diptych.evaluation.copies.kept import Kept, kept_file, read_kept, write_kept
from diptych.evaluation.copies.membership import membership_of_scores
from diptych.evaluation.copies.nearest import checked
from diptych.evaluation.copies.planted import near_copies, noisy_bytes, planted_rows
from diptych.evaluation.extractors.features import Features
from diptych.evaluation.figure import Estimate, Figure, Metric
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.sets import Progress, Sets, content_hash, silent
from diptych.evaluation.streams import stream

__all__ = ["METRICS", "copies_panel"]

DENSITY = ("membership-density-auc", "membership-density-tpr")

METRICS = {
    metric.key: metric
    for metric in (
        Metric("copying-z", "data-copying Z_U", "z-score", "closer", "copies"),
        Metric("copying-ct", "data-copying C_T", "z-score", "closer", "copies"),
        Metric("authenticity", "AuthPct", "percent", "closer", "copies"),
        Metric("likelihood-gap", "FLD-like gap", "nats per item", "closer", "copies"),
        Metric("nearest-ratio", "train/held-out distance", "ratio", "closer", "copies"),
        Metric("nearest-ratio-share", "suspiciously near to training", "share", "lower", "copies"),
        Metric("membership-auc", "membership AUC", "", "closer", "copies"),
        Metric("membership-tpr", "membership TPR at 1 % FPR", "share", "lower", "copies"),
        Metric("membership-density-auc", "membership AUC by log-density", "", "closer", "copies"),
        Metric(
            "membership-density-tpr",
            "membership TPR at 1 % FPR by log-density",
            "share",
            "lower",
            "copies",
        ),
        Metric("exact-duplicates", "exact copies", "share", "lower", "copies"),
        Metric("perceptual-duplicates", "perceptual copies", "share", "lower", "copies"),
    )
}


def copies_panel(
    sets: Sets,
    *,
    described: Sets,
    extractor: Features,
    base: Mapping[str, Any],
    seed: int = 0,
    planted: int | None = None,
    log_density: tuple[Tensor, Tensor] | None = None,
    cache_dir: Path | None = None,
    progress: Progress = silent,
) -> list[Figure]:
    """Measure samples, unseen real items and planted copies against the training set.

    Args:
        sets: the items: images uint8 (N, H, W, C), or points (N, D).
        described: features (N, D) of each set, row for row.
        extractor: what made them.
        base: what all protocols share: the reference, the split, N.
        seed: of everything random.
        planted: how many copies are planted for the ceiling; None takes as many as samples.
        log_density: scores of training and of held-out items, e.g. the model's log p(x) in nats,
            for a second membership test; any number of each.
        cache_dir: where what depends on the real sets alone is kept; by default the floors'
            folder of :func:`cache_root`.
        progress: told how far the work is.

    Returns:
        The figures; none without a training set.

    Raises:
        DataError: shapes that do not fit, or features that are not finite.
    """
    if sets.train is None or described.train is None:
        return []
    features = [described.fake, described.real, described.train]
    checked(*features, *([] if described.floor is None else [described.floor]))
    if len(described.train) != len(sets.train):
        raise DataError(
            f"{len(described.train)} training items were described of {len(sets.train)}; "
            "copies need the features of all, row for row."
        )
    rows = planted_rows(
        len(sets.train),
        len(sets.fake) if planted is None else planted,
        generator=stream(seed, "copies/planted"),
    )
    progress("looking for copies", 0, 4)
    n = min(len(sets.fake), len(sets.real))
    folder = cache_root() / "floors" if cache_dir is None else cache_dir
    path = kept_file(folder, sets, described, seed=seed, n=n, planted=len(rows))
    kept = read_kept(path)
    state = None if kept is None else kept.state
    by_features = FeatureInstruments(described.real, described.train, n=n, seed=seed, kept=state)
    by_items = ItemInstruments(sets.real, sets.train, seed=seed, kept=state)
    progress("looking for copies", 1, 4)
    of_features, of_items = by_features(described.fake), by_items(sets.fake)
    progress("looking for copies", 2, 4)
    if kept is None:
        floors: dict[str, Estimate] = {}
        if sets.floor is not None and described.floor is not None:
            floors = by_features(described.floor) | by_items(sets.floor)
        progress("looking for copies", 3, 4)
        ceilings = _ceilings(sets.train, described.train, rows, by_features, by_items, seed)
        kept = Kept(by_features.state | by_items.state, floors, ceilings)
        write_kept(path, kept)
    if log_density is not None:
        test = membership_of_scores(*log_density, generator=stream(seed, "copies/membership"))
        of_items |= {"membership-density-auc": test.auc, "membership-density-tpr": test.tpr}
    progress("looking for copies", 4, 4)

    shared = {
        **base,
        "n_real": len(sets.real),
        "n_train": len(sets.train),
        "train": content_hash(sets.train)[:16],
    }
    settings = by_features.settings | by_items.settings
    if log_density is not None:
        scores = {"score": "log-density or bound", "items": len(log_density[0]), "seed": seed}
        settings |= dict.fromkeys(DENSITY, scores)
    figures = []
    for key, metric in METRICS.items():
        estimate = of_features.get(key, of_items.get(key))
        if estimate is None:
            continue
        if key == "authenticity" and key not in kept.floors:
            baseline = "Without unseen real items its baseline, far below 100, is not known."
            estimate = replace(estimate, note=baseline, trusted=False)
        floor, ceiling = kept.floors.get(key), kept.ceilings.get(key)
        if floor is not None and ceiling is not None and _overlap(floor, ceiling):
            blind = "Blind here: even planted copies do not stand out from unseen real items."
            estimate = replace(estimate, note=f"{estimate.note} {blind}".strip(), trusted=False)
        by_density = log_density is not None and key in DENSITY
        n_fake = None if by_density else len(sets.fake)
        figures.append(
            Figure.of(
                metric,
                estimate,
                floor=floor,
                ceiling=None if ceiling is None else ceiling.value,
                protocol=Protocol(
                    {
                        **shared,
                        "metric": key,
                        "n_fake": n_fake,
                        "settings": settings.get(key, {}),
                        **({"features": extractor.protocol} if key in of_features else {}),
                    }
                ),
                n_real=len(log_density[1]) if log_density and by_density else len(sets.real),
                n_fake=n_fake,
                note="" if ceiling is None else f"Ceiling: {len(rows)} planted training items.",
                extractor=extractor.name if key in of_features else "",
            )
        )
    return figures


def _overlap(first: Estimate, second: Estimate) -> bool:
    """Whether two intervals share a point; a value without an interval is one of no width."""

    def edges(of: Estimate) -> tuple[float, float]:
        return (
            of.value if of.low is None else of.low,
            of.value if of.high is None else of.high,
        )

    (low, high), (other_low, other_high) = edges(first), edges(second)
    return low <= other_high and other_low <= high


def _ceilings(
    train: Tensor,
    described: Tensor,
    rows: Tensor,
    by_features: FeatureInstruments,
    by_items: ItemInstruments,
    seed: int,
) -> dict[str, Estimate]:
    """Judge planted copies: equal items to find exactly, noisy ones for all other instruments."""
    features = near_copies(described, rows, generator=stream(seed, "copies/noise"))
    items = train[rows]
    if items.dtype != torch.uint8:
        return by_features(features) | by_items(items)
    noisy = noisy_bytes(items, generator=stream(seed, "copies/noise"))
    return by_features(features) | by_items(noisy) | by_items.exact(items)
