"""Floors kept on the disk: they depend on real data and the protocol, not on what is judged."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from diptych.data.files import atomic_path
from diptych.evaluation.sets import Sets, content_hash

__all__ = ["floor_file", "read_floors", "write_floors"]


def floor_file(directory: Path, floor: Sets) -> Path:
    """Where the floors of these sets belong: named by the content of everything that is real.

    Args:
        directory: the cache.
        floor: what :meth:`~diptych.evaluation.sets.Sets.as_floor` gives.
    """
    parts = [content_hash(floor.real)[:16], content_hash(floor.fake)[:16]]
    if floor.real_labels is not None:
        parts.append(content_hash(floor.real_labels)[:16])
    return directory / f"floors-{'-'.join(parts)}.json"


def read_floors(path: Path) -> dict[str, float]:
    """Values by the fingerprint of their protocol; what is missing or damaged is not there."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(saved, dict):
        return {}
    return {
        fingerprint: float(value)
        for fingerprint, value in saved.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def write_floors(path: Path, floors: Mapping[str, float]) -> None:
    """Add floors to those that the file has.

    A folder that cannot be written keeps nothing: the cache saves seconds and must not cost a
    result.
    """
    text = json.dumps({**read_floors(path), **floors}, indent=1, sort_keys=True)
    with suppress(OSError), atomic_path(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")
