"""Trained classifiers kept as safetensors beside a JSON record: nothing in them can execute."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from diptych.data.files import atomic_path
from diptych.evaluation.extractors.hashing import tensors_hash
from diptych.evaluation.protocol import Protocol

__all__ = ["load", "store", "weights_hash"]


def weights_hash(network: nn.Module) -> str:
    """Return the SHA-256 of every name, shape and value of a network, in hexadecimal."""
    return tensors_hash(network.state_dict())


def store(
    cache_dir: Path | None, settings: dict[str, Any], network: nn.Module, accuracy: float
) -> None:
    """Keep a network under its settings; each file appears whole or not at all.

    The record is written last and names the weights' hash, so two writers that meet leave
    either a pair that fits or one that :func:`load` does not take.

    Args:
        cache_dir: the folder, made if need be; None keeps nothing, and so does a folder that
            cannot be written: the cache saves seconds and must not cost a result.
        settings: JSON values that name the network.
        network: whose weights to keep.
        accuracy: on held-out images, 0..1.
    """
    if cache_dir is None:
        return
    weights, record = _paths(cache_dir, settings)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    content = {**settings, "weights": weights_hash(network), "accuracy": accuracy}
    with suppress(OSError, SafetensorError):
        with atomic_path(weights) as draft:
            save_file(tensors, draft)
        with atomic_path(record) as draft:
            draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load(cache_dir: Path | None, settings: dict[str, Any], network: nn.Module) -> float | None:
    """Fill a network from the cache.

    Args:
        cache_dir: as in :func:`store`.
        settings: as in :func:`store`.
        network: of the right architecture; unchanged when nothing is found.

    Returns:
        The held-out accuracy, or None when there is no intact copy: it is made again then.
    """
    if cache_dir is None:
        return None
    weights, record = _paths(cache_dir, settings)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        network.load_state_dict(load_file(weights))
        if weights_hash(network) == content["weights"]:
            return float(content["accuracy"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
        pass  # missing or damaged; train again and overwrite it
    with torch.no_grad():
        network.load_state_dict(before)
    return None


def _paths(cache_dir: Path, settings: dict[str, Any]) -> tuple[Path, Path]:
    name = Protocol.of(metric="classifier", **settings).fingerprint
    return cache_dir / f"{name}.safetensors", cache_dir / f"{name}.json"
