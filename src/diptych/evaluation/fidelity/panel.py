"""Panel 1, fidelity and coverage: how far the generated set is from the real one, and how so."""

from collections.abc import Collection, Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.extractors.features import Features
from diptych.evaluation.fidelity.floors import floor_file, read_floors, write_floors
from diptych.evaluation.fidelity.inception_score_like import inception_score_like
from diptych.evaluation.fidelity.kernels import BANDWIDTH_ITEMS
from diptych.evaluation.fidelity.measures import GROUPS, K_OPEN, K_RIM, Reference
from diptych.evaluation.fidelity.sliced import DIRECTIONS
from diptych.evaluation.fidelity.two_sample import BATCH, HIDDEN, STEPS
from diptych.evaluation.figure import Estimate, Figure, Metric
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.sets import Progress, Sets, silent

__all__ = ["ALIASES", "METRICS", "fidelity_panel"]

METRICS = {
    metric.key: metric
    for metric in (
        Metric("fd", "FD", "squared feature units", "lower", "fidelity"),
        Metric("fd-infinity", "FD-infinity", "squared feature units", "lower", "fidelity"),
        Metric("kid", "KID", "kernel units", "lower", "fidelity"),
        Metric("rbf-mmd", "rbf-MMD²", "kernel units", "lower", "fidelity"),
        Metric("sliced-w2", "sliced W2²", "squared feature units", "lower", "fidelity"),
        Metric("precision", "precision", "share", "higher", "fidelity"),
        Metric("recall", "recall", "share", "higher", "fidelity"),
        Metric("density", "density", "", "closer", "fidelity"),
        Metric("coverage", "coverage", "share", "higher", "fidelity"),
        Metric("class-coverage", "worst class's coverage", "share", "higher", "fidelity"),
        Metric("vendi", "Vendi score", "effective items", "closer", "fidelity"),
        Metric("c2st", "two-sample accuracy", "share", "closer", "fidelity"),
        Metric("one-nn", "1-NN accuracy", "share", "closer", "fidelity"),
        Metric("is-like", "IS-like", "", "higher", "fidelity"),
    )
}

ALIASES: dict[str, frozenset[str]] = {
    "fid": frozenset({"fd"}),
    "fid-infinity": frozenset({"fd-infinity"}),
    "prdc": frozenset({"precision", "recall", "density", "coverage"}),
}
"""Other names under which metrics may be asked for."""

STANDARD = {
    "fd": Metric("fid", "FID", "squared feature units", "lower", "fidelity"),
    "fd-infinity": Metric(
        "fid-infinity", "FID-infinity", "squared feature units", "lower", "fidelity"
    ),
    "kid": METRICS["kid"],
}
"""What three of them are called where the features are those of the literature."""

FEWEST = K_OPEN + 1
COARSE = 1000
"""Items below which neighbour balls are coarse."""
FEW = 200
"""Items below which they say too little to be trusted."""


def fidelity_panel(
    described: Sets,
    *,
    extractor: Features,
    base: Mapping[str, Any],
    seed: int = 0,
    metrics: Collection[str] | None = None,
    fake_logits: Tensor | None = None,
    floor_logits: Tensor | None = None,
    cache_dir: Path | None = None,
    progress: Progress = silent,
) -> list[Figure]:
    """Measure features of samples against those of real data, and unseen real data against these.

    Args:
        described: features (N, D) of each set; numbers of items may differ. With `real_labels`
            coverage is taken class by class too.
        extractor: what made them.
        base: what all protocols share: the reference, the split.
        seed: of everything random.
        metrics: keys of `METRICS` or `ALIASES`; those of other panels are passed over. None
            measures all.
        fake_logits: (N, C), the extractor's classes for the generated items, for the IS-like
            score.
        floor_logits: the same for `described.floor`.
        cache_dir: where floors and the real set's covariances are kept; None keeps none.
        progress: told how far the work is.

    Returns:
        A figure for every metric that applies, in the order of `METRICS`.

    Raises:
        DataError: a set has fewer than 6 items, does not fit the others, or holds values that are
            not finite.
    """
    wanted = _wanted(metrics)
    _check(described)
    floor = described.as_floor()
    real, fake = described.real, described.fake
    reference = Reference(
        real,
        described.real_labels,
        wanted,
        seed=seed,
        size=max(len(real), len(fake)),
        cache_dir=cache_dir,
    )
    protocols = {
        key: Protocol.of(
            **{
                **base,
                "features": extractor.protocol,
                "metric": key,
                "n_real": len(real),
                "n_fake": len(fake),
                "settings": _settings(key, reference, seed),
            }
        )
        for key in METRICS
    }
    path = None if cache_dir is None or floor is None else floor_file(cache_dir, floor)
    known = {} if path is None else read_floors(path)
    floors = {
        key: known[protocols[key].fingerprint]
        for key in wanted
        if protocols[key].fingerprint in known
    }
    missing = wanted - floors.keys() if floor is not None else frozenset()
    groups = [group for group in GROUPS if GROUPS[group] & wanted]
    estimates: dict[str, Estimate] = {}
    for place, group in enumerate(groups):
        progress(f"fidelity: {group}", place, len(groups))
        estimates |= reference.measure(group, fake, wanted)
        if floor is not None:
            ideal = reference.measure(
                group, floor.fake, missing & estimates.keys(), interval=False
            )
            floors |= {key: estimate.value for key, estimate in ideal.items()}
    if "is-like" in wanted and fake_logits is not None:
        estimates["is-like"] = inception_score_like(fake_logits)
        if floor_logits is not None:
            floors["is-like"] = inception_score_like(floor_logits).value
    progress("fidelity", len(groups), len(groups))
    new = {
        protocols[key].fingerprint: floors[key] for key in missing & floors.keys() - {"is-like"}
    }
    if path is not None and new:
        write_floors(path, new)
    return [
        Figure.of(
            _metric(key, extractor.fid_name),
            _believed(key, estimates[key], described),
            protocol=protocols[key],
            floor=floors.get(key),
            n_real=None if key in ("vendi", "is-like") else len(real),
            n_fake=len(fake),
            note=_note(key, described),
            extractor="" if extractor.fid_name and key in STANDARD else extractor.name,
        )
        for key in METRICS
        if key in estimates
    ]


