"""Tensors kept on disk because making them again costs more than reading them."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diptych.data.files import atomic_path
from diptych.evaluation.extractors.hashing import tensors_hash

__all__ = ["read_tensors", "write_tensors"]


def read_tensors(path: Path) -> dict[str, Tensor] | None:
    """The tensors in a file by name, or None if it is missing or not what was written."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            written = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return tensors if tensors_hash(tensors) == written else None


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Keep tensors, whole or not at all; a folder that cannot be written keeps nothing."""
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with suppress(OSError, SafetensorError), atomic_path(path) as draft:
        save_file(content, draft, metadata={"sha256": tensors_hash(content)})
