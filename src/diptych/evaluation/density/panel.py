"""Panel 4, density: how probable held-out items are under a model, VAE or GAN."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.density.bidirectional import Bidirectional
from diptych.evaluation.density.elbo import dequantized, negative_elbo_samples
from diptych.evaluation.density.estimates import as_bits, mean_over_items
from diptych.evaluation.density.importance import importance_bound
from diptych.evaluation.density.joint import Joint, gaussian_observation
from diptych.evaluation.density.noise_scale import NoiseScale
from diptych.evaluation.density.of_model import (
    SETTINGS,
    SETTLINGS,
    Effort,
    Settings,
    at_rest,
    both_bounds,
    encoder_posterior,
    generator_of,
    noise_curve,
    prior_of,
)
from diptych.evaluation.figure import Figure, Metric
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.sets import Progress, silent
from diptych.evaluation.streams import stream_seed
from diptych.models import VAE, Game

__all__ = ["METRICS", "Effort", "density_curve", "density_panel"]

METRICS = {
    metric.key: metric
    for metric in (
        Metric("negative-elbo", "negative ELBO", "nats per image", "lower", "density"),
        Metric("bits-per-dimension", "bits per dimension", "bits", "lower", "density"),
        Metric("iwae", "IWAE bound", "nats per image", "higher", "density"),
        Metric("ais", "log p(x) by AIS", "nats per image", "higher", "density"),
        Metric("bdmc-gap", "BDMC gap", "nats per image", "lower", "density"),
        Metric(
            "gaussian-ais",
            "log p(x) by AIS, Gaussian noise",
            "nats per image",
            "higher",
            "density",
        ),
        Metric(
            "gaussian-bdmc-gap", "BDMC gap, Gaussian noise", "nats per image", "lower", "density"
        ),
        Metric("gaussian-bits", "bits per dimension, Gaussian noise", "bits", "lower", "density"),
        Metric("gaussian-sigma", "fitted noise", "units of x", "lower", "density"),
    )
}

LARGEST_GAP_NATS, LARGEST_GAP_BITS = 10.0, 0.02
"""A mean gap is small if below either: nats per image, bits per dimension."""

ELBO = {"negative-elbo", "bits-per-dimension"}
IWAE = {"iwae"}
OWN_AIS = {"ais", "bdmc-gap"}
GAUSSIAN = {key for key in METRICS if key.startswith("gaussian-")}


def density_panel(
    model: Game,
    images: Tensor,
    validation: Tensor,
    *,
    likelihood: Mapping[str, Any] | None,
    base: Mapping[str, Any],
    seed: int = 0,
    effort: Effort = "quick",
    curve: NoiseScale | None = None,
    metrics: Collection[str] | None = None,
    progress: Progress = silent,
) -> list[Figure]:
    """How probable held-out items are under the model.

    Under its own likelihood, for a VAE: the ELBO and bits per dimension on all items, the IWAE
    bound and AIS on the first of them. Under a decoder's mean with Gaussian noise, fitted on
    validation items, for every model: AIS, so that both families stand on one scale. Each AIS
    figure has its BDMC gap on items the model made itself, and is not trusted where that is large.

    Args:
        model: VAE or GAN; its mode and its parameters' `requires_grad` are put back afterwards.
        images: held-out (N, C, H, W) in [0, 1], or points (N, D).
        validation: the same kind, disjoint, for the choice of sigma.
        likelihood: the recipe's, for the protocol; None where there is none.
        base: what all protocols share: the reference, the split.
        seed: of everything random; the ambient stream is not touched.
        effort: "quick" took 76 s for a 28 x 28 GAN of 64 latents on one core; "full" does some
            hundred times the work.
        curve: from `density_curve`, to save its time.
        metrics: keys of `METRICS`; what none of them needs is not computed. None is all.
        progress: told how far the work is.

    Raises:
        DataError: there are no items, they hold NaN, or the model's output does.
    """
    _check(model, images, validation)
    wanted = METRICS.keys() if metrics is None else METRICS.keys() & set(metrics)
    figures: list[Figure] = []
    parts = {**base, "seed": seed, "effort": effort}
    with at_rest(model):
        images, validation = (x.to(model.device) for x in (images, validation))
        if isinstance(model, VAE):
            own = {**parts, "likelihood": None if likelihood is None else dict(likelihood)}
            if wanted & ELBO:
                figures += _bounds(model, images, own, seed)
            if wanted & IWAE:
                figures += _iwae(model, images, own, seed, SETTINGS[effort], progress)
            if wanted & OWN_AIS:
                figures += _own_ais(model, images, own, seed, SETTINGS[effort], progress)
        if wanted & GAUSSIAN:
            if curve is None:
                curve = noise_curve(model, validation, seed, SETTINGS[effort], progress)
            fitted_on = min(len(validation), SETTINGS[effort].validation)
            gaussian = {**parts, "validation": fitted_on}
            figures += _gaussian_ais(
                model, images, gaussian, seed, SETTINGS[effort], curve, progress
            )
    if not model.is_image:
        figures = [replace(f, unit=f.unit.replace("image", "point")) for f in figures]
    return figures


def density_curve(
    model: Game,
    validation: Tensor,
    *,
    seed: int = 0,
    effort: Effort = "quick",
    progress: Progress = silent,
) -> NoiseScale:
    """log p(x) of validation items by the sigma of Gaussian noise around the decoder's mean.

    Args:
        model: VAE or GAN.
        validation: (N, C, H, W) in [0, 1], or points (N, D); as many as the effort asks are used.
        seed: of everything random.
        effort: as in `density_panel`.
        progress: told how far the work is.

    Raises:
        DataError: as `density_panel`.
    """
    _check(model, validation, validation)
    with at_rest(model):
        return noise_curve(model, validation.to(model.device), seed, SETTINGS[effort], progress)


def _bounds(
    model: VAE,
    images: Tensor,
    parts: Mapping[str, Any],
    seed: int,
) -> list[Figure]:
    """The ELBO, and bits per dimension."""
    nats = negative_elbo_samples(model, images, seed=seed)
    common = {**parts, "n": len(images)}
    figures = [
        Figure.of(
            METRICS["negative-elbo"],
            mean_over_items(nats),
            protocol=Protocol.of(metric="negative-elbo", **common),
            n_real=len(images),
            note="An upper bound on -log p(x); compare only under the same likelihood.",
        )
    ]
    if model.is_image:
        continuous = model.likelihood.density_on_unit_interval
        if continuous:
            noisy = dequantized(images, seed=stream_seed(seed, "density/dequantization"))
            nats = negative_elbo_samples(model, noisy, seed=seed)
            note = "A bound, on bytes after uniform dequantization; 8 is knowing nothing."
        else:
            note = "A bound, on binary pixels; 1 is knowing nothing."
        figures.append(
            Figure.of(
                METRICS["bits-per-dimension"],
                as_bits(
                    mean_over_items(nats), math.prod(model.event_shape), dequantized=continuous
                ),
                protocol=Protocol.of(
                    metric="bits-per-dimension",
                    dequantization="uniform" if continuous else None,
                    **common,
                ),
                n_real=len(images),
                note=note,
            )
        )
    return figures


def _iwae(
    model: VAE,
    images: Tensor,
    parts: Mapping[str, Any],
    seed: int,
    settings: Settings,
    progress: Progress,
) -> list[Figure]:
    """The IWAE bound on the first items."""
    some, k = images[: settings.sampled], settings.samples
    joint = Joint(some, model.decode, prior_of(model, some))
    importance = importance_bound(
        joint,
        encoder_posterior(model, some),
        k=k,
        generator=generator_of(seed, 0),
        progress=progress,
    )
    elbo = -float(negative_elbo_samples(model, some, seed=seed).mean())
    return [
        Figure.of(
            METRICS["iwae"],
            mean_over_items(importance.bounds),
            protocol=Protocol.of(metric="iwae", k=k, **parts, n=len(some)),
            n_real=len(some),
            note=f"A lower bound on log p(x) from K={k} samples of the encoder; the ELBO of the "
            f"same items is {elbo:.1f}, the median effective sample size "
            f"{float(importance.effective.median()):.1f}.",
        )
    ]


def _own_ais(
    model: VAE,
    images: Tensor,
    parts: Mapping[str, Any],
    seed: int,
    settings: Settings,
    progress: Progress,
) -> list[Figure]:
    some = images[: settings.images]
    measured = both_bounds(model, model.decode, some, seed, settings, progress)
    parts = {**parts, **_ais_parts(settings)}
    return _pair(model, "", measured, parts, len(some), settings, note="")


def _gaussian_ais(
    model: Game,
    images: Tensor,
    parts: Mapping[str, Any],
    seed: int,
    settings: Settings,
    curve: NoiseScale,
    progress: Progress,
) -> list[Figure]:
    some = images[: settings.images]
    parts = {
        **parts,
        **_ais_parts(settings),
        "likelihood": "Gaussian around the decoder's mean, sigma fitted on validation items",
    }
    if model.is_image:
        some = dequantized(some, seed=stream_seed(seed, "density/dequantization"))
        parts["dequantization"] = "uniform"
    decode = gaussian_observation(model.decode_mean, curve.sigma)
    measured = both_bounds(model, decode, some, seed, settings, progress)
    note = f"Noise of sigma {curve.sigma:.4f}, fitted on validation items."
    if model.is_image:
        note += " On bytes after uniform dequantization."
    figures = _pair(model, "gaussian-", measured, parts, len(some), settings, note=note)
    if model.is_image:
        bits = as_bits(
            mean_over_items(-measured[0]), math.prod(model.event_shape), dequantized=True
        )
        figures.append(
            Figure.of(
                METRICS["gaussian-bits"],
                replace(bits, trusted=figures[0].trusted),
                protocol=Protocol.of(metric="gaussian-bits", **parts, n=len(some)),
                n_real=len(some),
                note="An upper bound, since log p(x) is bounded from below; 8 is knowing nothing. "
                + figures[0].note.removeprefix("A lower bound. "),
            )
        )
    shown = ", ".join(
        f"{s:.4f}: {nats:.1f}" for s, nats in zip(curve.sigmas, curve.nats, strict=True)
    )
    figures.append(
        Figure.of(
            METRICS["gaussian-sigma"],
            curve.sigma,
            protocol=Protocol.of(metric="gaussian-sigma", **parts),
            n_real=parts["validation"],
            note=f"The sigma of largest log p(x) on validation items; the curve: {shown} nats.",
        )
    )
    return figures


def _pair(
    model: Game,
    prefix: str,
    measured: tuple[Tensor, Bidirectional],
    parts: Mapping[str, Any],
    count: int,
    settings: Settings,
    *,
    note: str,
) -> list[Figure]:
    """The figure of the bound, and of the gap that says whether to believe it."""
    lower, both = measured
    gap = mean_over_items(both.gaps)
    bits = gap.value / (math.prod(model.event_shape) * math.log(2))
    trusted = gap.value <= LARGEST_GAP_NATS or (model.is_image and bits <= LARGEST_GAP_BITS)
    sandwich = (
        f"On {settings.simulated} items made by the model log p(x) lies between "
        f"{float(both.lower.bounds.mean()):.1f} and {float(both.upper.bounds.mean()):.1f}, a gap "
        f"of {gap.value:.1f} nats{'' if trusted else ': too wide to trust the bound'}."
    )
    return [
        Figure.of(
            METRICS[prefix + "ais"],
            replace(mean_over_items(lower), trusted=trusted),
            protocol=Protocol.of(metric=prefix + "ais", **parts, n=count),
            n_real=count,
            note=f"A lower bound. {sandwich} {note}".strip(),
        ),
        Figure.of(
            METRICS[prefix + "bdmc-gap"],
            gap,
            protocol=Protocol.of(metric=prefix + "bdmc-gap", **parts),
            n_fake=settings.simulated,
            note="Upper minus lower bound on items made by the model; near 0 the bound is exact.",
        ),
    ]


def _ais_parts(settings: Settings) -> dict[str, Any]:
    return {
        "chains": settings.chains,
        "temperatures": settings.temperatures,
        "leapfrogs": settings.leapfrogs,
        "path": "linear from a Gaussian of the posterior's mean curvature",
        "settlings": SETTLINGS,
        "simulated": settings.simulated,
    }


def _check(model: Game, *sets: Tensor) -> None:
    for items in sets:
        if items.shape[1:] != model.event_shape or not len(items):
            raise DataError(
                f"The model describes items of shape {model.event_shape}, but "
                f"{tuple(items.shape)} came; bring at least one item of that shape."
            )
