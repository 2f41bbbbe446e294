"""Panel 5, latent space: how far, how evenly and by which latents the picture moves.

Real data have no latent space, so no figure here has a floor: read one model against another
under the same distance, path and N. A generator that always draws the same picture scores
perfectly on path length; read it beside coverage.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from diptych.evaluation.figure import Estimate, Figure, Metric
from diptych.evaluation.latent.distances import Distance
from diptych.evaluation.latent.path_length import EPSILON, TRIM, Path, path_length
from diptych.evaluation.latent.smoothness import STEPS, interpolation_smoothness
from diptych.evaluation.latent.usage import DEAD, STEP, latent_usage
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.sets import Progress, silent
from diptych.evaluation.streams import stream, stream_seed
from diptych.models.game import Game

__all__ = ["METRICS", "latent_panel"]

PATHS = 500
PATHS_PER_WALK = 10  # a walk is nine pictures, a length two
FEWEST_WALKS = 20
DECODINGS = 8192  # of the usage of latents, two per latent and code
MOST_CODES = 64
FEWEST_CODES = 2
STANDS_STILL = "The picture does not move at all: the decoder ignores its code."

METRICS = {
    metric.key: metric
    for metric in (
        Metric("path-length", "path length", "squared distance", "lower", "latent"),
        Metric("path-length-relative", "path length over spread", "", "lower", "latent"),
        Metric("step-variation", "variation of steps", "", "lower", "latent"),
        Metric("largest-step", "largest step", "mean steps", "lower", "latent"),
        Metric("detour", "detour", "", "lower", "latent"),
        Metric("latents-used", "latents used", "latents", "higher", "latent"),
        Metric("directions-used", "directions used", "directions", "higher", "latent"),
        Metric("dead-latents", "dead latents", "share", "lower", "latent"),
    )
}


def latent_panel(
    model: Game,
    *,
    distance: Distance,
    distance_name: str,
    base: Mapping[str, Any],
    distance_protocol: Mapping[str, Any] | None = None,
    reference: Tensor | None = None,
    seed: int = 0,
    n: int = PATHS,
    path: Path = "spherical",
    progress: Progress = silent,
) -> list[Figure]:
    """Measure the latent space of a model through its decoder.

    The model is worked with on the CPU in the precision it has: the tensor cores of a GPU round
    by more than a step of 1e-4 moves. VAEs and GANs take the same path, since both have a
    Gaussian prior and figures of unlike paths may not be compared.

    Args:
        model: any trained game; used in its evaluation mode.
        distance: squared distances of pairs, of images (N, C, H, W) in 0..1 or points (N, D) on
            the CPU, e.g. an `Lpips`, `pyramid_distance`, or `squared_distance` for points.
        distance_name: one word, printed in brackets and part of the protocol.
        base: what all protocols share.
        distance_protocol: what else may change a distance, e.g. the hash of its weights.
        reference: real images uint8 (N, H, W, C) or points (N, D), whose mean distance is the
            scale of `path-length-relative`; that figure is left out without it.
        seed: of everything random.
        n: paths whose length is measured; a tenth as many (20 at least) are walked step by step.
        path: along which codes are joined.
        progress: told how far the work is.

    Raises:
        DataError: the decoder or the distance gives what cannot be used.
    """
    was_training = model.training
    player = (copy.deepcopy(model).cpu() if model.device.type != "cpu" else model).eval()
    try:
        with torch.inference_mode():
            return _figures(
                player,
                distance,
                {"distance": distance_name, **(distance_protocol or {}), "path": path},
                base,
                reference,
                seed,
                n,
                path,
                progress,
            )
    finally:
        model.train(was_training)


def _figures(
    model: Game,
    distance: Distance,
    walk: Mapping[str, Any],
    base: Mapping[str, Any],
    reference: Tensor | None,
    seed: int,
    n: int,
    path: Path,
    progress: Progress,
) -> list[Figure]:
    figures: list[Figure] = []

    def add(
        key: str,
        estimate: Estimate,
        count: int,
        parts: Mapping[str, Any],
        n_real: int | None = None,
    ) -> None:
        figures.append(
            Figure.of(
                METRICS[key],
                estimate,
                protocol=Protocol.of(metric=key, **base, seed=seed, count=count, **parts),
                n_real=n_real,
                n_fake=count,
                extractor=parts.get("distance", ""),
            )
        )

    start, end = model.sample_codes(2 * n, seed=stream_seed(seed, "latent/ends")).chunk(2)
    length = path_length(
        model.decode_mean,
        distance,
        start,
        end,
        generator=stream(seed, "latent/path length"),
        path=path,
        progress=progress,
    )
    how = {**walk, "epsilon": EPSILON, "trim": TRIM}
    if length.value == 0:
        length = replace(length, note=STANDS_STILL, trusted=False)
    add("path-length", length, n, how)
    if reference is not None and (spread := _spread(reference, distance, seed, n)) is not None:
        value, pairs = spread
        relative = replace(
            length,
            value=length.value / value,
            low=None if length.low is None else length.low / value,
            high=None if length.high is None else length.high / value,
        )
        add("path-length-relative", relative, n, {**how, "pairs": pairs}, pairs)

    walked = max(FEWEST_WALKS, n // PATHS_PER_WALK)
    start, end = model.sample_codes(2 * walked, seed=stream_seed(seed, "latent/walks")).chunk(2)
    smooth = interpolation_smoothness(
        model.decode_mean,
        distance,
        start,
        end,
        generator=stream(seed, "latent/walks"),
        path=path,
        progress=progress,
    )
    if smooth is not None:
        add("step-variation", smooth.variation, walked, {**walk, "steps": STEPS})
        add("largest-step", smooth.largest, walked, {**walk, "steps": STEPS})
        add("detour", smooth.detour, walked, {**walk, "steps": STEPS})

    count = max(FEWEST_CODES, min(MOST_CODES, DECODINGS // (2 * model.latent_dim)))
    codes = model.sample_codes(count, seed=stream_seed(seed, "latent/usage"))
    usage = latent_usage(model.decode_mean, codes, progress=progress)
    if usage is not None:
        of = {"latent_dim": model.latent_dim, "step": STEP}
        add("latents-used", usage.latents, count, of)
        add("directions-used", usage.directions, count, of)
        add("dead-latents", usage.dead, count, {**of, "dead": DEAD})
    return figures


def _spread(
    reference: Tensor, distance: Distance, seed: int, n: int, batch_size: int = 100
) -> tuple[float, int] | None:
    """Mean distance of random real pairs and their number; None if there is no spread."""
    order = torch.randperm(len(reference), generator=stream(seed, "latent/spread"))[: n + 1]
    if len(order) < 2:
        return None
    items = reference[order]
    if items.dtype == torch.uint8:
        items = items.permute(0, 3, 1, 2).float() / 255
    firsts, seconds = torch.split(items[:-1], batch_size), torch.split(items[1:], batch_size)
    pairs = list(zip(firsts, seconds, strict=True))
    mean = float(torch.cat([distance(a, b).double().cpu() for a, b in pairs]).mean())
    return (mean, len(items) - 1) if 0 < mean < float("inf") else None
