"""Diptych: train a VAE and a GAN on your images under one budget, and see which to use.

The public names load what they need when they are first used, so that `import diptych` is
instant and the command line can answer `--help` without importing torch.
"""

from typing import TYPE_CHECKING, Any

from diptych._version import __version__

if TYPE_CHECKING:
    from diptych import recipes
    from diptych.data import load_data
    from diptych.evaluation.evaluate import evaluate
    from diptych.evaluation.two_sets import evaluate_sets
    from diptych.models import GAN, VAE, Game, Turn
    from diptych.models.build import build
    from diptych.study.compare import compare
    from diptych.study.study import open_study
    from diptych.training.run import load, resume, train

__all__ = [
    "GAN",
    "VAE",
    "Game",
    "Turn",
    "__version__",
    "build",
    "compare",
    "evaluate",
    "evaluate_sets",
    "load",
    "load_data",
    "open_study",
    "recipes",
    "resume",
    "train",
]

_HOME = {
    "GAN": "diptych.models",
    "Game": "diptych.models",
    "Turn": "diptych.models",
    "VAE": "diptych.models",
    "build": "diptych.models.build",
    "compare": "diptych.study.compare",
    "evaluate": "diptych.evaluation.evaluate",
    "evaluate_sets": "diptych.evaluation.two_sets",
    "load": "diptych.training.run",
    "load_data": "diptych.data",
    "open_study": "diptych.study.study",
    "resume": "diptych.training.run",
    "train": "diptych.training.run",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "recipes":
        return importlib.import_module("diptych.recipes")
    if name not in _HOME:
        raise AttributeError(f"module 'diptych' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
