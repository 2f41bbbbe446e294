"""A study that holds nothing but live latents, of untrained models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from diptych import build, load_data
from diptych.data import describe
from diptych.models import Game
from diptych.recipes import load_recipe
from diptych.study.evidence.latents import choose_queries, write_latents
from diptych.training.run import Run


def model_of(kind: str, shape: tuple[int, int, int], *, width: int = 4) -> Game:
    turns = {"vae": ("autoencoder",), "gan": ("discriminator", "generator")}[kind]
    recipe = {
        "name": f"some-{kind}", "title": kind.upper(), "summary": "for tests",
        "model": {"kind": kind, "latent_dim": 6, "network": {"kind": "conv", "width": width}},
        "optimizers": {turn: {"learning_rate": 1e-3} for turn in turns},
        "training": {"batch_size": 16},
    }  # fmt: skip
    model = build(recipe, shape, seed=2).eval()
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data.mul_(4.0)  # pictures with contrast
    return model


def write(directory: Path, kinds: tuple[str, ...] = ("vae", "gan")) -> dict[str, Game]:
    """Write study.json, queries and evidence; the models by their recipe."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (150, 4, 4, 3), np.uint8)
    data = load_data(coarse.repeat(4, axis=1).repeat(3, axis=2))  # 16 x 12
    models, members = {}, []
    for kind in kinds:
        model = model_of(kind, data.shape)
        run = Run(directory / kind, load_recipe("vae"), model, {})
        latents = write_latents(run, data, directory / kind / "page")
        evidence = {"schema": 1, "latents": latents}
        write_json(directory / kind / "page/evidence.json", evidence)
        models[kind] = model
        members.append(
            {"recipe": kind, "title": kind.upper(), "family": kind, "directory": kind}
            | {"status": "finished", "evidence": f"{kind}/page/evidence.json"}
        )
    kept = ("name", "kind", "shape", "count", "splits", "fingerprint", "notes")
    described = {key: value for key, value in describe(data).items() if key in kept}
    study: dict[str, Any] = {"schema": 2, "data": described, "members": members}
    study["queries"] = choose_queries(data, directory)
    write_json(directory / "study.json", study)
    return models


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
