"""The execution plan: how the same arithmetic is run on this machine, and why so.

A plan is chosen once, when a command starts, printed in one line and recorded in run.json.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import torch

from diptych.training.allocator import tune_allocator
from diptych.training.choices import (
    ASKED,
    choose_allocator,
    choose_compile,
    choose_device,
    choose_layers,
    choose_linear,
    choose_memory_format,
    choose_precision,
    choose_threads,
)
from diptych.training.wishes import Precision, Wishes

__all__ = ["ExecutionPlan", "Precision", "Wishes"]


@dataclass(frozen=True)
class ExecutionPlan:
    """How the same arithmetic is run on this machine."""

    device: str
    """"cpu", "cuda" or "mps"."""
    precision: Literal["fp32", "bf16"]
    """bf16: networks under autocast, weights and losses stay in single precision."""
    threads: int
    """Of each worker."""
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    """Of images and of convolutions' weights."""
    allocator: Literal["mallopt", "default"] = "default"
    """"mallopt" where glibc was told to keep freed memory."""
    linear: Literal["onednn", "default"] = "default"
    """"onednn": fp32 linear layers on the CPU go through oneDNN."""
    layers: Literal["faster", "stock"] = "stock"
    """"faster": exact forms of convolutions that a CPU computes faster."""
    compile: Literal["off", "default", "reduce-overhead", "max-autotune"] = "off"
    """"off", or the mode of torch.compile."""
    devices: int = 1
    """Workers on each node."""
    nodes: int = 1
    reasons: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Why, in a few words, by the name of each field above."""

    @classmethod
    def choose(
        cls,
        wishes: Wishes = Wishes(),  # noqa: B008 - frozen
        *,
        begun: Mapping[str, Any] | None = None,
        points: bool = False,
    ) -> "ExecutionPlan":
        """Pick what this machine does best, and set this process up for it (as `apply` does).

        Two timings decide, half a second together: one thread against all, and oneDNN against
        torch's own fp32 linear. Workers must not choose each for itself: one chooses, the
        others `apply` its plan.

        Args:
            wishes: what is fixed; it wins over what would be chosen.
            begun: "machine" in the run.json of a run that goes on. What may change the last bit
                of a sum (precision, threads, layout, linear, layers, compile) stays as it was,
                unless a wish says otherwise or this machine cannot.
            points: the data are points: single precision unless bf16 is wished for.

        Raises:
            DiptychError: if what was asked for cannot be had here.
            RunError: if `begun` holds nonsense.
        """
        before = None if begun is None else Wishes.as_begun(begun)
        device, why_device = choose_device(wishes)
        precision, why_precision = choose_precision(wishes, before, device, points=points)
        compile_, why_compile = choose_compile(wishes, before, device)
        layers, why_layers = choose_layers(wishes, before, device, compile_)
        memory_format, why_memory_format = choose_memory_format(wishes, before)
        allocator, why_allocator = choose_allocator(wishes)
        threads, why_threads = choose_threads(wishes, before, device)
        torch.set_num_threads(threads)
        linear, why_linear = choose_linear(wishes, before, device, precision, compile_)
        plan = cls(
            device=device,
            precision=precision,
            threads=threads,
            memory_format=memory_format,
            allocator=allocator,
            linear=linear,
            layers=layers,
            compile=compile_,
            devices=wishes.devices,
            nodes=wishes.nodes,
            reasons={
                "device": why_device,
                "precision": why_precision,
                "threads": why_threads,
                "memory_format": why_memory_format,
                "allocator": why_allocator,
                "linear": why_linear,
                "layers": why_layers,
                "compile": why_compile,
                "devices": ASKED if wishes.devices > 1 else "one unless more are asked for",
                "nodes": ASKED if wishes.nodes > 1 else "one unless more are asked for",
            },
        )
        plan.apply()
        return plan

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "ExecutionPlan":
        """The plan of `to_dict`, e.g. in another process; other keys are left alone."""
        names = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in entry.items() if name in names})

    def to_dict(self) -> dict[str, Any]:
        """For run.json, and for the other workers."""
        return {**asdict(self), "tf32": self.tf32}

    @property
    def tf32(self) -> bool:
        """Whether products of fp32 numbers on a GPU may round the factors to 10 bits (TF32)."""
        return self.device == "cuda" and self.precision == "bf16"

    def apply(self) -> None:
        """Set this process up: threads, allocator, TF32."""
        torch.set_num_threads(self.threads)
        if self.allocator == "mallopt":
            tune_allocator()
        if self.device == "cuda":
            torch.set_float32_matmul_precision("high" if self.tf32 else "highest")
            torch.backends.cudnn.allow_tf32 = self.tf32

    def __str__(self) -> str:
        workers = self.devices * self.nodes
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return ", ".join(
            [
                self.device if workers == 1 else f"{workers} workers on {self.device}",
                threads if workers == 1 else f"{threads} each",
                self.precision,
                self.memory_format.replace("_", " "),
                "mallopt" if self.allocator == "mallopt" else "plain malloc",
                "oneDNN linear" if self.linear == "onednn" else "plain linear",
                f"{self.layers} layers",
                "no compile" if self.compile == "off" else f"compile {self.compile}",
            ]
        )
