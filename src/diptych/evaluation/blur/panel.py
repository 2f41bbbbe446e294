"""Panel 3, blur: whether generated images are as sharp as real ones, and not merely as noisy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.blur.noise import (
    noise_levels,
    noise_ratio,
    noise_share,
)
from diptych.evaluation.blur.sharpness import laplacian_variance
from diptych.evaluation.blur.spectrum import (
    HIGH,
    LOWEST,
    SMALLEST_SIDE,
    Spectra,
    high_frequency_share,
    power_spectra,
    spectral_distance,
    spectral_slope,
)
from diptych.evaluation.bootstrap import DRAWS, bootstrap_interval, resampled_mean
from diptych.evaluation.figure import Estimate, Figure, Metric
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.sets import Progress, Sets, silent

__all__ = ["METRICS", "blur_panel"]

METRICS = {
    metric.key: metric
    for metric in (
        Metric("sharpness-ratio", "sharpness ratio", "", "closer", "blur"),
        Metric("noise-ratio", "noise ratio", "", "closer", "blur"),
        Metric("spectral-slope", "spectral slope", "", "closer", "blur"),
        Metric("spectral-slope-difference", "spectral slope difference", "", "closer", "blur"),
        Metric("spectral-distance", "spectral distance", "dB", "lower", "blur"),
        Metric("high-frequency-ratio", "high-frequency share ratio", "", "closer", "blur"),
    )
}
SMALLEST = 3
"""Pixels a side without which there is no neighbourhood to be sharp in."""
FEWEST = 20
"""Images of each set without which a median or a mean spectrum says little."""
ALIKE = 1.25
"""Sharpness ratios from 1/1.25 to 1.25 say that images are about as sharp as real ones."""
UNLIKE = 1.0
"""Decibels between spectra of images that are as sharp as each other, and are not alike."""
MOSTLY_NOISE = 0.25
"""Share of the sharpness from which on noise is more than a blemish of the number."""
SOME_NOISE = 0.05
"""Share that may turn blurred images into seemingly sharp ones, if the ratio is near 1."""

_GREY = {"grey": "BT.601 luma, 0..255", "dtype": "float64"}
_SPECTRUM = {
    **_GREY,
    "window": "Hann, symmetric",
    "rings": f"1 / shorter side wide, from the second and {LOWEST} to 0.5 cycles per pixel",
    "set": "mean power over images",
}
_PROTOCOLS: Mapping[str, Mapping[str, Any]] = {
    "sharpness-ratio": {**_GREY, "stencil": "4 neighbours, edges repeated", "set": "median"},
    "noise-ratio": {**_GREY, "wavelet": "diagonal Haar, median, all offsets", "set": "mean"},
    "spectral-slope": _SPECTRUM,
    "spectral-slope-difference": _SPECTRUM,
    "spectral-distance": {**_SPECTRUM, "level": "removed"},
    "high-frequency-ratio": {**_SPECTRUM, "above": HIGH},
}
_NOTES = {
    "sharpness-ratio": "Below 1 blurrier than the real images.",
    "noise-ratio": "Above 1 noisier than the real images; fine texture counts as noise.",
    "spectral-slope": "Steeper than its floor is blurrier.",
    "spectral-slope-difference": "Below 0 blurrier, above 0 sharper or noisier.",
    "spectral-distance": "Never 0, because sets are finite: read it beside its floor.",
    "high-frequency-ratio": f"Power above {HIGH} cycles per pixel: noise adds to it, too.",
}

Statistic = Callable[[list[Tensor]], Tensor]
"""Indices (B, N) into the generated and (B, M) into the real images, to B values."""


@dataclass(frozen=True, eq=False)
class _Measured:
    """What is known of each image of a set."""

    sharpness: Tensor
    noise: Tensor
    spectra: Spectra | None

    def everything(self) -> Tensor:
        """The row of indices that draws every image once, (1, N)."""
        return torch.arange(len(self.sharpness))[None]


def blur_panel(
    sets: Sets, *, base: Mapping[str, Any], seed: int = 0, progress: Progress = silent
) -> list[Figure]:
    """Measure sharpness, spectrum and noise of generated images against real ones.

    A figure that cannot be had is left out: the spectral ones for images under 8 pixels a side or
    without any contrast, all that divide by the real images' sharpness where half of those are
    flat, and everything for points.

    Args:
        sets: images uint8 (N, H, W, C) of each set, all of one height and width.
        base: what all protocols share: the reference, the split, N.
        seed: of the intervals' draws.
        progress: told how far the work is.

    Raises:
        DataError: the sets hold images of different sizes, or no images.
    """
    if sets.real.ndim != 4 or min(sets.real.shape[1:3]) < SMALLEST:
        return []
    given = {"generated": sets.fake, "real": sets.real, "unseen real": sets.floor}
    measured = {}
    for done, (name, images) in enumerate(given.items()):
        progress("measuring blur", done, len(given))
        if images is None:
            continue
        if images.shape[1:3] != sets.real.shape[1:3]:
            raise DataError(
                f"Blur is compared at one size, but the {name} images are "
                f"{_size(images)} and the real ones {_size(sets.real)}; bring them to one size."
            )
        measured[name] = _measure(images)
    fake, real, floor = (measured.get(name) for name in given)
    assert fake is not None
    assert real is not None
    progress("measuring blur", len(given), len(given))
    floors = {} if floor is None else _values(floor, real)
    noisy = _noise_warning(fake, real) or _spectrum_warning(_values(fake, real), floors)
    figures = []
    for key, statistic in _statistics(fake, real).items():
        estimate = _estimate(key, statistic, fake, real, seed)
        notes = [estimate.note, _NOTES.get(key, "")]
        trusted = estimate.trusted
        if noisy and key in ("sharpness-ratio", "high-frequency-ratio"):
            notes, trusted = [estimate.note, noisy], False
        figures.append(
            Figure.of(
                METRICS[key],
                Estimate(
                    estimate.value, estimate.low, estimate.high, estimate.interval, trusted=trusted
                ),
                floor=floors.get(key),
                protocol=Protocol.of(metric=key, **base, **_PROTOCOLS[key]),
                n_real=len(sets.real),
                n_fake=len(sets.fake),
                note=" ".join(note for note in notes if note),
            )
        )
    return figures


def _measure(images: Tensor) -> _Measured:
    large = min(images.shape[1:3]) >= SMALLEST_SIDE
    return _Measured(
        laplacian_variance(images).cpu(),
        noise_levels(images).cpu(),
        power_spectra(images) if large else None,
    )


def _statistics(fake: _Measured, real: _Measured) -> dict[str, Statistic]:
    """What can be measured of these two, each as a function of which images are drawn."""
    found: dict[str, Statistic] = {}
    if float(real.sharpness.median()) > 0:
        found["sharpness-ratio"] = lambda rows: (
            _median(fake.sharpness, rows[0]) / _median(real.sharpness, rows[1])
        )
    if float(real.sharpness.max()) > 0:
        found["noise-ratio"] = lambda rows: noise_ratio(
            fake.noise[rows[0]].mean(1), real.noise[rows[1]].mean(1)
        )
    ours, theirs = fake.spectra, real.spectra
    if ours is None or theirs is None or not float(theirs.total.max()) > 0:
        return found
    if float(ours.total.max()) > 0:
        found["spectral-slope"] = lambda rows: _slope(ours, rows[0])
        found["spectral-slope-difference"] = lambda rows: (
            _slope(ours, rows[0]) - _slope(theirs, rows[1])
        )
        found["spectral-distance"] = lambda rows: spectral_distance(
            resampled_mean(ours.power, rows[0]), resampled_mean(theirs.power, rows[1])
        )
    if float(theirs.high.max()) > 0:
        found["high-frequency-ratio"] = lambda rows: (
            _share(ours, rows[0]) / _share(theirs, rows[1])
        )
    return found


def _values(fake: _Measured, real: _Measured) -> dict[str, float]:
    everything = [fake.everything(), real.everything()]
    return {key: float(value(everything)) for key, value in _statistics(fake, real).items()}


def _estimate(
    key: str, statistic: Statistic, fake: _Measured, real: _Measured, seed: int
) -> Estimate:
    value = float(statistic([fake.everything(), real.everything()]))
    sizes = (len(fake.sharpness), len(real.sharpness))
    few = min(sizes) < FEWEST
    note = f"Only {min(sizes)} images: not enough to judge." if few else ""
    # A distance grows with every disturbance, drawing again included: its draws lie above it.
    if min(sizes) < 2 or key == "spectral-distance":
        return Estimate(value, note=note, trusted=not few)
    try:
        low, high = bootstrap_interval(
            statistic, sizes, generator=torch.Generator().manual_seed(seed)
        )
    except DataError:
        without = "So many images are flat that there is no interval."
        return Estimate(value, note=f"{note} {without}".strip(), trusted=not few)
    return Estimate(value, low, high, f"bootstrap over images, {DRAWS} draws", note, not few)


def _noise_warning(fake: _Measured, real: _Measured) -> str:
    """A sentence where the sharpness is noise that real images do not have, else nothing."""
    sharpness, reference = float(fake.sharpness.median()), float(real.sharpness.median())
    if reference == 0:
        return ""
    level, usual = float(fake.noise.mean()), float(real.noise.mean())
    share = noise_share(sharpness, level, usual)
    ratio = sharpness / reference
    without = ratio * (1 - share)
    if not (share > MOSTLY_NOISE or (share > SOME_NOISE and ratio > 1 >= without)):
        return ""
    what = "The sharpness ratio above 1 is noise" if ratio > 1 >= without else "Noise adds to it"
    return (
        f"{what}: {share:.0%} of the sharpness is noise beyond that of the real images (sigma "
        f"{level:.3g} against {usual:.3g} grey levels); without it the ratio is about "
        f"{without:.2f}."
    )


def _spectrum_warning(values: dict[str, float], floors: dict[str, float]) -> str:
    """A sentence where the sharpness agrees and the spectrum does not, else nothing.

    Noise over blur can have the real images' sharpness, and where these are rich in texture its
    amount does not stand out either; but noise is flat, and real detail is not.
    """
    ratio, distance = values.get("sharpness-ratio"), values.get("spectral-distance")
    if ratio is None or distance is None:
        return ""
    usual = floors.get("spectral-distance", 0.0)
    if not (1 / ALIKE < ratio < ALIKE and distance > max(UNLIKE, 3 * usual)):
        return ""
    return (
        f"The sharpness is about that of real images, but the spectrum is {distance:.2g} dB from "
        "theirs: noise may stand in for detail."
    )


def _median(values: Tensor, rows: Tensor) -> Tensor:
    return values[rows].median(1).values


def _slope(spectra: Spectra, rows: Tensor) -> Tensor:
    return spectral_slope(spectra.frequencies, resampled_mean(spectra.power, rows))


def _share(spectra: Spectra, rows: Tensor) -> Tensor:
    high, total = resampled_mean(torch.stack([spectra.high, spectra.total], 1), rows).unbind(1)
    return high_frequency_share(high, total)


def _size(images: Tensor) -> str:
    return " x ".join(str(side) for side in images.shape[1:3])
