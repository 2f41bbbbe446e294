"""One measured number, with all that is needed to judge it and to refuse a false comparison."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from diptych.errors import DataError

__all__ = ["Better", "Figure", "protocol_of"]

Better = Literal["lower", "higher", "closer"]
"""Which way a figure improves; ``closer`` means closer to its floor."""


@dataclass(frozen=True)
class Figure:
    """A number with its unit, its floor and the protocol under which it was measured.

    Args:
        name: what people read, e.g. ``"FD (classifier)"``.
        value: the measured number; finite.
        unit: e.g. ``"nats"``, ``"share"``, ``"modes"``; empty for a bare number.
        better: the direction of improvement.
        floor: the same measurement with unseen real data in place of the samples: the value an
            ideal model would get. None where no second real set exists.
        n_real: how many real items were used, None where none were.
        n_fake: how many generated items were used, None where none were.
        protocol: the fingerprint made by :func:`protocol_of`. Two figures may be compared only
            if these are equal.
        note: a sentence for the reader, e.g. about bias at this sample size.

    Raises:
        DataError: ``value`` or ``floor`` is not finite, or ``better`` is unknown.
    """

    name: str
    value: float
    unit: str
    better: Better
    floor: float | None
    n_real: int | None
    n_fake: int | None
    protocol: str
    note: str = ""

    def __post_init__(self) -> None:
        if self.better not in get_args(Better):
            raise DataError(
                f"The figure {self.name!r} says better={self.better!r}; "
                f"it must be one of {', '.join(get_args(Better))}."
            )
        for part in (self.value, self.floor):
            if part is not None and not math.isfinite(part):
                raise DataError(f"The figure {self.name!r} came out as {part}, not as a number.")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a dict of JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Figure":
        """Rebuild a figure from :meth:`to_json`; the round trip is exact.

        Raises:
            DataError: a field is missing or unknown.
        """
        known = {field.name for field in fields(cls)}
        odd = sorted(known - {"note"} - record.keys()) + sorted(record.keys() - known)
        if odd:
            raise DataError(
                f"A saved figure lacks or has too many of the fields {', '.join(odd)}; "
                "evaluate the run again."
            )
        return cls(**record)


def protocol_of(**parts: Any) -> str:
    """Return a short fingerprint of everything that may change a figure's value.

    The readable prefix is ``parts["metric"]``; the rest is the first 12 hexadecimal digits of
    SHA-256 over the parts as JSON with sorted keys. The order of the arguments does not matter.

    Raises:
        DataError: a part is not a JSON value.

    Example:
        >>> protocol_of(metric="fd", n=1000) == protocol_of(n=1000, metric="fd")
        True
        >>> protocol_of(metric="fd", n=1000) == protocol_of(metric="fd", n=999)
        False
    """
    try:
        text = json.dumps(parts, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise DataError(f"A protocol may hold JSON values only: {error}.") from error
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{parts.get('metric', 'protocol')}-{digest}"
