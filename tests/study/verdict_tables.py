"""Made-up tables of results whose verdict is known beforehand."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from diptych.study.table import Member, Row, Table

TITLES = {"vae": "VAE", "gan": "GAN", "vae-gan": "VAE-GAN", "vae-mse": "VAE (squared error)"}
FAMILIES = {"vae": "vae", "gan": "gan", "vae-gan": "hybrid", "vae-mse": "vae"}
IMAGES: Mapping[str, Any] = {
    "name": "made-up", "kind": "images", "shape": [1, 28, 28],
    "splits": {"train": 50_000, "validation": 5_000, "test": 10_000},
}  # fmt: skip

METRICS: dict[str, tuple[str, str, str, str, float | None, float | None]] = {
    # key: name, unit, better, panel, floor, ceiling
    "fd": ("FD", "squared feature units", "lower", "fidelity", 0.3, None),
    "kid": ("KID", "kernel units", "lower", "fidelity", 0.0, None),
    "precision": ("precision", "share", "higher", "fidelity", 0.88, None),
    "recall": ("recall", "share", "higher", "fidelity", 0.87, None),
    "density": ("density", "", "closer", "fidelity", 1.0, None),
    "coverage": ("coverage", "share", "higher", "fidelity", 0.96, None),
    "classes-found": ("classes found", "classes", "higher", "collapse", 10.0, None),
    "modes-found": ("modes found", "modes", "higher", "collapse", 25.0, 25.0),
    "collapsed-dimensions":
        ("collapsed dimensions", "dimensions", "lower", "collapse", None, 16.0),
    "sharpness-ratio": ("sharpness ratio", "", "closer", "blur", 1.0, None),
    "noise-ratio": ("noise ratio", "", "closer", "blur", 1.0, None),
    "gaussian-bits":
        ("bits per dimension, Gaussian noise", "bits", "lower", "density", None, None),
    "gaussian-ais":
        ("log p(x) by AIS, Gaussian noise", "nats per image", "higher", "density", None, None),
    "gaussian-bdmc-gap":
        ("BDMC gap, Gaussian noise", "nats per image", "lower", "density", None, None),
    "negative-elbo": ("negative ELBO", "nats per image", "lower", "density", None, None),
    "bits-per-dimension": ("bits per dimension", "bits", "lower", "density", None, None),
    "path-length-relative": ("path length over spread", "", "lower", "latent", None, None),
    "step-variation": ("variation of steps", "", "lower", "latent", None, None),
    "reconstruction-psnr": ("PSNR", "dB", "higher", "reconstruction", None, 11.0),
    "exact-duplicates": ("exact copies", "share", "lower", "copies", 0.0, 1.0),
    "nearest-ratio-share":
        ("suspiciously near to training", "share", "lower", "copies", 0.01, 1.0),
    "copying-ct": ("data-copying C_T", "z-score", "closer", "copies", -0.2, -20.0),
}  # fmt: skip
WITH_FEATURES = {
    *(
        "fd",
        "kid",
        "precision",
        "recall",
        "density",
        "coverage",
        "nearest-ratio-share",
        "copying-ct",
    ),
    "path-length-relative",
}


def figure(
    recipe: str, seed: int | None, base: str, value: float, error: float | None, **more: Any
) -> Row:
    """One figure; `error` is the standard error of its own interval."""
    name, unit, better, panel, floor, ceiling = METRICS[base]
    extractor = "classifier" if base in WITH_FEATURES else ""
    of_items = panel in ("density", "reconstruction")
    given: dict[str, Any] = {
        "kind": "baseline" if seed is None else "member",
        "recipe": recipe,
        "seed": seed,
        "key": f"{base}-{extractor}" if extractor else base,
        "name": f"{name} ({extractor})" if extractor else name,
        "panel": panel,
        "unit": unit,
        "better": better,
        "value": value,
        "low": None if error is None else value - 1.96 * error,
        "high": None if error is None else value + 1.96 * error,
        "floor": floor,
        "ceiling": ceiling,
        "n_real": 5000,
        "n_fake": None if of_items else 5000,
        "extractor": extractor,
        "protocol": f"{base}-0123",
    }
    return Row(**{**given, **more})


def member(recipe: str, seed: int, status: str = "finished") -> Member:
    """A member of a known recipe."""
    return Member(
        recipe, TITLES[recipe], FAMILIES[recipe], seed, status,
        "" if status == "finished" else "the loss is not finite",
        parameters=228_497, images_seen=1_000_000, train_seconds=600.0,
        evaluation_seconds=200.0, images_per_second=1600.0 if recipe == "vae" else 1200.0,
    )  # fmt: skip


def table(
    figures: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    errors: Mapping[str, float | None] | None = None,
    statuses: Mapping[str, Sequence[str]] | None = None,
    rows: Iterable[Row] = (),
    baselines: Mapping[str, str] | None = None,
    data: Mapping[str, Any] = IMAGES,
    minutes: float = 10.0,
) -> Table:
    """A study.

    Args:
        figures: recipe, metric, and its value at each seed that finished.
        errors: standard errors of a run's own intervals by metric; 1 % of the value if not given.
        statuses: of each seed by recipe; all finished if not given.
        rows: more figures.
        baselines: titles by name.
        data: of the study.
        minutes: the budget.
    """
    members: list[Member] = []
    made: list[Row] = []
    for recipe, metrics in figures.items():
        seeds = max([len(values) for values in metrics.values()], default=1)
        ends = (statuses or {}).get(recipe, ["finished"] * seeds)
        members += [member(recipe, seed, status) for seed, status in enumerate(ends)]
        finished = [seed for seed, status in enumerate(ends) if status == "finished"]
        for base, values in metrics.items():
            for seed, value in zip(finished, values, strict=True):
                error = (errors or {}).get(base, 0.01 * abs(value))
                made.append(figure(recipe, seed, base, value, error))
    return Table(
        (*made, *rows), tuple(members), baselines or {}, data, {"minutes": minutes, "images": None}
    )
