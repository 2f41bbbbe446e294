"""Figures of the codes of a VAE: which dimensions are used, and whether they fill the prior."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from diptych.evaluation.collapse import posterior
from diptych.evaluation.collapse.metrics import METRICS
from diptych.evaluation.figure import Estimate, Figure
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.streams import stream

__all__ = ["posterior_figures"]

Row = tuple[Estimate, Estimate | float | None, float | None, str, dict[str, Any]]
"""Estimate, floor, ceiling, note, and what else the protocol holds."""
KL_NOTE = (
    "Near 0 is collapse; more of it is also a cost in the ELBO, so that it is no goal in itself."
)


def posterior_figures(
    means: Tensor, log_variances: Tensor, base: Mapping[str, Any], seed: int
) -> list[Figure]:
    """What q(z|x) = N(means, exp log_variances), (N, L), tells of the use of the latents."""
    n, width = means.shape
    rate = float(posterior.kl_per_dimension(means, log_variances).sum())
    active = posterior.active_units(means)
    collapsed = posterior.collapsed_dimensions(means, log_variances)
    information = posterior.mutual_information(
        means, log_variances, generator=stream(seed, "collapse/information")
    )
    generator = stream(seed, "collapse/aggregate")
    codes = posterior.sample_posterior(means, log_variances, generator=generator)
    prior, again = (
        torch.randn(n, width, generator=generator, dtype=torch.float64).to(codes.device)
        for _ in range(2)
    )

    # (estimate, floor, ceiling, note, what else the protocol holds)
    rows: dict[
        str, tuple[Estimate, Estimate | float | None, float | None, str, dict[str, Any]]
    ] = {
        "active-units": (
            active,
            None,
            float(width),
            f"Of {width}.",
            {"threshold": posterior.ACTIVE},
        ),
        "collapsed-dimensions": (
            collapsed,
            None,
            float(width),
            f"Of {width}, with a mean KL below {posterior.COLLAPSED:g} nats.",
            {"threshold": posterior.COLLAPSED},
        ),
        "posterior-kl": (
            posterior.mean_kl(means, log_variances),
            None,
            None,
            f"{rate:.4g} nats per item in {width} dimensions. {KL_NOTE}",
            {},
        ),
        "mutual-information": (information, None, math.log(n), "", {"seed": seed}),
    }
    if n > width + 1:
        few = n < 5 * width
        rows["aggregate-kl"] = (
            replace(posterior.aggregate_kl(codes), trusted=not few),
            posterior.aggregate_kl(prior),
            None,
            "Of a Gaussian with the codes' mean and covariance."
            + (f" N = {n} < 5 x {width} dimensions: mostly bias." if few else ""),
            {"seed": seed},
        )
    rows["aggregate-sw2"] = (
        posterior.aggregate_sliced_w2(codes, prior, generator=stream(seed, "collapse/directions")),
        posterior.sliced_w2(again, prior, generator=stream(seed, "collapse/directions")),
        None,
        "Sliced, against as many draws of the prior.",
        {"seed": seed, "directions": posterior.DIRECTIONS},
    )
    return [
        Figure.of(
            METRICS[key],
            estimate,
            floor=floor,
            ceiling=ceiling,
            protocol=Protocol.of(metric=key, **base, items=n, **more),
            n_real=n,
            note=note,
        )
        for key, (estimate, floor, ceiling, note, more) in rows.items()
    ]
