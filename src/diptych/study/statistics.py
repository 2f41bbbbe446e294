"""Seeds and sampling noise together: an interval for one recipe, the difference of two.

A run's figure y moves for two reasons: another seed trains another model, and other samples or
other held-out items measure it differently. With a figure per seed, s² between seeds holds the
first and the runs' own part of the second. Few seeds may agree by luck, so the variance of one
run is taken as

    v = max(s², w²),    w² = mean over seeds of (half width of the run's own interval / 1.96)²

and the mean of S seeds has the variance v / S with S - 1 degrees of freedom. Items that all runs
share (the held-out set) put an error on every run alike, which seeds do not average away: there
the mean's own interval is never narrower than that of one run. In a difference of two recipes a
part of this error cancels, and how large a part is not known; all of w² stays in both variances,
so that the interval of such a difference is rather too wide than too narrow.

One seed has no s². Its interval is the run's own, and says nothing about another seed.

Everything here is plain Python: the page is built where torch and numpy need not be.

Sources: Student 1908, "The probable error of a mean"; Welch 1947, Biometrika 34 (unequal
variances, with Satterthwaite's degrees of freedom); Hedges 1981, J. Educational Statistics 6
(g and its correction J); Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15 (equal
within a band if the whole interval lies in it); Wilson 1927, JASA 22 (shares).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

__all__ = [
    "LEVEL",
    "Difference",
    "Reading",
    "Sample",
    "seeds_to_settle",
    "share_limit",
    "student_cdf",
    "student_quantile",
    "welch",
]

LEVEL = 0.95
NORMAL = 1.959963984540054
"""Half the width of a 95 % interval in standard errors, where these are known."""


@dataclass(frozen=True)
class Reading:
    """One run's figure: its value and, where there is one, its own 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def error(self) -> float | None:
        """The standard error that the interval stands for."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / (2 * NORMAL)


@dataclass(frozen=True)
class Sample:
    """The figures of one recipe, one per seed that finished.

    Args:
        readings: at least one.
        shared: the error of each comes from items that all runs share.
        target: figures are replaced by their distance to it: how far a run is from its floor.
    """

    readings: tuple[Reading, ...]
    shared: bool = False
    target: float | None = None

    @classmethod
    def of(
        cls, values: Iterable[float], *, shared: bool = False, target: float | None = None
    ) -> "Sample":
        """A sample of bare values without intervals."""
        return cls(tuple(Reading(value) for value in values), shared, target)

    @cached_property
    def values(self) -> tuple[float, ...]:
        """The figures, or their distances to the target."""
        raw = (reading.value for reading in self.readings)
        return tuple(raw if self.target is None else (abs(v - self.target) for v in raw))

    @property
    def runs(self) -> tuple["Sample", ...]:
        """Each run as a sample of its own."""
        return tuple(replace(self, readings=(reading,)) for reading in self.readings)

    @property
    def seeds(self) -> int:
        """How many runs."""
        return len(self.readings)

    @cached_property
    def mean(self) -> float:
        """Over seeds; correctly rounded, so that no order of the seeds is special."""
        return math.fsum(self.values) / self.seeds

    @cached_property
    def between(self) -> float | None:
        """s², the variance between seeds; None for one seed."""
        if self.seeds < 2:
            return None
        return math.fsum((v - self.mean) ** 2 for v in self.values) / (self.seeds - 1)

    @cached_property
    def within(self) -> float | None:
        """w², the variance of a run's own sampling error; None where no run has an interval."""
        errors = [r.error for r in self.readings if r.error is not None]
        return math.fsum(e * e for e in errors) / len(errors) if errors else None

    @property
    def variance(self) -> float | None:
        """v = max(s², w²), of one run; None for one seed."""
        return None if self.between is None else max(self.between, self.within or 0.0)

    def interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """Ends of the interval of the mean; of one seed its own (whatever the level), or None."""
        if self.variance is None:
            return self._own()
        half = student_quantile((1 + level) / 2, self.seeds - 1) * math.sqrt(
            self.variance / self.seeds
        )
        if self.shared and self.within is not None:
            half = max(half, NORMAL * math.sqrt(self.within))
        return self.mean - half, self.mean + half

    def _own(self) -> tuple[float, float] | None:
        low, high = self.readings[0].low, self.readings[0].high
        if low is None or high is None:
            return None
        if self.target is None:
            return low, high
        near, far = sorted((abs(low - self.target), abs(high - self.target)))
        return (0.0 if low <= self.target <= high else near), far


@dataclass(frozen=True)
class Difference:
    """First mean minus second.

    Attributes:
        value: the difference.
        low: lower end of its interval, None where a run has no interval of its own.
        high: its upper end.
        lone: one of the two is a single run, so that the spread between seeds is not in it.
        effect: Hedges' g, in standard deviations of one run; None for a lone run.
    """

    value: float
    low: float | None
    high: float | None
    lone: bool
    effect: float | None = None

    def says(self, band: float) -> Literal["apart", "alike", "unclear"]:
        """Whether the two differ by more than `band`, are alike within it, or neither is shown."""
        if self.low is None or self.high is None:
            return "unclear"
        if (self.low > 0 or self.high < 0) and abs(self.value) > band:
            return "apart"
        # Another seed might differ: one run can show no likeness of recipes.
        inside = -band <= self.low and self.high <= band
        return "alike" if inside and not self.lone else "unclear"


