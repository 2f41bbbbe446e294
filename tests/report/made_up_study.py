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


def figure(key: str, name: str, value: float | None, better: str, floor: float | None,
           panel: str = "fidelity", **more: Any) -> dict:  # fmt: skip
    return {
        "key": key, "name": name, "panel": panel, "value": value, "unit": "", "better": better,
        "floor": floor, "ceiling": None, "low": None, "high": None, "interval": "",
        "n_real": 1000, "n_fake": 1000, "trusted": True, "protocol": f"{key}-p1", "note": "",
        **more,
    }  # fmt: skip


FIGURES: tuple[tuple[str, str, str, str, float | None, str], ...] = (
    ("fd-classifier", "FD (classifier)", "lower", "fidelity", 1.18, "squared feature units"),
    ("precision-classifier", "precision (classifier)", "higher", "fidelity", 0.941, "share"),
    ("recall-classifier", "recall (classifier)", "higher", "fidelity", 0.938, "share"),
    ("coverage-classifier", "coverage (classifier)", "higher", "fidelity", 0.96, "share"),
    ("classes-found", "classes found", "higher", "collapse", 2.0, "classes"),
    ("sharpness-ratio", "sharpness ratio", "closer", "blur", 0.995, ""),
    ("reconstruction-psnr", "PSNR", "higher", "reconstruction", None, "dB"),
    ("nearest-ratio-share-classifier", "suspiciously near to training (classifier)", "lower",
     "copies", 0.011, "share"),
)  # fmt: skip
VALUES = {
    "vae": (57.31, 0.712, 0.533, 0.55, 2.0, 0.412, 21.62, 0.0006),
    "gan": (12.34, 0.871, 0.614, 0.66, 2.0, 0.951, 19.8, 0.0002),
    "vae-gan": (25.4, 0.80, 0.60, 0.61, 2.0, 0.80, 20.9, 0.0004),
    "pca": (184.0, 0.21, 0.24, 0.2, 2.0, 0.21, 17.0, 0.0),
}
"""Of every recipe by the order of `FIGURES`; seeds lie a little around them."""
TITLES = {"vae": "VAE", "gan": "GAN", "vae-gan": "VAE-GAN"}
FAMILIES = {"vae": "vae", "gan": "gan", "vae-gan": "hybrid"}
PARAMETERS = {
    "vae": {"encoder": 391_296, "decoder": 402_113},
    "gan": {"generator": 402_145, "discriminator": 387_201},
    "vae-gan": {"encoder": 391_296, "decoder": 402_113, "discriminator": 387_201},
}
TURNS = {
    "vae": ["encoder + decoder lower the negative ELBO"],
    "gan": [
        "the discriminator lowers its logistic loss, with R1 every 8th step",
        "the generator lowers the non-saturating loss",
    ],
    "vae-gan": ["encoder + decoder lower the negative ELBO", "the discriminator tells them apart"],
}
SEEN = {"vae": 412_800, "gan": 318_400, "vae-gan": 201_600}


def figures(recipe: str, seed: int | None) -> list[dict[str, Any]]:
    around = {None: 1.0, 0: 1.0, 1: 1.02, 2: 0.98}[seed]
    made = []
    for (key, name, better, panel, floor, unit), value in zip(
        FIGURES, VALUES[recipe], strict=True
    ):
        at = value if unit in ("classes", "share") else value * around
        low, high = (None, None) if unit == "classes" else (0.97 * at, 1.03 * at)
        made.append(figure(key, name, at, better, floor, panel, unit=unit, low=low, high=high))
    return made


def member(recipe: str, seed: int = 0) -> dict[str, Any]:
    home = f"{recipe}/seed-{seed}"
    seen = SEEN[recipe] + 1600 * seed
    kinds = ("samples", "reconstruction", "interpolation")
    return {
        "recipe": recipe, "title": TITLES[recipe], "family": FAMILIES[recipe], "seed": seed,
        "status": "finished", "reason": "", "directory": home, "parameters": PARAMETERS[recipe],
        "images_seen": seen, "steps": seen // 64, "train_seconds": 180.2,
        "evaluation_seconds": 21.4, "images_per_second": round(seen / 180.2, 1),
        "turns": TURNS[recipe], "figures": figures(recipe, seed),
        "pictures": {kind: f"{home}/pictures/{kind}.png" for kind in kinds},
        "evidence": f"{home}/page/evidence.json",
        "reconstruction_sentence": f"Mean squared error 0.012{seed} on 1,000 test pictures.",
    }  # fmt: skip


def diverged(recipe: str, seed: int) -> dict[str, Any]:
    return member(recipe, seed) | {
        "status": "diverged", "reason": "generator/loss became NaN at step 40", "figures": [],
        "pictures": {}, "evidence": None, "reconstruction_sentence": "",
    }  # fmt: skip


def evidence(recipe: str) -> dict[str, Any]:
    return {
        "schema": 1, "latents": None,
        "copies": {
            "picture": "page/copies.png", "columns": 6, "distance": "in classifier features",
            "distances": [[2.0 + i / 7, 2.5] for i in range(6)],
            "sentence": f"Six samples of {recipe} that lie nearest to training images.",
        },
        "classes": {
            "names": ["T-shirt/top", "Trouser"], "real": [0.5, 0.5], "samples": [0.61, 0.39],
            "coverage": [0.7, None], "sentence": "",
        },
        "missing": {
            "picture": "page/missing.png", "columns": 6,
            "sentence": "34 % of held-out images have no sample near.",
        },
    }  # fmt: skip


