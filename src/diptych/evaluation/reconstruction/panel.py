"""Panel 6, reconstruction: how much of a held-out image survives the way through the model."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.bootstrap import DRAWS, bootstrap_interval
from diptych.evaluation.extractors.features import Features
from diptych.evaluation.fidelity.frechet import frechet_between
from diptych.evaluation.figure import Estimate, Figure, Metric
from diptych.evaluation.lpips import Lpips
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.reconstruction.image_quality import (
    MS_SSIM_WEIGHTS,
    WINDOW,
    ms_ssim,
    ms_ssim_scales,
    ms_ssim_weights,
    mse,
    psnr,
    ssim,
    window_for,
)
from diptych.evaluation.reconstruction.pairs import check_pairs
from diptych.evaluation.sets import Progress, silent

__all__ = ["METRICS", "reconstruction_panel"]

METRICS = {
    metric.key: metric
    for metric in (
        Metric(
            "reconstruction-mse",
            "reconstruction error",
            "mean squared error, pixels in [0, 1]",
            "lower",
            "reconstruction",
        ),
        Metric("reconstruction-psnr", "PSNR", "dB", "higher", "reconstruction"),
        Metric("reconstruction-ssim", "SSIM", "", "higher", "reconstruction"),
        Metric("reconstruction-ms-ssim", "MS-SSIM", "", "higher", "reconstruction"),
        Metric("reconstruction-lpips", "LPIPS", "", "lower", "reconstruction"),
        Metric(
            "reconstruction-fd",
            "reconstruction FD",
            "squared feature units",
            "lower",
            "reconstruction",
        ),
        Metric("inversion-spread", "worst over best restart", "", "lower", "reconstruction"),
    )
}
BEST_PSNR = 58.92
"""dB, of an error of 1/12 squared grey level: what rounding to bytes costs by itself."""
FEWEST = 20
"""Images without which a mean over them says little."""
BLOCK = 64  # images at a time through LPIPS
FOUND = 1e-8
"""Mean squared error, added to both before one restart is divided by another: far under a byte."""

_HOW = {
    "encoder": "By the encoder's mean.",
    "search": "By search for a code, since there is no encoder: a better one may exist.",
}
_SSIM = {"sigma": 1.5, "k1": 0.01, "k2": 0.03, "borders": "inside", "covariance": "biased"}

Comparison = Callable[[Sequence[Tensor], Tensor], list[Tensor]]
"""Several batches of images (N, C, H, W) beside one, to a number for each pair, (N,) per batch."""


def reconstruction_panel(
    images: Tensor,
    again: Tensor,
    *,
    by: Literal["encoder", "search"],
    base: Mapping[str, Any],
    errors_of_restarts: Tensor | None = None,
    extractor: Features | None = None,
    real_features: Tensor | None = None,
    lpips: Lpips | None = None,
    mean_image: Tensor | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Figure]:
    """Measure a model's own version of held-out images against these.

    The ceiling of each figure is what a model would get that answers every image with the mean
    image: the worst that is still sensible. Left out are SSIM for images under 7 pixels a side,
    MS-SSIM under 22, where it would have one scale only, and everything for points.

    Args:
        images: (N, C, H, W), floating, in 0..1, held out from training.
        again: the same shape, what the model made of them; not quantised, and values beyond 0..1
            are taken as they are.
        by: whether codes came from an encoder or from a search, which only bounds the error.
        base: what all protocols share: the reference, the split, N.
        errors_of_restarts: (restarts, N), mean squared errors that the search ended with.
        extractor: makes features for the reconstruction FD; left out without it.
        real_features: (N, D), features of `images`, if they are known already.
        lpips: the perceptual distance; left out without it.
        mean_image: (C, H, W), the mean of the training images; the mean of `images` if None.
        seed: of the intervals' draws.
        progress: told how far the work is.

    Raises:
        DataError: the images do not fit each other, are not in 0..1 or hold NaN.
    """
    if images.ndim != 4:
        return []
    images = images.detach().cpu()
    again = again.detach().to(images)
    check_pairs(images, again)
    shared = {**base, "by": by, "set": "mean over images", "images": len(images)}
    worst = _worst(images, mean_image)
    comparisons = _comparisons(images, lpips)
    figures = []
    for done, (key, (compare, note, parts)) in enumerate(comparisons.items()):
        progress("measuring reconstructions", done, len(comparisons) + 1)
        values, *ceilings = compare([again] if worst is None else [again, worst], images)
        figures.append(
            Figure.of(
                METRICS[key],
                _mean(values, seed),
                ceiling=float(ceilings[0].mean()) if ceilings else None,
                protocol=Protocol.of(metric=key, **shared, **parts),
                n_real=len(images),
                note=" ".join(sentence for sentence in (_HOW[by], note) if sentence),
            )
        )
    progress("measuring reconstructions", len(comparisons), len(comparisons) + 1)
    if extractor is not None and len(images) > 1:
        figures.append(_frechet(images, again, worst, extractor, real_features, shared))
    if errors_of_restarts is not None and len(errors_of_restarts) > 1:
        figures.append(_spread(errors_of_restarts, shared, seed))
    progress("measuring reconstructions", len(comparisons) + 1, len(comparisons) + 1)
    return figures


def _comparisons(
    images: Tensor, lpips: Lpips | None
) -> dict[str, tuple[Comparison, str, Mapping[str, Any]]]:
    """What applies to images of this size, with its note and its part of the protocol."""
    height, width = images.shape[2:]
    found: dict[str, tuple[Comparison, str, Mapping[str, Any]]] = {
        "reconstruction-mse": (_each(mse), "", {}),
        "reconstruction-psnr": (_each(_capped_psnr), "", {"at_most": BEST_PSNR}),
    }
    if window := window_for(height, width):
        found["reconstruction-ssim"] = (
            _each(partial(ssim, window=window)),
            "" if window == WINDOW else f"With a window of {window} pixels instead of {WINDOW}.",
            {**_SSIM, "window": window},
        )
    if (scales := ms_ssim_scales(height, width)) > 1:
        weights = ms_ssim_weights(scales)
        most = len(MS_SSIM_WEIGHTS)
        found["reconstruction-ms-ssim"] = (
            _each(partial(ms_ssim, scales=scales)),
            "" if scales == most else f"Over {scales} scales instead of {most}, for the size.",
            {**_SSIM, "window": WINDOW, "weights": [round(weight, 6) for weight in weights]},
        )
    if lpips is not None:
        found["reconstruction-lpips"] = (partial(_in_blocks, lpips), "", lpips.protocol)
    return found


def _worst(images: Tensor, mean_image: Tensor | None) -> Tensor | None:
    """The mean image in place of every image; None for a single one, which is its own mean."""
    if mean_image is None:
        return None if len(images) < 2 else images.mean(0).expand_as(images)
    if mean_image.shape != images.shape[1:]:
        raise DataError(
            f"The mean image must be {tuple(images.shape[1:])} like the images, not "
            f"{tuple(mean_image.shape)}."
        )
    return mean_image.detach().to(images).expand_as(images)


def _capped_psnr(first: Tensor, second: Tensor) -> Tensor:
    return psnr(first, second).clamp(max=BEST_PSNR)


def _each(compare: Callable[[Tensor, Tensor], Tensor]) -> Comparison:
    return lambda firsts, second: [compare(first, second) for first in firsts]


def _in_blocks(lpips: Lpips, firsts: Sequence[Tensor], second: Tensor) -> list[Tensor]:
    blocks = zip(*(torch.split(images, BLOCK) for images in (second, *firsts)), strict=True)
    with torch.no_grad():
        parts = [lpips.against(block[1:], block[0]) for block in blocks]
    return [torch.cat(values).double().cpu() for values in zip(*parts, strict=True)]


def _mean(values: Tensor, seed: int) -> Estimate:
    return _over_images(lambda rows: values[rows].mean(1), len(values), seed)


def _over_images(statistic: Callable[[Tensor], Tensor], n: int, seed: int) -> Estimate:
    """A statistic of drawn images (B, N) with its interval."""
    value = float(statistic(torch.arange(n)[None]))
    note = "" if n >= FEWEST else f"Only {n} images: not enough to judge."
    if n < 2:
        return Estimate(value, note=note, trusted=False)
    low, high = bootstrap_interval(
        lambda rows: statistic(rows[0]), [n], generator=torch.Generator().manual_seed(seed)
    )
    how = f"bootstrap over images, {DRAWS} draws"
    return Estimate(value, low, high, how, note, trusted=not note)


def _frechet(
    images: Tensor,
    again: Tensor,
    worst: Tensor | None,
    extractor: Features,
    real_features: Tensor | None,
    shared: Mapping[str, Any],
) -> Figure:
    real = extractor.features(images) if real_features is None else real_features
    key = "reconstruction-fd"
    n, width = real.shape
    few = n < 2 * width
    return Figure.of(
        METRICS[key],
        Estimate(frechet_between(real, extractor.features(again)), trusted=not few),
        # All answers alike are a Gaussian of no width.
        ceiling=None
        if worst is None
        else frechet_between(real, extractor.features(worst[:1]).expand(2, -1)),
        protocol=Protocol.of(metric=key, **shared, features=extractor.protocol),
        n_real=n,
        note="Against the same images, so 0 for a perfect model; samples may come closer to other "
        "real images than reconstructions do."
        + (
            f" N={n} < 2x{width} features: a covariance from so few images is a rough one."
            if few
            else ""
        ),
        extractor=extractor.name,
    )


def _spread(errors: Tensor, shared: Mapping[str, Any], seed: int) -> Figure:
    """How much worse the unluckiest restart is than the luckiest, for the middling image."""
    errors = errors.detach().double().cpu()
    if not bool(errors.isfinite().all()):
        raise DataError("A restart of the search ended with an error that is not a number.")
    ratios = (errors.amax(0) + FOUND) / (errors.amin(0) + FOUND)
    key, restarts = "inversion-spread", len(errors)
    return Figure.of(
        METRICS[key],
        _over_images(lambda rows: ratios[rows].median(1).values, len(ratios), seed),
        protocol=Protocol.of(
            metric=key, **{**shared, "set": "median over images"}, restarts=restarts, added=FOUND
        ),
        n_real=len(ratios),
        note=f"Of {restarts} restarts; 1 says that every search ends alike, and much above it "
        "that a longer search would find better codes.",
    )