def welch(first: Sample, second: Sample, level: float = LEVEL) -> Difference:
    """The difference of two recipes with Welch's interval.

    d ± t(ν) √(v₁/S₁ + v₂/S₂), ν by Satterthwaite. Where one of the two is a single run, the
    interval joins the far ends of both intervals: it leaves out zero only if these are apart.

    Args:
        first: of one recipe.
        second: of the other.
        level: of the interval; smaller errors for each of several pairs keep those of all small.
    """
    value = first.mean - second.mean
    if first.variance is None or second.variance is None:
        one, other = first.interval(level), second.interval(level)
        if one is None or other is None:
            return Difference(value, None, None, lone=True)
        return Difference(value, one[0] - other[1], one[1] - other[0], lone=True)
    parts = first.variance / first.seeds, second.variance / second.seeds
    free = first.seeds - 1, second.seeds - 1
    half = 0.0
    if sum(parts) > 0:
        # As shares of the sum, since the squares of tiny variances vanish.
        shares = [part / sum(parts) for part in parts]
        degrees = 1 / sum(share**2 / f for share, f in zip(shares, free, strict=True))
        half = student_quantile((1 + level) / 2, degrees) * math.sqrt(sum(parts))
    pooled = (free[0] * first.variance + free[1] * second.variance) / sum(free)
    effect = None
    if pooled > 0:
        effect = _small_sample(sum(free)) * value / math.sqrt(pooled)
    return Difference(value, value - half, value + half, lone=False, effect=effect)


def _small_sample(degrees: int) -> float:
    """J(m) = Γ(m/2) / (√(m/2) Γ((m-1)/2)): without it g is too large for few runs."""
    if degrees < 2:
        return 0.0
    logarithm = math.lgamma(degrees / 2) - math.lgamma((degrees - 1) / 2)
    return math.exp(logarithm) / math.sqrt(degrees / 2)


def seeds_to_settle(
    first: Sample, second: Sample, level: float = LEVEL, most: int = 20
) -> int | None:
    """How many seeds each would make the interval narrower than the difference now seen.

    It takes that difference and the variances as they are, so it is a rough guess. None if more
    than `most` would be needed, or a lone run leaves the variance unknown.
    """
    if first.variance is None or second.variance is None:
        return None
    both, difference = first.variance + second.variance, abs(first.mean - second.mean)
    for seeds in range(max(first.seeds, second.seeds) + 1, most + 1):
        half = student_quantile((1 + level) / 2, 2 * (seeds - 1)) * math.sqrt(both / seeds)
        if half < difference:
            return seeds
    return None


def share_limit(share: float, n: int) -> float:
    """The upper end of Wilson's 95 % interval of a share seen on n items.

    As in `evaluation.copies.intervals`, which needs torch.

    Args:
        share: 0..1.
        n: at least 1.
    """
    spread = NORMAL**2 / n
    half = NORMAL * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return 1.0 if share >= 1 else min(1.0, (share + spread / 2 + half) / (1 + spread))


def student_cdf(t: float, degrees: float) -> float:
    """P(T ≤ t) of Student's distribution: 1 - I(ν/(ν+t²); ν/2, ½) / 2 for t ≥ 0.

    Source: Abramowitz and Stegun 1964, 26.7.1.
    """
    if t < 0:
        return 1 - student_cdf(-t, degrees)
    tails = _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t), t * t)
    return 1 - tails / 2


@lru_cache(maxsize=256)
def student_quantile(probability: float, degrees: float) -> float:
    """The t with P(T ≤ t) = probability, for 0 < probability < 1, by Newton's method.

    For t ≥ 0 the distribution is concave, so every step from 0 stays below the root: the steps
    are all upward until rounding stops them.
    """
    if not (0 < probability < 1 and degrees > 0):
        raise ValueError(f"no quantile of {probability} with {degrees} degrees of freedom")
    if probability < 0.5:
        return -student_quantile(1 - probability, degrees)
    normaliser = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(
        degrees * math.pi
    )
    t = 0.0
    while True:
        density = normaliser * (1 + t * t / degrees) ** (-(degrees + 1) / 2)
        step = (probability - student_cdf(t, degrees)) / density
        if step <= 1e-12 * max(1.0, t):
            return t
        t += step


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """I(x; a, b), regularised, by its continued fraction (Abramowitz and Stegun 1964, 26.5.8).

    `rest` is proportional to 1 - x with x to a - that is ν for the t distribution - and keeps its
    digits where x is next to 1.
    """
    if x >= 1:
        return 1.0
    complement = rest / (rest + 2 * a)
    front = math.exp(
        math.lgamma(a + b)
        - math.lgamma(a)
        - math.lgamma(b)
        + a * math.log(x)
        + b * math.log(complement)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, complement) / b


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, evaluated forward (Lentz 1976)."""
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 1000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + term * d, tiny)
            c = _away_from_zero(1 + term / c, tiny)
            value *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return value


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