def baseline() -> dict[str, Any]:
    return {
        "name": "pca", "title": "PCA sampler", "directory": "baselines/pca", "seconds": 1.4,
        "sentence": "A Gaussian fitted to the first principal components.",
        "figures": figures("pca", None), "pictures": {"samples": "baselines/pca/samples.png"},
    }  # fmt: skip


def search() -> dict[str, Any]:
    trials = [
        {
            "number": i, "status": "finished", "settings": {"model.beta": 0.5 * (i + 1)},
            "value": 30.0 - 3 * i, "seconds": 60.2, "images_seen": 90_000,
            "directory": f"vae/trials/{i}", "reason": "",
        }
        for i in range(3)
    ]  # fmt: skip
    trials[1] |= {"status": "diverged", "value": None, "reason": "the loss became NaN"}
    return {
        "recipe": "vae", "title": "VAE", "metric": "fd-classifier", "split": "validation",
        "space": {
            "model.beta": {"low": 0.1, "high": 4.0, "log": True, "integer": False},
            "model.latent_dim": {"choices": [16, 32]},
        },
        "trials": trials, "chosen": 2, "settings": {"model.beta": 1.5},
    }  # fmt: skip


def study_json(*members: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": 2, "diptych": "0.2.0",
        "command": "diptych compare vae gan vae-gan --data fashion-mini --minutes 3 --seeds 3",
        "created": "2026-11-22T12:00:00+00:00",
        "data": {
            "name": "fashion-mini", "kind": "images", "shape": [1, CELL, CELL], "count": 10_000,
            "splits": {"train": 8000, "validation": 1000, "test": 1000},
            "classes": {"T-shirt/top": 1000, "Trouser": 1000}, "fingerprint": "9f2c" * 16,
            "notes": ["The official test set of Fashion-MNIST."],
        },
        "budget": {"minutes": 3.0, "images": None, "equal": "time"}, "seeds": [0, 1, 2],
        "settings": {"recipes": {"vae": {"model": {"kind": "vae", "latent_dim": 32}}}},
        "machine": {
            "device": "cpu", "threads": 2, "processor": "Some Processor @ 2.40GHz",
            "precision": "bf16-mixed", "torch": "2.13.0+cpu", "python": "3.11.7",
        },
        "features": {
            "name": "classifier", "accuracy": 0.8912,
            "sentence": "Distances are measured on the features of a small classifier trained on "
            "the training labels; this is not the Inception FID.",
        },
        "protocols": {
            "fd-classifier-p1": {
                "metric": "fd", "features": {"extractor": "classifier", "weights": "756a" * 16},
            }
        },
        "real": "pictures/real.png", "real_grid": {"columns": 8, "rows": 8}, "queries": None,
        "members": list(members), "baselines": [baseline()], "search": [search()],
        "verdict": None,
    }  # fmt: skip


def whole_study() -> dict[str, Any]:
    """Three recipes at three seeds; one GAN of three diverged."""
    members = [member(recipe, seed) for recipe in TITLES for seed in range(3)]
    members[4] = diverged("gan", 1)
    return study_json(*members)


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


def hybrid_metrics(rows: int = 120) -> list[dict[str, float]]:
    return [{**gan, **vae} for vae, gan in zip(vae_metrics(rows), gan_metrics(rows), strict=True)]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def paint(directory: Path, content: dict[str, Any]) -> Path:
    """Draw every picture that a study names, and write its logs, its evidence and itself."""
    rng = random.Random(0)
    some = [shape(rng) for _ in range(64)]
    save(grid(some, 8), directory / "pictures/real.png")
    save(grid([p.filter(ImageFilter.GaussianBlur(2)) for p in some], 8),
         directory / "baselines/pca/samples.png")  # fmt: skip
    for entry in content["members"]:
        home, recipe = directory / entry["directory"], entry["recipe"]
        blur = {"vae": 1.3, "gan": 0.0, "vae-gan": 0.6}[recipe]
        drawn = [shape(rng, blur) for _ in range(64)]
        rows = {"vae": vae_metrics, "gan": gan_metrics, "vae-gan": hybrid_metrics}[recipe]()
        write_lines(home / "metrics.jsonl", rows)
        for images in (0, 3200, 12_800, 51_200, 102_400, SEEN[recipe]):
            early = [p.filter(ImageFilter.GaussianBlur(3e4 / (images + 1e4))) for p in drawn[:16]]
            save(grid(early, 4), home / f"samples/{images:012d}.png")
        if not entry["pictures"]:
            continue
        save(grid(drawn, 8), home / "pictures/samples.png")
        again = [p.filter(ImageFilter.GaussianBlur(1)) for p in some[:12]]
        save(grid([*some[:12], *again], 12), home / "pictures/reconstruction.png")
        walks = [Image.blend(drawn[r], drawn[r + 1], i / 8) for r in range(4) for i in range(9)]
        save(grid(walks, 9), home / "pictures/interpolation.png")
        save(grid([*drawn[:6], *some[:12]], 6), home / "page/copies.png")
        save(grid(some[12:24], 6), home / "page/missing.png")
        (home / "page/evidence.json").write_text(json.dumps(evidence(recipe)), encoding="utf-8")
    return write_study(directory, content)


def write_study(directory: Path, content: dict[str, Any]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "study.json").write_text(json.dumps(content), encoding="utf-8")
    return directory
