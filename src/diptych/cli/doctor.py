"""`diptych doctor`."""

import platform
import sys
from importlib import metadata

from diptych import __version__
from diptych.cli.console import print_json, stdout
from diptych.cli.options import JsonOutput

__all__ = ["doctor"]

PACKAGES = ("torch", "lightning-fabric", "numpy", "pillow", "pydantic", "safetensors", "typer")


def doctor(json: JsonOutput = False) -> None:
    """Say what this machine has, what would be used, and whether it works; for bug reports."""
    from diptych.data import cache_root, is_offline, load_data
    from diptych.models.build import build
    from diptych.training.speed import SpeedPlan, processor_name

    plan = SpeedPlan.choose()
    mini = load_data("fashion-mini")
    for name in ("vae", "gan"):
        build(name, mini).eval().sample(2, seed=0)
    facts = {
        "diptych": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        **{name: metadata.version(name) for name in PACKAGES},
        "device": plan.device,
        "precision": plan.precision,
        "threads": plan.threads,
        "allocator": plan.allocator,
        "cache": str(cache_root()),
        "offline": is_offline(),
        "fashion-mini": f"{len(mini.array):,} images",
        "models": "a VAE and a GAN were built and sampled",
        "executable": sys.executable,
    }
    if json:
        print_json(facts)
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        stdout.print(f"{name:<{width}}  {value}")
