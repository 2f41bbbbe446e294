"""Class by class: how many samples there are of each, and how much of each they reach."""

from typing import Any

import torch
from torch import Tensor

from diptych.evaluation.collapse.labelled import accuracy, predicted
from diptych.evaluation.fidelity.classes import class_coverage
from diptych.evaluation.sets import Sets

__all__ = ["class_evidence"]


def class_evidence(
    logits: Sets, labels: Tensor | None, covered: Tensor, names: tuple[str, ...]
) -> dict[str, Any] | None:
    """The entry `classes` of evidence.json; None without labels.

    Args:
        logits: of samples (N, K) and of held-out images (M, K), by one classifier.
        labels: int64 (M,), of the held-out images.
        covered: bool (M,), whether a sample lies in the image's neighbourhood.
        names: K names.
    """
    if labels is None:
        return None
    total = len(names)
    real = labels.bincount(minlength=total).double() / len(labels)
    told = predicted(logits.fake)
    samples = told.bincount(minlength=total).double() / len(told)
    found = class_coverage(covered, labels)
    coverage = [
        found.by_class[label].value if label in found.by_class else None for label in range(total)
    ]
    return {
        "names": list(names),
        "real": real.tolist(),
        "samples": samples.tolist(),
        "coverage": coverage,
        "sentence": _sentence(names, real, samples, coverage, accuracy(logits.real, labels)),
    }


def _sentence(
    names: tuple[str, ...],
    real: Tensor,
    samples: Tensor,
    coverage: list[float | None],
    right: float,
) -> str:
    occurring = {label: share for label, share in enumerate(coverage) if share is not None}
    worst = min(occurring, key=lambda label: occurring[label])
    absent = [names[label] for label in occurring if samples[label] == 0]
    rarest = int(torch.where(real > 0, samples / real, torch.inf).argmin())
    shares = (
        f"No sample is taken for {', '.join(absent[:10])}."
        if absent
        else f"Rarest against its share is {names[rarest]}: {float(real[rarest]):.1%} of held-out "
        f"images, {float(samples[rarest]):.1%} of samples."
    )
    return (
        f"The least covered class is {names[worst]}: {occurring[worst]:.1%} of its held-out "
        f"images have a sample in their neighbourhood. {shares} Samples are counted by what a "
        f"classifier takes them for; it tells {right:.1%} of held-out images right."
    )
