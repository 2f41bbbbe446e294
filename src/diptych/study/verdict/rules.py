"""The rules of the verdict: which metrics answer a question, and from where a difference counts.

Nothing here computes. Change a number here, and the verdict changes.
"""

import math
from dataclasses import dataclass, replace

__all__ = [
    "FACTOR",
    "LONE_TIMES",
    "NEAR",
    "QUESTIONS",
    "RACES",
    "Race",
    "Smallest",
    "limits_of",
    "race_of",
    "smallest_of",
]

QUESTIONS = {
    "realism": "How real do samples look?",
    "coverage": "How much of the data is covered?",
    "collapse": "Did anything collapse?",
    "blur": "How blurred are the samples?",
    "density": "How probable are held-out data under it?",
    "latent": "Is the latent space smooth, and can a picture be found again?",
    "copies": "Are samples copied from the training data?",
    "cost": "What did it cost?",
}
"""The questions in the order of the page."""


@dataclass(frozen=True)
class Race:
    """A question that one recipe may win.

    Attributes:
        primaries: the answer hangs on the first of these metrics that can be compared.
        supporting: shown, and an opposite clear lead in one of them takes the answer back.
        shown: shown only.
        win: "{best}" is ahead of "{rest}".
        tie: "{both}" are alike.
        unclear: ends "cannot tell ...".
    """

    primaries: tuple[str, ...]
    supporting: tuple[str, ...]
    shown: tuple[str, ...]
    win: str
    tie: str
    unclear: str


RACES = {
    "realism": Race(
        ("fd", "fid", "kid", "sliced-w2"),
        ("kid", "precision", "density", "c2st"),
        (),
        "the samples of {best} look more real than those of {rest}",
        "the samples of {both} look equally real",
        "whose samples look more real",
    ),
    "coverage": Race(
        ("recall",),
        ("coverage", "class-coverage"),
        ("vendi",),
        "{best} covers more of the data than {rest}",
        "{both} cover equally much of the data",
        "which covers more of the data",
    ),
    "blur": Race(
        ("sharpness-ratio",),
        ("spectral-distance", "high-frequency-ratio"),
        ("noise-ratio",),
        "the samples of {best} are closer to the sharpness of real images than those of {rest}",
        "the samples of {both} are equally close to the sharpness of real images",
        "whose samples are closer to the sharpness of real images",
    ),
    "density": Race(
        ("gaussian-bits", "gaussian-ais", "bits-per-dimension", "negative-elbo"),
        (),
        ("gaussian-ais", "gaussian-bdmc-gap", "bits-per-dimension", "negative-elbo"),
        "held-out data are more probable under {best} than under {rest}",
        "held-out data are equally probable under {both}",
        "under which held-out data are more probable",
    ),
    "latent": Race(
        ("path-length-relative",),
        ("step-variation",),
        ("reconstruction-psnr", "reconstruction-mse"),
        "the latent space of {best} is smoother than that of {rest}",
        "the latent spaces of {both} are equally smooth",
        "whose latent space is smoother",
    ),
}


def race_of(question: str, things: str) -> Race:
    """The rule of a question; points have no looks."""
    rule = RACES[question]
    if question != "realism" or things != "points":
        return rule
    return replace(
        rule,
        win="the samples of {best} lie closer to real points than those of {rest}",
        tie="the samples of {both} lie equally close to real points",
        unclear="whose samples lie closer to real points",
    )


FACTOR = 2.0
"""A lone seed's lead counts if the other is this many times as far from the floor.

Seeds of one recipe commonly differ by 15 to 25 % in their distance; a difference of two such runs
exceeds a factor of 2 by chance in 0.1 to 5 % of cases.
"""

NEAR = 0.1
"""Share of the floor: what lies nearer counts as this far when a lone seed's lead is judged.

At the floor itself nothing is left to be a factor ahead in, and twice nothing is nothing.
"""

LONE_TIMES = 4.0
"""Where differences are absolute (bits, dB), a lone seed's lead must be so many times as large."""


