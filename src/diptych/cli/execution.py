"""Options of how the work is run on a machine; none of them changes what is trained."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from diptych.cli.options import EXECUTION, PrecisionName

if TYPE_CHECKING:
    from diptych.training.wishes import Wishes

__all__ = [
    "Allocator",
    "AllocatorName",
    "Compile",
    "CompileName",
    "Devices",
    "Layers",
    "LayersName",
    "Linear",
    "LinearName",
    "MemoryFormat",
    "MemoryFormatName",
    "Nodes",
    "Threads",
    "make_wishes",
]


class MemoryFormatName(StrEnum):
    """Layouts of images and of convolutions' weights."""

    auto = "auto"
    channels_last = "channels_last"
    contiguous = "contiguous"


class AllocatorName(StrEnum):
    """What is told to the C library's allocator."""

    auto = "auto"
    mallopt = "mallopt"
    default = "default"


class LinearName(StrEnum):
    """Libraries for fp32 linear layers."""

    auto = "auto"
    onednn = "onednn"
    default = "default"


class LayersName(StrEnum):
    """Forms in which layers are computed."""

    auto = "auto"
    faster = "faster"
    stock = "stock"


class CompileName(StrEnum):
    """Modes of torch.compile."""

    auto = "auto"
    off = "off"
    default = "default"
    reduce_overhead = "reduce-overhead"
    max_autotune = "max-autotune"


Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        rich_help_panel=EXECUTION,
        help="Of each worker; by default one or all, whichever a short probe finds faster.",
    ),
]
MemoryFormat = Annotated[
    MemoryFormatName,
    typer.Option("--memory-format", rich_help_panel=EXECUTION, help="Layout of images."),
]
Allocator = Annotated[
    AllocatorName,
    typer.Option(
        "--allocator",
        rich_help_panel=EXECUTION,
        help="mallopt tells glibc to keep freed memory for the next step.",
    ),
]
Linear = Annotated[
    LinearName,
    typer.Option("--linear", rich_help_panel=EXECUTION, help="Library of fp32 linear layers."),
]
Layers = Annotated[
    LayersName,
    typer.Option(
        "--layers",
        rich_help_panel=EXECUTION,
        help="faster: exact forms of convolutions that a CPU computes faster.",
    ),
]
Compile = Annotated[
    CompileName,
    typer.Option("--compile", rich_help_panel=EXECUTION, help="Mode of torch.compile."),
]
Devices = Annotated[
    int,
    typer.Option(
        "--devices",
        min=1,
        rich_help_panel=EXECUTION,
        help="Workers that share each batch: GPUs, or processes on a CPU.",
    ),
]
Nodes = Annotated[
    int,
    typer.Option(
        "--nodes", min=1, rich_help_panel=EXECUTION, help="Machines with --devices each."
    ),
]


def make_wishes(
    *,
    device: str,
    precision: PrecisionName,
    threads: int | None,
    memory_format: MemoryFormatName,
    allocator: AllocatorName,
    linear: LinearName,
    layers: LayersName,
    compile: CompileName,
    devices: int,
    nodes: int,
) -> "Wishes":
    """What the options say.

    Raises:
        DiptychError: for an unknown device.
    """
    from diptych.training.wishes import Wishes

    return Wishes(
        device=device,
        precision=precision.value,
        threads=threads,
        memory_format=memory_format.value,
        allocator=allocator.value,
        linear=linear.value,
        layers=layers.value,
        compile=compile.value,
        devices=devices,
        nodes=nodes,
    )
