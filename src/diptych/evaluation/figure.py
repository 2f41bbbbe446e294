"""One measured number, with all that is needed to judge it and to refuse a false comparison."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from diptych.errors import DataError
from diptych.evaluation.protocol import Protocol

__all__ = ["PANELS", "Better", "Estimate", "Figure", "Metric", "PanelName", "difference", "rank"]

Better = Literal["lower", "higher", "closer"]
"""Which way a figure improves; ``closer`` means closer to its floor."""

PanelName = Literal[
    "fidelity", "collapse", "blur", "density", "latent", "reconstruction", "copies", "factors"
]
LARGEST = 1e300
"""A saved number beyond it was not measured: differences of two such numbers overflow."""
PANELS: tuple[PanelName, ...] = get_args(PanelName)
"""The panels in the order in which they are printed."""


@dataclass(frozen=True)
class Estimate:
    """What an instrument returns when it knows how sure it is.

    Attributes:
        value: the number itself.
        low: lower end of an interval of 95 %, or None where none was made.
        high: its upper end.
        interval: how the interval was made, e.g. ``"jackknife over 20 blocks"``.
        note: a sentence the reader needs beside this number, often empty.
        trusted: False where the number says little at this N; `note` then says why.
    """

    value: float
    low: float | None = None
    high: float | None = None
    interval: str = ""
    note: str = ""
    trusted: bool = True


@dataclass(frozen=True)
class Metric:
    """What a kind of number is, whoever is measured.

    Attributes:
        key: what programs read: lower case, hyphens, e.g. ``"mode-kl"``.
        name: what people read, e.g. ``"mode KL"``.
        unit: e.g. ``"nats"``, ``"share"``; empty for a bare number.
        better: the direction of improvement.
        panel: where it is printed.
    """

    key: str
    name: str
    unit: str
    better: Better
    panel: PanelName


@dataclass(frozen=True)
class Figure:
    """A number with its unit, interval, floor and the protocol under which it was measured.

    Args:
        key: what programs read, e.g. ``"fd-classifier"``.
        name: what people read, e.g. ``"FD (classifier)"``.
        value: the measured number; finite.
        unit: e.g. ``"nats"``, ``"share"``, ``"modes"``; empty for a bare number.
        better: the direction of improvement.
        floor: the same measurement with unseen real data in place of the samples: the value an
            ideal model would get. None where no second real set exists.
        n_real: how many real items were used, None where none were.
        n_fake: how many generated items were used, None where none were.
        protocol: two figures may be compared only if their protocols are equal.
        note: a sentence for the reader, e.g. about bias at this sample size.
        panel: where it is printed.
        low: lower end of an interval of 95 %, None where there is none.
        high: its upper end.
        interval: how the interval was made.
        ceiling: the other end of the scale, where one is known: the value of the worst, or of the
            best that can be; the note says which.
        trusted: False where the number says little, and must stay out of verdicts.

    Raises:
        DataError: a number is not finite, or ``better`` or ``panel`` is unknown.
    """

    key: str
    name: str
    value: float
    unit: str
    better: Better
    floor: float | None
    n_real: int | None
    n_fake: int | None
    protocol: Protocol
    note: str = ""
    panel: PanelName = "fidelity"
    low: float | None = None
    high: float | None = None
    interval: str = ""
    ceiling: float | None = None
    trusted: bool = True

    def __post_init__(self) -> None:
        for what, given, allowed in (
            ("better", self.better, get_args(Better)),
            ("panel", self.panel, PANELS),
        ):
            if given not in allowed:
                raise DataError(
                    f"The figure {self.name!r} says {what}={given!r}; "
                    f"it must be one of {', '.join(allowed)}."
                )
        for part in (self.value, self.floor, self.low, self.high, self.ceiling):
            if part is not None and not math.isfinite(part):
                raise DataError(f"The figure {self.name!r} came out as {part}, not as a number.")

    @classmethod
    def of(
        cls,
        metric: Metric,
        estimate: Estimate | float,
        *,
        protocol: Protocol,
        floor: Estimate | float | None = None,
        ceiling: float | None = None,
        n_real: int | None = None,
        n_fake: int | None = None,
        note: str = "",
        extractor: str = "",
    ) -> "Figure":
        """A figure of a metric and an estimate.

        Args:
            metric: what is measured.
            estimate: the number, with its interval if there is one.
            protocol: how it was measured.
            floor: the same number for unseen real data.
            ceiling: see the class.
            n_real: see the class.
            n_fake: see the class.
            note: put after the estimate's own.
            extractor: whose features were used; it is added to the key and, in brackets, to the
                name.
        """
        if not isinstance(estimate, Estimate):
            estimate = Estimate(estimate)
        return cls(
            key=f"{metric.key}-{extractor}" if extractor else metric.key,
            name=f"{metric.name} ({extractor})" if extractor else metric.name,
            value=estimate.value,
            unit=metric.unit,
            better=metric.better,
            floor=floor.value if isinstance(floor, Estimate) else floor,
            n_real=n_real,
            n_fake=n_fake,
            protocol=protocol,
            note=" ".join(part for part in (estimate.note, note) if part),
            panel=metric.panel,
            low=estimate.low,
            high=estimate.high,
            interval=estimate.interval,
            ceiling=ceiling,
            trusted=estimate.trusted,
        )

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict of JSON values; the protocol as its fingerprint."""
        shallow = {name: getattr(self, name) for name in (field.name for field in fields(self))}
        return {**shallow, "protocol": self.protocol.fingerprint}

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], protocols: Mapping[str, Mapping[str, Any]]
    ) -> "Figure":
        """Rebuild a figure from :meth:`to_json`; the round trip is exact.

        Args:
            record: what :meth:`to_json` gave.
            protocols: the parts of each protocol by fingerprint.

        Raises:
            DataError: a field is missing or unknown, or the protocol is not among those given.
        """
        known = {field.name for field in fields(cls)}
        odd = sorted(known - record.keys()) + sorted(record.keys() - known)
        if odd:
            raise DataError(
                f"A saved figure lacks or has too many of the fields {', '.join(odd)}; "
                "evaluate again with this version."
            )
        _check_types(record)
        name = record["protocol"]
        if name not in protocols or Protocol(protocols[name]).fingerprint != name:
            raise DataError(f"The protocol {name} of a saved figure is missing or was changed.")
        return cls(**{**record, "protocol": Protocol(protocols[name])})