@dataclass(frozen=True)
class Smallest:
    """The smallest difference worth naming.

    Attributes:
        relative: as a share of the scale: the largest of the two distances to the floor and of the
            floor itself; of the two values where there is no floor.
        absolute: in the figure's unit, in place of the share.
        per_dimension: the absolute one is for each dimension of the data.
    """

    relative: float = 0.05
    absolute: float | None = None
    per_dimension: bool = False


BITS = 0.05
"""Per dimension: 8 bits is knowing nothing, and good models of one data set differ by tenths."""

_NATS = Smallest(absolute=BITS * math.log(2), per_dimension=True)
_SMALLEST = {
    "gaussian-bits": Smallest(absolute=BITS),
    "bits-per-dimension": Smallest(absolute=BITS),
    "gaussian-ais": _NATS,
    "ais": _NATS,
    "iwae": _NATS,
    "negative-elbo": _NATS,
    "reconstruction-psnr": Smallest(absolute=0.5),
    "classes-found": Smallest(absolute=0.5),
    "modes-found": Smallest(absolute=0.5),
}


def smallest_of(base: str) -> Smallest:
    """The rule for a metric, by its key without the extractor."""
    return _SMALLEST.get(base, Smallest())


_NOT_NEGATIVE = {
    *("fd", "fid", "sliced-w2", "density", "vendi", "is-like"),
    *("birthday-support", "class-kl", "mode-kl", "bin-jsd", "ndb", "ndb-holm"),
    *("active-units", "collapsed-dimensions", "latents-used", "directions-used"),
    *("sharpness-ratio", "noise-ratio", "high-frequency-ratio", "spectral-distance"),
    *("path-length", "path-length-relative", "step-variation", "largest-step", "detour"),
    *("inversion-spread", "reconstruction-mse", "reconstruction-fd", "nearest-ratio"),
}
_COUNTED = {"classes", "modes", "dimensions", "units", "bins"}
_AREAS = {"membership-auc", "membership-density-auc"}


def limits_of(base: str, unit: str, ceiling: float | None) -> tuple[float, float]:
    """The least and the largest value that a metric can have at all; infinite where unknown."""
    if unit == "share" or base in _AREAS:
        return 0.0, 1.0
    if unit in _COUNTED:
        return 0.0, math.inf if ceiling is None else ceiling
    return (0.0 if base in _NOT_NEGATIVE else -math.inf), math.inf


# -- plain yes or no, recipe by recipe ------------------------------------------------------------

GONE = 0.5
"""Share of the classes or modes whose loss is called a collapse; less is told as a number."""
UNEVEN = -math.log(0.9)
"""Nats of class or mode KL above the floor: as uneven as having lost a tenth of the data."""
REPEATS = 0.5
"""Of the floor's birthday support: below it samples repeat themselves."""
UNUSED = 0.5
"""Share of latent dimensions or codes that carry nothing, from which on it is a collapse."""

SHARP = 0.8
"""Of real sharpness: below it samples are blurred, above its inverse too sharp (blur panel)."""
NOISY = 1.25
"""Times the noise of real images, from which on sharpness may be noise."""

COPIED_TIMES = 2.0
"""Times the floor's share of samples near to training items, from which on they are copies."""
COPIED_SHARE = 0.005
"""And by so much more, since shares of a few items in a thousand are a few items."""
COPIED_Z = -3.0
"""C_T this far below its floor says copying (Meehan et al. 2020, arXiv 2004.05675)."""
COPIED_RATIO = 0.9
"""Of the floor's median distance to training items over held-out ones."""
COPIED_AUC = 0.05
"""Of membership AUC above its floor."""

COVERED, UNCOVERED = 0.9, 0.75
"""Shares of the floor's recall: data are covered, and are not."""
HARD, HARD_RUNS = 1 / 3, 2
"""Share of runs that diverged or crashed, and how many at least, to call training hard."""
STEADY, UNSTEADY = 0.25, 0.5
"""Standard deviation over seeds of the distance to the floor, as a share of its mean."""
ENOUGH_SEEDS = 3
"""Seeds without which nothing is said of how seeds differ."""
