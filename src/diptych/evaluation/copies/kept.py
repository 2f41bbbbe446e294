"""What of this panel depends on real data alone, kept on the disk: most of its time.

The thresholds, the cells and the hashes of the training images, the floors and the ceilings are
the same for every model that is measured on the same data, and in a study there are many.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diptych.data.files import atomic_path
from diptych.evaluation.extractors.hashing import tensors_hash
from diptych.evaluation.figure import Estimate
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.sets import Sets, content_hash

__all__ = ["Kept", "kept_file", "read_kept", "write_kept"]

VERSION = 1
"""Raise it with any change to the panel that moves a floor, a ceiling or a threshold."""


@dataclass(frozen=True, eq=False)
class Kept:
    """What the instruments were calibrated to, and what they say of real items and of copies.

    Attributes:
        state: of the instruments, by name; see their `state`.
        floors: by key, for unseen real items in place of samples.
        ceilings: by key, for planted copies.
    """

    state: Mapping[str, Tensor]
    floors: Mapping[str, Estimate]
    ceilings: Mapping[str, Estimate]


def kept_file(directory: Path, sets: Sets, described: Sets, **settings: int) -> Path:
    """Where it belongs: named by the content of all that is real, items and features.

    Args:
        directory: the cache.
        sets: the items, with a training set.
        described: their features.
        settings: the seed and the numbers on which floors and ceilings depend.
    """
    assert sets.train is not None
    assert described.train is not None
    real = {
        f"{what} {whose}": None if items is None else content_hash(items)
        for what, of in (("items", sets), ("features", described))
        for whose, items in (("real", of.real), ("floor", of.floor), ("train", of.train))
    }
    key = Protocol.of(metric="copies", version=VERSION, **real, **settings)
    return directory / f"{key.fingerprint}.safetensors"


def read_kept(path: Path) -> Kept | None:
    """What a file holds, or None if it is missing or not what was written."""
    try:
        with safe_open(path, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            record = file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    estimates = record.get("estimates", "")
    if record.get("sha256") != _digest(state, estimates):
        return None
    floors, ceilings = (
        {key: Estimate(**fields) for key, fields in group.items()}
        for group in json.loads(estimates)
    )
    return Kept(state, floors, ceilings)


def write_kept(path: Path, kept: Kept) -> None:
    """Keep it, whole or not at all.

    A folder that cannot be written keeps nothing: the cache saves seconds and must not cost a
    result.
    """
    state = {name: tensor.cpu().contiguous() for name, tensor in kept.state.items()}
    estimates = json.dumps(
        [
            {key: asdict(estimate) for key, estimate in group.items()}
            for group in (kept.floors, kept.ceilings)
        ]
    )
    metadata = {"sha256": _digest(state, estimates), "estimates": estimates}
    with suppress(OSError, SafetensorError), atomic_path(path) as draft:
        save_file(state, draft, metadata=metadata)


def _digest(state: Mapping[str, Tensor], estimates: str) -> str:
    return hashlib.sha256(f"{tensors_hash(state)} {estimates}".encode()).hexdigest()
