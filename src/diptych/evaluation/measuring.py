"""The panels that need sets of items and no model: what a run and two folders have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from diptych.data.dataset import FEWEST_HELD_OUT, Mixture
from diptych.errors import DataError
from diptych.evaluation.blur.panel import METRICS as BLUR
from diptych.evaluation.blur.panel import blur_panel
from diptych.evaluation.collapse.panel import METRICS as COLLAPSE
from diptych.evaluation.collapse.panel import collapse_panel
from diptych.evaluation.copies.panel import METRICS as COPIES
from diptych.evaluation.copies.panel import copies_panel
from diptych.evaluation.density.panel import METRICS as DENSITY
from diptych.evaluation.extractors.choose import describe_cached, make_extractor
from diptych.evaluation.extractors.classifier import ClassifierFeatures
from diptych.evaluation.extractors.features import Features
from diptych.evaluation.extractors.pixels import PixelFeatures
from diptych.evaluation.extractors.resize import RESIZES
from diptych.evaluation.factors.panel import METRICS as FACTORS
from diptych.evaluation.fidelity.panel import METRICS as FIDELITY
from diptych.evaluation.fidelity.panel import fidelity_panel
from diptych.evaluation.figure import Metric
from diptych.evaluation.latent.panel import METRICS as LATENT
from diptych.evaluation.reconstruction.panel import METRICS as RECONSTRUCTION
from diptych.evaluation.results import Notebook
from diptych.evaluation.sets import Sets

__all__ = [
    "EXPENSIVE",
    "all_metrics",
    "check_count",
    "make_extractors",
    "measure_features",
    "measure_pictures",
]

EXPENSIVE = frozenset({"inception", "lite0", "dinov2", "clip"})
"""Extractors that describe tens of images per second on a CPU, not thousands."""


def all_metrics() -> list[Metric]:
    """Every metric of every panel."""
    panels = (FIDELITY, COLLAPSE, BLUR, DENSITY, LATENT, RECONSTRUCTION, COPIES, FACTORS)
    return [metric for panel in panels for metric in panel.values()]


def check_count(n: int | None) -> None:
    """Refuse a number of items that cannot be measured on.

    Raises:
        DataError: saying what is allowed.
    """
    if n is not None and (not isinstance(n, int) or n < FEWEST_HELD_OUT):
        raise DataError(
            f"--n is {n}; it must be a whole number of at least {FEWEST_HELD_OUT} items per set"
        )


def make_extractors(
    names: Sequence[str], *, weights: str | Path | None, **settings: Any
) -> list[Features]:
    """Make several extractors.

    Args:
        names: see `make_extractor`, each once.
        weights: for the first that needs weights; the others find theirs.
        settings: what else `make_extractor` takes.

    Raises:
        DataError: a name is unknown or given twice, or an extractor cannot be made.
    """
    if isinstance(names, str):
        names = [names]
    if settings.get("dtype", "fp32") != "fp32" and "inception" not in names:
        raise DataError(
            f"dtype is {settings['dtype']}, which is a choice of the features inception only; "
            "leave it out, or add --features inception"
        )
    resize = settings.get("resize", "tf1")
    if resize not in RESIZES:
        raise DataError(f"resize is {resize!r}; it must be one of {', '.join(RESIZES)}")
    if len(set(names)) < len(names):
        raise DataError(f"features are named twice: {', '.join(names)}")
    needing = next((name for name in names if name in EXPENSIVE), None)
    if weights is not None and needing is None:
        raise DataError(f"weights were given, but {', '.join(names)} need none")
    return [
        make_extractor(name, weights=weights if name == needing else None, **settings)
        for name in names
    ]


def measure_features(
    notebook: Notebook,
    sets: Sets,
    extractors: Sequence[Features],
    *,
    base: Mapping[str, Any],
    seed: int,
    cache_dir: Path,
    truth: Mixture | None = None,
    class_names: tuple[str, ...] = (),
    posterior: tuple[Tensor, Tensor] | None = None,
    log_density: tuple[Tensor, Tensor] | None = None,
) -> None:
    """Fidelity by every extractor, and collapse and copies by the first that is cheap.

    Copies have to be looked for among all training items: an extractor that would take hours for
    these is replaced there by whitened pixels.

    Args:
        notebook: where the figures go.
        sets: images uint8 (N, H, W, C) or points (N, D).
        extractors: what describes them.
        base: what all protocols share.
        seed: of everything random.
        cache_dir: where features of real sets are kept.
        truth: the mixture the points come from, if it is known.
        class_names: of the classes that a classifier tells apart.
        posterior: means and log-variances (N, L) of q(z|x) for the reference, of a VAE.
        log_density: log p(x) or a bound on it, of training items (M,) and of held-out ones (M,),
            from a model that has one.
    """
    known: dict[str, Sets] = {}  # by the extractor's name: no set passes a network twice
    for extractor in extractors:
        notebook.describe(extractor)
        if notebook.selection.wants("fidelity"):
            described = _described(notebook, sets, extractor, cache_dir)
            known[extractor.name] = described
            _measure_fidelity(notebook, described, sets, extractor, base, seed, cache_dir, truth)
    if not (notebook.selection.wants("collapse") or notebook.selection.wants("copies")):
        return
    cheap = [extractor for extractor in extractors if extractor.name not in EXPENSIVE]
    searcher = cheap[0] if cheap else PixelFeatures(sets.real)
    if not cheap:
        notebook.describe(searcher)
    described = known.get(searcher.name) or _described(notebook, sets, searcher, cache_dir)
    described = _with_training(notebook, described, sets, searcher, cache_dir)
    notebook.measure(
        "collapse",
        lambda: collapse_panel(
            sets,
            described=described,
            extractor=searcher,
            base=base,
            seed=seed,
            truth=truth,
            logits=_logits(sets, searcher),
            class_names=class_names,
            posterior=posterior,
            progress=notebook.progress,
        ),
    )
    notebook.measure(
        "copies",
        lambda: copies_panel(
            sets,
            described=described,
            extractor=searcher,
            base=base,
            seed=seed,
            log_density=log_density,
            progress=notebook.progress,
        ),
    )


def _measure_fidelity(
    notebook: Notebook,
    described: Sets,
    sets: Sets,
    extractor: Features,
    base: Mapping[str, Any],
    seed: int,
    cache_dir: Path,
    truth: Mixture | None,
) -> None:
    logits = _logits(sets, extractor)
    wanted = notebook.selection.within("fidelity")
    if truth is not None:
        # A Gaussian says nothing of a mixture whose modes are counted one by one.
        wanted = frozenset(FIDELITY if wanted is None else wanted) - {"fd", "fd-infinity"}
    notebook.measure(
        "fidelity",
        lambda: fidelity_panel(
            described,
            extractor=extractor,
            base=base,
            seed=seed,
            metrics=wanted,
            fake_logits=None if logits is None else logits.fake,
            floor_logits=None if logits is None else logits.floor,
            cache_dir=cache_dir / "floors",
            progress=notebook.progress,
        ),
    )


def _logits(sets: Sets, extractor: Features) -> Sets | None:
    """Logits of samples, reference and floor, of a classifier that was trained on labels."""
    if isinstance(extractor, ClassifierFeatures) and extractor.protocol["task"] == "labels":
        return replace(sets, train=None).map(extractor.logits)
    return None


def measure_pictures(
    notebook: Notebook, sets: Sets, *, base: Mapping[str, Any], seed: int
) -> None:
    """What is measured on the pixels themselves: blur."""
    notebook.measure(
        "blur", lambda: blur_panel(sets, base=base, seed=seed, progress=notebook.progress)
    )


def _described(notebook: Notebook, sets: Sets, extractor: Features, cache_dir: Path) -> Sets:
    """The features of samples, reference and floor; those of real sets are kept on disk."""
    kept = partial(_kept, notebook, extractor, cache_dir)
    return Sets(
        fake=extractor.features(sets.fake, progress=notebook.progress),
        real=kept(sets.real),
        floor=None if sets.floor is None else kept(sets.floor),
        real_labels=sets.real_labels,
    )


def _with_training(
    notebook: Notebook, described: Sets, sets: Sets, extractor: Features, cache_dir: Path
) -> Sets:
    """The same with the features of training items, among which copies are looked for."""
    if sets.train is None:
        return described
    return replace(described, train=_kept(notebook, extractor, cache_dir, sets.train))


def _kept(notebook: Notebook, extractor: Features, cache_dir: Path, items: Tensor) -> Tensor:
    return describe_cached(extractor, items, cache_dir / "features", notebook.progress)
