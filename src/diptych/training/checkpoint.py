"""Checkpoints of safetensors and JSON: nothing in them can execute, nothing is half-written."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from diptych.data.files import flush_to_disk
from diptych.errors import RunError
from diptych.models import Game

__all__ = [
    "Checkpoint",
    "latest_checkpoint",
    "load_checkpoint",
    "load_optimizer",
    "load_weights",
    "newest_readable",
    "optimizer_tensors",
    "write_checkpoint",
]

KEPT = 2
"""Older checkpoints are removed once so many newer ones are complete."""


@dataclass(frozen=True)
class Checkpoint:
    """All that training needs to go on as if it had never stopped."""

    players: Mapping[str, Tensor]
    """The live weights and buffers of the game."""
    average: Mapping[str, Tensor]
    """The averaged game, with batch statistics that fit it: what samples."""
    optimizers: Mapping[str, Tensor]
    """Flattened optimizer states, see `optimizer_tensors`."""
    random_state: Mapping[str, Tensor]
    """torch's generator states by device, uint8."""
    means: Mapping[str, Tensor]
    """Sums and counts of the terms in the log interval that is under way."""
    state: Mapping[str, Any]
    """step, images, seconds, and the budget; JSON values."""


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write under a temporary name, flush to the disk, rename; then remove old ones.

    Args:
        folder: the run's `checkpoints` directory.
        checkpoint: what to write; `state["step"]` names it.

    Returns:
        The directory `step-XXXXXXXXXX` that now holds it.
    """
    final = folder / f"step-{checkpoint.state['step']:010d}"
    temporary = folder / f".{final.name}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name in ("players", "average", "optimizers", "random_state", "means"):
        tensors = getattr(checkpoint, name)
        save_file(
            {key: value.detach().cpu().contiguous() for key, value in tensors.items()},
            temporary / f"{name}.safetensors",
        )
    (temporary / "state.json").write_text(json.dumps(dict(checkpoint.state), indent=1) + "\n")
    for entry in (*temporary.iterdir(), temporary):
        flush_to_disk(entry)
    if final.exists():
        # Saved twice at the same step: the tensors are the same and only the budget may differ.
        # One rename, so that a crash here never leaves the run without a checkpoint.
        (temporary / "state.json").replace(final / "state.json")
        shutil.rmtree(temporary)
    else:
        temporary.rename(final)
    flush_to_disk(folder)
    for old in _complete(folder)[:-KEPT]:
        shutil.rmtree(old)
    return final


def _complete(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def latest_checkpoint(folder: Path) -> Path:
    """The newest complete checkpoint.

    Raises:
        RunError: if there is none.
    """
    complete = _complete(folder)
    if not complete:
        raise RunError(f"{folder} holds no checkpoint: the run ended before its first save")
    return complete[-1]


def newest_readable(folder: Path) -> tuple[Path, str]:
    """The newest checkpoint whose files can be read, and a sentence about newer, damaged ones.

    Returns:
        Its directory, and "" if it is the newest of all.

    Raises:
        RunError: if there is none; about the newest, if all are damaged.
    """
    newest = latest_checkpoint(folder)
    first_error: RunError | None = None
    for candidate in reversed(_complete(folder)):
        try:
            load_checkpoint(candidate)
        except RunError as error:
            first_error = first_error or error
            continue
        if candidate == newest:
            return candidate, ""
        return candidate, f"{first_error}; going on from {candidate.name} instead"
    raise first_error or RunError(f"{folder} holds no checkpoint")


def load_weights(checkpoint: Path, name: str, game: Game) -> None:
    """Load `players` or `average` of a checkpoint into a game of the same recipe and data."""
    tensors = _read(checkpoint / f"{name}.safetensors")
    try:
        game.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise RunError(f"{checkpoint} does not fit its recipe: {first}") from None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint directory.

    Raises:
        RunError: naming the file that is missing or damaged.
    """
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path / 'state.json'} cannot be read ({error})") from None
    if not isinstance(state, dict) or not state.keys() >= {"step", "images", "seconds", "budget"}:
        raise RunError(f"{path / 'state.json'} is damaged: it does not say how far training was")
    return Checkpoint(
        players=_read(path / "players.safetensors"),
        average=_read(path / "average.safetensors"),
        optimizers=_read(path / "optimizers.safetensors"),
        random_state=_read(path / "random_state.safetensors"),
        means=_read(path / "means.safetensors"),
        state=state,
    )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} is missing or damaged ({error})") from None


def optimizer_tensors(optimizers: Mapping[str, torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The state of each optimizer as flat tensors named "turn/parameter number/state name"."""
    flat: dict[str, Tensor] = {}
    for turn, optimizer in optimizers.items():
        for index, states in optimizer.state_dict()["state"].items():
            for name, value in states.items():
                flat[f"{turn}/{index}/{name}"] = torch.as_tensor(value)
    return flat


def load_optimizer(
    turn: str, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Give an optimizer the state that `optimizer_tensors` wrote for its turn."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        owner, index, name = key.split("/")
        if owner != turn:
            continue
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            # Fused optimizers walk memory, not indices: the layout must be the parameter's.
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        states.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
