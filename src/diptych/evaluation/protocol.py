"""A protocol: everything that may change a figure's value, apart from what is measured.

"FID" is not one number: the network, its weights, the resize, the number of images and the
reference all move it. Figures carry their protocol, and two of them may be compared only if the
protocols are equal.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from diptych.errors import DataError

__all__ = ["Protocol"]


@dataclass(frozen=True, eq=False)
class Protocol:
    """Named parts, and the fingerprint made of them.

    Args:
        parts: JSON values by name. ``parts["metric"]`` begins the fingerprint.

    Raises:
        DataError: a part is not a JSON value.

    Example:
        >>> Protocol.of(metric="fd", n=1000) == Protocol.of(n=1000, metric="fd")
        True
        >>> Protocol.of(metric="fd", n=1000).differences(Protocol.of(metric="fd", n=999))
        ['n: 1000 against 999']
    """

    parts: Mapping[str, Any]

    def __post_init__(self) -> None:
        _ = self.fingerprint  # refuses what is not JSON where it is made

    @classmethod
    def of(cls, **parts: Any) -> "Protocol":
        """A protocol of keyword arguments; their order does not matter."""
        return cls(parts)

    @cached_property
    def fingerprint(self) -> str:
        """The metric and the first 12 hexadecimal digits of SHA-256 over the parts as JSON."""
        try:
            text = json.dumps(
                dict(self.parts), sort_keys=True, allow_nan=False, separators=(",", ":")
            )
        except (TypeError, ValueError) as error:
            raise DataError(f"A protocol may hold JSON values only: {error}.") from error
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{self.parts.get('metric', 'protocol')}-{digest}"

    def differences(self, other: "Protocol") -> list[str]:
        """What differs, part by part, in words: ``["n: 5000 against 1000"]``."""
        mine, theirs = _flat(self.parts), _flat(other.parts)
        return [
            f"{name}: {_short(mine.get(name))} against {_short(theirs.get(name))}"
            for name in dict.fromkeys([*mine, *theirs])
            if mine.get(name) != theirs.get(name)
        ]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Protocol) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)


def _flat(parts: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested parts under dotted names, as JSON gives them back."""
    flat: dict[str, Any] = {}
    for name, value in parts.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = json.loads(json.dumps(value))
    return flat


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 20 else f"{text[:16]}…"
