"""The command, or the lines of Python, that make again what the page shows."""

import math
import shlex
from collections.abc import Sequence

import numpy as np

from diptych.explorer.models import PICTURES, Exhibit

__all__ = ["decode_lines", "path_lines", "reconstruct_command", "sample_command", "walk_command"]


def sample_command(exhibit: Exhibit, n: int, seed: int, spread: float) -> str:
    """A grid of samples: a command, or lines where the prior's draws are scaled."""
    if spread == 1.0:
        return _diptych("sample", exhibit, "-n", n, "--seed", seed, "--out", "samples.png")
    return _lines(
        exhibit,
        f"codes = model.sample_codes({n}, seed={seed}) * {spread!r}",
        "with torch.inference_mode():",
        f"    picture_of(model.decode_mean(codes), columns={columns(n)}).save('samples.png')",
    )


def walk_command(exhibit: Exhibit, seed: int, steps: int) -> str:
    """A path between two codes that were drawn together with one seed."""
    return _diptych(
        "interpolate", exhibit, "-n", 1, "--steps", steps, "--seed", seed, "--out", "strip.png"
    )


def path_lines(exhibit: Exhibit, start: Sequence[float], end: Sequence[float], steps: int) -> str:
    """A path between any two codes."""
    return _lines(
        exhibit,
        f"start = torch.tensor([{_numbers(start)}])",
        f"end = torch.tensor([{_numbers(end)}])",
        f"path = model.interpolate(start, end, steps={steps})[0]",
        f"picture_of(path, columns={steps}).save('strip.png')",
    )


def decode_lines(exhibit: Exhibit, codes: Sequence[Sequence[float]]) -> str:
    """Pictures of given codes."""
    rows = ",\n    ".join(_numbers(code) for code in codes)
    return _lines(
        exhibit,
        f"codes = torch.tensor([\n    {rows},\n])",
        "with torch.inference_mode():",
        f"    picture_of(model.decode_mean(codes), columns={columns(len(codes))})"
        ".save('picture.png')",
    )


def reconstruct_command(exhibit: Exhibit) -> str | None:
    """Held-out pictures and the model's own versions, or None where no command shows these."""
    if exhibit.given is None:
        return _diptych("reconstruct", exhibit, "-n", PICTURES, "--out", "pairs.png")
    if exhibit.is_own:
        return None  # the command would take them from all splits
    return _diptych(
        "reconstruct", exhibit, *shlex.split(exhibit.given), "-n", PICTURES, "--out", "pairs.png"
    )


def columns(n: int) -> int:
    """Pictures per row of a grid, as `diptych sample` lays them out."""
    return max(1, round(math.sqrt(n)))


def _diptych(command: str, exhibit: Exhibit, *options: object) -> str:
    return shlex.join(["diptych", command, str(exhibit.directory), *map(str, options)])


def _lines(exhibit: Exhibit, *lines: str) -> str:
    return "\n".join(
        [
            "import diptych, torch",
            "from diptych.models.drawing import picture_of",
            f"model = diptych.load({str(exhibit.directory)!r}).model",
            *lines,
        ]
    )


def _numbers(code: Sequence[float]) -> str:
    """The shortest decimals that give the same single-precision numbers."""
    return "[" + ", ".join(str(np.float32(value)) for value in code) + "]"