_TEXTS = ("key", "name", "unit", "better", "protocol", "note", "panel", "interval")
_NUMBERS = ("value", "floor", "low", "high", "ceiling", "n_real", "n_fake")


def _check_types(record: Mapping[str, Any]) -> None:
    """Refuse what was edited by hand into something that is no figure."""
    for name in _TEXTS:
        if not isinstance(record[name], str):
            raise DataError(f"A saved figure has {name}={record[name]!r}, which must be text.")
    for name in _NUMBERS:
        number = record[name]
        absent = number is None and name != "value"
        usual = isinstance(number, int | float) and not isinstance(number, bool)
        if not absent and not (usual and abs(number) < LARGEST):
            raise DataError(
                f"The saved figure {record['name']!r} has {name}={str(number)[:20]}, which must "
                "be a number."
            )
    if not isinstance(record["trusted"], bool):
        raise DataError(f"The saved figure {record['name']!r} must be trusted or not.")


def difference(first: Figure, second: Figure, *, force: bool = False) -> float:
    """Return the first value minus the second.

    Args:
        first: a figure.
        second: the same figure of another model or set.
        force: subtract even if the protocols differ.

    Raises:
        DataError: the protocols differ, so the numbers do not measure the same thing.
    """
    if not force:
        _refuse_mixture([first, second])
    return first.value - second.value


def rank(figures: Sequence[Figure], *, force: bool = False) -> list[int]:
    """Return the places of the figures in the list, the best first; ties keep their order.

    Raises:
        DataError: their protocols differ or one of them is not to be trusted, and ``force`` is not
            given; or the best is the closest to a floor that is not known.
    """
    if not force:
        _refuse_mixture(figures)
        if doubtful := [figure for figure in figures if not figure.trusted]:
            raise DataError(
                f"{doubtful[0].name} cannot be trusted here and is not ranked; measure more, "
                f"or force it. {doubtful[0].note}".rstrip()
            )

    def badness(figure: Figure) -> float:
        if figure.better == "closer":
            if figure.floor is None:
                raise DataError(f"{figure.name} cannot be ranked: its floor was not measured.")
            return abs(figure.value - figure.floor)
        return figure.value if figure.better == "lower" else -figure.value

    return sorted(range(len(figures)), key=lambda place: badness(figures[place]))


def _refuse_mixture(figures: Sequence[Figure]) -> None:
    for other in figures[1:]:
        if other.protocol != figures[0].protocol:
            reasons = "; ".join(figures[0].protocol.differences(other.protocol)[:4])
            raise DataError(
                f"{figures[0].name} and {other.name} were measured under different protocols "
                f"({reasons}) and must not be compared; measure both alike, or force it."
            )
