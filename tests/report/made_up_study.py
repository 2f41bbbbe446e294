"""Parts of a made-up study: plausible figures, drawn shapes, no training."""

import json
import math
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

CELL, GAP = 28, 2


def shape(rng: random.Random, blur: float = 0.0) -> Image.Image:
    """One grey 28 x 28 picture of an ellipse or a box."""
    picture = Image.new("L", (CELL, CELL), 0)
    draw = ImageDraw.Draw(picture)
    left, top = rng.randint(2, 9), rng.randint(2, 9)
    box = (left, top, left + rng.randint(9, 16), top + rng.randint(9, 16))
    (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=rng.randint(120, 255))
    return picture.filter(ImageFilter.GaussianBlur(blur)) if blur else picture


def grid(pictures: list[Image.Image], columns: int, margin: int = 0) -> Image.Image:
    """Pictures side by side with gaps, as the samplers write them."""
    rows = -(-len(pictures) // columns)
    pitch = CELL + GAP
    size = (columns * pitch - GAP + 2 * margin, rows * pitch - GAP + 2 * margin)
    sheet = Image.new(pictures[0].mode, size, 255 if pictures[0].mode == "L" else (255, 255, 255))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (margin + i % columns * pitch, margin + i // columns * pitch))
    return sheet


def figure(name: str, value: float | None, better: str, floor: float | None, **more: Any) -> dict:
    return {
        "name": name, "value": value, "unit": "", "better": better, "floor": floor,
        "n_real": 1000, "n_fake": 1000, "protocol": "", "note": "", **more,
    }  # fmt: skip


def vae_member() -> dict[str, Any]:
    return {
        "recipe": "vae", "title": "VAE", "family": "vae", "status": "finished", "reason": "",
        "directory": "vae", "parameters": {"encoder": 391_296, "decoder": 402_113},
        "images_seen": 412_800, "steps": 6450, "train_seconds": 180.2, "evaluation_seconds": 21.4,
        "images_per_second": 2290.8, "turns": ["encoder + decoder lower the negative ELBO"],
        "figures": [
            figure("FD (classifier)", 57.31, "lower", 1.18,
                   protocol="Fréchet distance of features, test pictures"),
            figure("precision", 0.712, "higher", 0.941, protocol="k = 3 nearest neighbours"),
            figure("recall", 0.533, "higher", 0.938, protocol="k = 3 nearest neighbours"),
            figure("sharpness", 0.00312, "closer", 0.00894, n_fake=1000,
                   protocol="variance of the Laplacian"),
            figure("negative ELBO", 241.62, "lower", None, unit="nats per image", n_fake=None,
                   note="a bound; no floor is known"),
        ],
        "pictures": {
            "samples": "vae/pictures/samples.png",
            "reconstruction": "vae/pictures/reconstruction.png",
            "interpolation": "vae/pictures/interpolation.png",
        },
        "reconstruction_sentence": "Mean squared error 0.0123 per pixel on 1,000 test pictures.",
    }  # fmt: skip


def gan_member() -> dict[str, Any]:
    return {
        "recipe": "gan", "title": "GAN", "family": "gan", "status": "finished", "reason": "",
        "directory": "gan", "parameters": {"generator": 402_145, "discriminator": 387_201},
        "images_seen": 318_400, "steps": 4975, "train_seconds": 180.1, "evaluation_seconds": 19.9,
        "images_per_second": 1767.9,
        "turns": [
            "the discriminator lowers its logistic loss, with R1 every 8th step",
            "the generator lowers the non-saturating loss",
        ],
        "figures": [
            figure("FD (classifier)", 12.34, "lower", 1.18,
                   protocol="Fréchet distance of features, test pictures"),
            figure("precision", 0.871, "higher", 0.941, protocol="k = 3 nearest neighbours"),
            figure("recall", 0.614, "higher", 0.938, protocol="k = 3 nearest neighbours"),
            figure("sharpness", 0.00841, "closer", 0.00894,
                   protocol="variance of the Laplacian"),
        ],
        "pictures": {
            "samples": "gan/pictures/samples.png",
            "interpolation": "gan/pictures/interpolation.png",
        },
    }  # fmt: skip


def study_json(*members: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": 1, "diptych": "0.1.0",
        "command": "diptych compare vae gan --data fashion-mini --minutes 3",
        "created": "2026-11-22T12:00:00+00:00",
        "data": {
            "name": "fashion-mini", "kind": "images", "shape": [1, CELL, CELL], "count": 10_000,
            "splits": {"train": 8000, "validation": 1000, "test": 1000},
            "classes": {"T-shirt/top": 1000, "Trouser": 1000}, "fingerprint": "9f2c" * 16,
            "notes": ["The official test set of Fashion-MNIST."],
        },
        "budget": {"minutes": 3.0, "images": None}, "seed": 0,
        "machine": {
            "device": "cpu", "threads": 2, "processor": "Some Processor @ 2.40GHz",
            "precision": "bf16-mixed", "torch": "2.13.0+cpu", "python": "3.11.7",
        },
        "features": {
            "name": "classifier", "accuracy": 0.8912,
            "sentence": "Distances are measured on the features of a small classifier trained on "
            "the training labels; this is not the Inception FID.",
        },
        "real": "pictures/real.png", "real_grid": {"columns": 8, "rows": 8},
        "members": list(members),
    }  # fmt: skip


def vae_metrics(rows: int = 120) -> list[dict[str, float]]:
    rng = random.Random(1)
    return [
        {
            "step": 50 * i, "images": 3200 * i, "seconds": 1.5 * i, "images_per_second": 2133.3,
            "autoencoder/negative_elbo": 242 + 320 * math.exp(-i / 6) + rng.gauss(0, 1.0),
            "autoencoder/reconstruction": 228 + 330 * math.exp(-i / 6) + rng.gauss(0, 1.0),
            "autoencoder/kl": 14 * (1 - math.exp(-i / 8)) + rng.gauss(0, 0.2),
            "autoencoder/beta": min(1.0, i / 20),
        }
        for i in range(1, rows + 1)
    ]  # fmt: skip


def gan_metrics(rows: int = 120) -> list[dict[str, float]]:
    rng = random.Random(2)
    return [
        {
            "step": 40 * i, "images": 2650 * i, "seconds": 1.5 * i, "images_per_second": 1766.7,
            "discriminator/loss": 1.05 + 0.3 * math.exp(-i / 9) + rng.gauss(0, 0.05),
            "discriminator/logits_real": 0.9 + rng.gauss(0, 0.15),
            "discriminator/logits_fake": -0.95 + rng.gauss(0, 0.15),
            "discriminator/r1": 0.04 + 0.3 * math.exp(-i / 4) + abs(rng.gauss(0, 0.01)),
            "generator/loss": 1.2 + 0.2 * (1 - math.exp(-i / 20)) + rng.gauss(0, 0.06),
        }
        for i in range(1, rows + 1)
    ]  # fmt: skip


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def write_study(directory: Path, content: dict[str, Any]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "study.json").write_text(json.dumps(content), encoding="utf-8")
    return directory