def _wanted(metrics: Collection[str] | None) -> Set[str]:
    if metrics is None:
        return frozenset(METRICS)
    asked = {key for name in metrics for key in ALIASES.get(name, frozenset({name}))}
    return frozenset(asked & METRICS.keys())


def _metric(key: str, fid_name: str) -> Metric:
    """The metric, under the literature's name where the features are the literature's."""
    if not fid_name or key not in STANDARD:
        return METRICS[key]
    variant = fid_name.removeprefix("FID")  # "" or " (clean)"
    suffix = variant.replace(" (", "-").rstrip(")")
    metric = STANDARD[key]
    return replace(metric, key=metric.key + suffix, name=metric.name + variant)


def _check(described: Sets) -> None:
    sets = {"real": described.real, "generated": described.fake, "floor": described.floor}
    for name, items in sets.items():
        if items is None:
            continue
        if items.ndim != 2 or items.shape[1] != described.real.shape[-1]:
            raise DataError(
                f"Features must be matrices (N, D) of one width; the {name} ones are "
                f"{tuple(items.shape)} and the real ones {tuple(described.real.shape)}."
            )
        if len(items) < FEWEST:
            raise DataError(
                f"The {K_OPEN} nearest neighbours cannot be found among {len(items)} items of the "
                f"{name} set; bring at least {FEWEST}."
            )
        if not bool(items.isfinite().all()):
            raise DataError(
                f"The features of the {name} set hold NaN or infinite values; "
                "look at the items first."
            )


def _settings(key: str, reference: Reference, seed: int) -> dict[str, Any]:
    """What may change the value beside the features and the number of items."""
    products = str(reference.products).removeprefix("torch.")
    settings: dict[str, dict[str, Any]] = {
        "fd": {"dtype": "float64"},
        "fd-infinity": {"dtype": "float64", "shares": ["1/2", "1"], "seed": seed},
        "kid": {"kernel": "(x·y/D + 1)^3", "pairs": "all, unbiased", "products": products},
        "rbf-mmd": {
            "bandwidth": f"median distance of up to {BANDWIDTH_ITEMS} real items",
            "pairs": "all, unbiased",
            "products": products,
        },
        "sliced-w2": {"directions": DIRECTIONS, "seed": seed, "dtype": "float32"},
        "precision": {"k": K_RIM, "balls": "closed"},
        "recall": {"k": K_RIM, "balls": "closed"},
        "density": {"k": K_OPEN, "balls": "open"},
        "coverage": {"k": K_OPEN, "balls": "open"},
        "class-coverage": {"k": K_OPEN, "balls": "open"},
        "vendi": {"kernel": "cosine", "order": 1},
        "c2st": {"hidden": HIDDEN, "steps": STEPS, "batch": BATCH, "test": "half", "seed": seed},
        "one-nn": {"ties": "own set"},
        "is-like": {"splits": 1},
    }
    return settings[key]


def _believed(key: str, estimate: Estimate, described: Sets) -> Estimate:
    """The estimate, not to be trusted where there are too few items for it."""
    n, width = min(len(described.real), len(described.fake)), described.real.shape[1]
    few = (key in ("fd", "vendi") and n < 2 * width) or (
        key in ALIASES["prdc"] | {"one-nn"} and n < FEW
    )
    return replace(estimate, trusted=False) if few else estimate


def _note(key: str, described: Sets) -> str:
    """What a reader needs to know beside this figure at this size, often nothing."""
    n, width = min(len(described.real), len(described.fake)), described.real.shape[1]
    floor = described.floor
    sentences = [_about_size(key, n, width)]
    if floor is not None and len(floor) != len(described.fake):
        sentences.append(f"The floor is that of {len(floor)} items.")
    return " ".join(filter(None, sentences))


def _about_size(key: str, n: int, width: int) -> str:
    if key == "fd" and n < 2 * width:
        return f"N={n} < 2x{width} features: biased upward; compare only at equal N."
    if key in ALIASES["prdc"] and n < COARSE:
        return f"N={n} < {COARSE}: the neighbour balls are coarse; read it beside its floor."
    if key == "vendi" and n < 2 * width:
        return f"N={n} < 2x{width} features: it still grows with N."
    return ""
