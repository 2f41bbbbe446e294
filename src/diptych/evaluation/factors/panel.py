"""Panel 8, factors: are the known factors of variation found apart from each other in the code?

The floor of this panel is not the best that can be, but the worst: what the same instruments
read from codes that were dealt to the pictures at random. The ceiling is what they read from the
factors themselves in place of codes, one latent for each; it may fall short of 1, for example
where a factor has more values than the histogram bins.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from diptych.evaluation.factors.beta_vae_score import (
    JUDGED,
    LEARNED,
    PAIRS,
    RIDGE,
    beta_vae_score,
)
from diptych.evaluation.factors.dci import DIVISIONS, dci_lasso
from diptych.evaluation.factors.dci import FEWEST as FEWEST_FOR_DCI
from diptych.evaluation.factors.labelled import LabelledCodes, labelled_codes
from diptych.evaluation.factors.mig import mutual_information_gap
from diptych.evaluation.factors.mutual_information import BINS, entropies
from diptych.evaluation.factors.sap import sap_score
from diptych.evaluation.factors.voting import ALIVE, GROUPS, factor_vae_score
from diptych.evaluation.factors.voting import MOST as GROUP_SIZE
from diptych.evaluation.figure import Estimate, Figure, Metric
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.sets import Progress, silent
from diptych.evaluation.streams import stream

__all__ = ["METRICS", "factors_panel"]

BLOCKS = 10
STUDENT = 2.262  # 97.5 % quantile of Student's t with 9 degrees of freedom
SHUFFLES = 3
FEWEST = 200
MOST_BIAS = 0.1

METRICS = {
    metric.key: metric
    for metric in (
        Metric("mig", "MIG", "", "higher", "factors"),
        Metric("sap", "SAP", "", "higher", "factors"),
        Metric("dci-disentanglement", "DCI disentanglement (lasso)", "", "higher", "factors"),
        Metric("dci-completeness", "DCI completeness (lasso)", "", "higher", "factors"),
        Metric("dci-informativeness", "DCI informativeness (lasso)", "R²", "higher", "factors"),
        Metric("factor-vae", "FactorVAE score", "share", "higher", "factors"),
        Metric("beta-vae", "β-VAE score", "share", "higher", "factors"),
    )
}
PARTS: dict[str, dict[str, Any]] = {
    "mig": {"bins": BINS},
    "sap": {"predictor": "midpoints of means", "held_out": 0.5},
    "dci-disentanglement": {"importance": "lasso", "divisions": DIVISIONS},
    "dci-completeness": {"importance": "lasso", "divisions": DIVISIONS},
    "dci-informativeness": {"importance": "lasso", "divisions": DIVISIONS},
    "factor-vae": {"groups": GROUPS, "group_size": GROUP_SIZE, "alive": ALIVE},
    "beta-vae": {"learned": LEARNED, "judged": JUDGED, "pairs": PAIRS, "ridge": RIDGE},
}
READ_ME = "The floor is for codes dealt at random, the ceiling for the factors as codes."

Values = dict[str, Estimate]


def factors_panel(
    codes: Tensor,
    factors: Tensor,
    *,
    code_source: str,
    base: Mapping[str, Any],
    seed: int = 0,
    progress: Progress = silent,
) -> list[Figure]:
    """Measure how the known factors of pictures are laid out in their codes.

    Args:
        codes: (N, L), one per picture: the means of the posterior, or codes found by search.
        factors: whole numbers (N, F); constant columns are ignored.
        code_source: where codes come from, in a word or two, e.g. "posterior mean" or "search";
            part of the protocol.
        base: what all protocols share.
        seed: of everything random.
        progress: told how far the work is.

    Returns:
        Figures, each with its floor and ceiling; those that do not apply are left out (DCI with
        one factor, votes without enough codes that share a value), and so are all of them where
        no factor varies.

    Raises:
        DataError: codes or factors of unlike length, or codes that are not finite.
    """
    if factors.ndim == 2 and len(factors) and bool((factors == factors[:1]).all()):
        return []
    data = labelled_codes(codes, factors)
    total = 2 + BLOCKS + SHUFFLES
    values = _values(data.codes, data.factors, seed)
    progress("factors", 1, total)
    ceilings = _values(data.factors.double(), data.factors, seed)
    progress("factors", 2, total)
    spreads = _jackknife(data, seed, lambda done: progress("factors", 2 + done, total))
    floors = _floors(data, seed, lambda done: progress("factors", 2 + BLOCKS + done, total))
    shared = {
        "code_source": code_source,
        "latents": data.codes.shape[1],
        "factors": list(data.counts),
        "columns": list(data.columns),
        "seed": seed,
    }
    return [
        Figure.of(
            METRICS[key],
            _judged(key, estimate, spreads.get(key), data),
            protocol=Protocol.of(metric=key, **base, **shared, **PARTS[key]),
            floor=floors.get(key),
            ceiling=ceilings[key].value if key in ceilings else 1.0,
            n_real=len(data.codes),
            note=READ_ME,
        )
        for key, estimate in values.items()
    ]


def _values(codes: Tensor, factors: Tensor, seed: int, *, votes: bool = True) -> Values:
    """Every instrument that applies, each with a generator of its own."""

    def generator(what: str) -> torch.Generator:
        return stream(seed, f"factors/{what}")

    values: dict[str, Estimate | float | None] = {
        "mig": mutual_information_gap(codes, factors),
        "sap": sap_score(codes, factors, generator=generator("sap")),
    }
    if len(codes) >= FEWEST_FOR_DCI:
        dci = dci_lasso(codes, factors, generator=generator("dci"))
        values["dci-disentanglement"] = dci.disentanglement
        values["dci-completeness"] = dci.completeness
        values["dci-informativeness"] = dci.informativeness
    if votes:
        values["factor-vae"] = factor_vae_score(codes, factors, generator=generator("votes"))
        values["beta-vae"] = beta_vae_score(codes, factors, generator=generator("pairs"))
    return {
        key: value if isinstance(value, Estimate) else Estimate(value)
        for key, value in values.items()
        if value is not None
    }


def _jackknife(
    data: LabelledCodes, seed: int, progress: Callable[[int], None]
) -> dict[str, float]:
    """Standard errors, by leaving out one tenth of the codes at a time.

    Not of the votes: each draw of groups differs more than a tenth of the codes makes it differ.
    """
    if len(data.codes) < FEWEST:
        return {}
    order = torch.randperm(len(data.codes), generator=stream(seed, "factors/blocks"))
    found: dict[str, list[float]] = {}
    for done, block in enumerate(order.chunk(BLOCKS), 1):
        keep = torch.ones(len(order), dtype=torch.bool)
        keep[block] = False
        factors = data.factors[keep]
        progress(done)
        if bool((factors == factors[:1]).all(0).any()):
            continue  # a factor all but constant: without it the mean is over fewer factors
        rest = _values(data.codes[keep], factors, seed, votes=False)
        for key, estimate in rest.items():
            found.setdefault(key, []).append(estimate.value)
    errors = {}
    for key, values in found.items():
        if len(values) < BLOCKS:
            continue
        left_out = torch.tensor(values, dtype=torch.float64)
        errors[key] = float((left_out.var(correction=0) * (len(values) - 1)).sqrt())
    return errors


def _floors(data: LabelledCodes, seed: int, progress: Callable[[int], None]) -> dict[str, float]:
    """Means over codes dealt at random to the factors."""
    found: dict[str, list[float]] = {}
    generator = stream(seed, "factors/deals")
    for done in range(1, SHUFFLES + 1):
        deal = torch.randperm(len(data.codes), generator=generator)
        for key, estimate in _values(data.codes[deal], data.factors, seed).items():
            found.setdefault(key, []).append(estimate.value)
        progress(done)
    return {key: sum(values) / len(values) for key, values in found.items()}


def _judged(key: str, estimate: Estimate, error: float | None, data: LabelledCodes) -> Estimate:
    """With its interval, and whether so few codes can be believed."""
    count = len(data.codes)
    notes, trusted = [estimate.note] if estimate.note else [], estimate.trusted
    if count < FEWEST:
        notes.append(f"Only {count} codes; {FEWEST} are the least.")
        trusted = False
    elif key == "mig":
        values = torch.tensor(data.counts, dtype=torch.float64)
        bias = (BINS - 1) * (values - 1) / (2 * count) / entropies(data.factors)
        if float(bias.max()) > MOST_BIAS:
            notes.append(
                f"{count} codes are few for {max(data.counts)} values in {BINS} bins: chance "
                f"alone shows up to {float(bias.max()):.0%} of a factor in any latent."
            )
            trusted = False
    low = high = None
    if error is not None:
        low = max(0.0, estimate.value - STUDENT * error)
        high = min(1.0, estimate.value + STUDENT * error)
    return Estimate(
        estimate.value,
        low,
        high,
        interval=f"jackknife over {BLOCKS} blocks" if error is not None else "",
        note=" ".join(notes),
        trusted=trusted,
    )
