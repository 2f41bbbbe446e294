"""Panel 2, collapse: modes that are missing, support that is small, latents that are not used."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from diptych.data.dataset import Mixture
from diptych.evaluation.collapse.metrics import METRICS
from diptych.evaluation.collapse.mode_figures import class_figures, mode_figures, stacked_figures
from diptych.evaluation.collapse.posterior_figures import posterior_figures
from diptych.evaluation.collapse.support_figures import bin_figures, birthday_figures
from diptych.evaluation.extractors.features import Features
from diptych.evaluation.figure import Figure
from diptych.evaluation.sets import Progress, Sets, content_hash, silent

__all__ = ["METRICS", "collapse_panel"]


def collapse_panel(
    sets: Sets,
    *,
    described: Sets | None,
    extractor: Features | None = None,
    base: Mapping[str, Any],
    seed: int,
    truth: Mixture | None = None,
    logits: Sets | None = None,
    class_names: tuple[str, ...] = (),
    posterior: tuple[Tensor, Tensor] | None = None,
    progress: Progress = silent,
) -> list[Figure]:
    """Measure what of collapse can be seen with what is given.

    Args:
        sets: images uint8 (N, H, W, C) or points (N, D).
        described: features (N, D) of each set, for bins and birthdays; None leaves these out.
        extractor: what made them, and the logits.
        base: what all protocols share: the reference, the split, N.
        seed: of everything random.
        truth: the mixture that points come from; None leaves the modes out.
        logits: a classifier's logits (N, C) of each set, or (N, 3, C) of stacked images, which
            are counted as equally likely modes; None leaves the classes out.
        class_names: for the names of missing classes.
        posterior: means and log-variances (N, L) of q(z|x) of real items, for a model with the
            prior N(0, I).
        progress: told how far the work is.

    Returns:
        Modes, or classes, then bins, birthdays and the posterior. A figure that cannot be made
        of these items is left out.

    Raises:
        DataError: values that are not finite, or shapes that do not fit.
    """
    measured: list[Figure] = []
    common = dict(base) if extractor is None else {**base, "features": extractor.protocol}
    name = "" if extractor is None else extractor.name
    if truth is not None and sets.fake.ndim == 2:
        measured += mode_figures(sets, truth, base)
    progress("collapse: modes and classes", 1, 4)
    if logits is not None:
        if logits.fake.ndim == 3:
            measured += stacked_figures(logits, common)
        else:
            measured += class_figures(logits, class_names, common)
    progress("collapse: bins", 2, 4)
    if described is not None:
        training = None if sets.train is None else content_hash(sets.train)[:16]
        measured += bin_figures(described, common, name, seed, training=training)
        progress("collapse: near-duplicates", 3, 4)
        measured += birthday_figures(described, common, name, seed)
    if posterior is not None and len(posterior[0]) > 1:
        measured += posterior_figures(*posterior, base, seed)
    progress("collapse", 4, 4)
    return measured
