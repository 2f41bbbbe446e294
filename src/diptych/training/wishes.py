"""What a person may fix of an execution plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from diptych.errors import DiptychError, RunError

__all__ = ["Allocator", "Compile", "Layers", "Linear", "MemoryFormat", "Precision", "Wishes"]

Precision = Literal["auto", "fp32", "bf16"]
MemoryFormat = Literal["auto", "channels_last", "contiguous"]
Allocator = Literal["auto", "mallopt", "default"]
Linear = Literal["auto", "onednn", "default"]
Layers = Literal["auto", "faster", "stock"]
Compile = Literal["auto", "off", "default", "reduce-overhead", "max-autotune"]

CHOICES: Mapping[str, tuple[str, ...]] = {
    "device": ("auto", "cpu", "cuda", "mps"),
    "precision": get_args(Precision),
    "memory_format": get_args(MemoryFormat),
    "allocator": get_args(Allocator),
    "linear": get_args(Linear),
    "layers": get_args(Layers),
    "compile": get_args(Compile),
}


@dataclass(frozen=True)
class Wishes:
    """What is fixed; "auto" and None leave the choice to the machine.

    Raises:
        DiptychError: for a value that means nothing on any machine.
    """

    device: str = "auto"
    """"auto", "cpu", "cuda" or "mps"."""
    precision: Precision = "auto"
    threads: int | None = None
    """Of each worker."""
    memory_format: MemoryFormat = "auto"
    allocator: Allocator = "auto"
    linear: Linear = "auto"
    layers: Layers = "auto"
    """"faster": exact forms of convolutions that a CPU computes faster (networks/faster.py)."""
    compile: Compile = "auto"
    """"off", or a mode of torch.compile."""
    devices: int = 1
    """Workers on each node: GPUs, or processes on a CPU."""
    nodes: int = 1
    """Machines."""

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise DiptychError(
                    f"{name.replace('_', ' ')} {value!r} is unknown; allowed: {', '.join(allowed)}"
                )
        for name in ("threads", "devices", "nodes"):
            value = getattr(self, name)
            if value is None and name == "threads":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise DiptychError(f"{name} must be a whole number of at least 1, not {value!r}")

    @classmethod
    def as_begun(cls, machine: Mapping[str, Any]) -> "Wishes":
        """What a run that goes on keeps: all that may change the last bit of a sum.

        Args:
            machine: "machine" of run.json, of this version or an older one, which knew the
                layout as a flag and only one way for every layer.

        Raises:
            RunError: if a value in it means nothing.
        """
        kept = {
            "precision": machine.get("precision", "auto"),
            "threads": machine.get("threads"),
            "memory_format": machine.get(
                "memory_format",
                "channels_last" if machine.get("channels_last", True) else "contiguous",
            ),
            "linear": machine.get("linear", "default"),
            "layers": machine.get("layers", "stock"),
            "compile": machine.get("compile", "off"),
        }
        try:
            return cls(**kept)
        except DiptychError as error:
            raise RunError(f"run.json is damaged: machine: {error}") from None
