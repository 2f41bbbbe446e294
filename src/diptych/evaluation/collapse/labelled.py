"""Class counting: which classes a classifier sees among the samples, and how evenly.

Also for "stacked" data, whose images are three grey ones in three channels and whose modes are
the 10 × 10 × 10 triples of classes.

Source: Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761, and Lin et al. 2018 (PacGAN),
arXiv:1712.04086: a mode is found when one sample is put there, and the divergence is the reverse
KL. The figures depend on the classifier as much as on the model.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.collapse.shares import reverse_kl

__all__ = ["ClassCount", "accuracy", "count_classes", "predicted", "stack", "stacked_modes"]


@dataclass(frozen=True, eq=False)
class ClassCount:
    """What was found of the classes.

    Attributes:
        found: classes with enough samples.
        total: classes there are: those with a real item, or all where no real set was given.
        reverse_kl: KL(q ‖ p) in nats, q the share of samples in each class, p that of the real
            items; 0 at best.
        unsure: samples that no class is sure of, and that count nowhere else.
        counts: (K,), int64, sure samples per class.
        reference: (K,), float64, what p was made of; None for equal shares.
        missing: (M,), int64, the classes that were not found.
        smoothed: whether p was smoothed, because a class holds samples but no real item.
    """

    found: int
    total: int
    reverse_kl: float
    unsure: int
    counts: Tensor
    reference: Tensor | None
    missing: Tensor
    smoothed: bool


def count_classes(
    logits: Tensor,
    real: Tensor | None = None,
    *,
    confidence: float = 0.0,
    least: float = 0.0,
) -> ClassCount:
    """Count predicted classes and compare them with those of real items.

    The real items pass the same classifier, so that its errors shift both sides alike. Where a
    class holds samples but no real item, ½ is added to each real count, since KL would be
    infinite.

    Args:
        logits: (N, C), unnormalised, of the samples.
        real: (M, C), of real items; None takes all classes as equally likely.
        confidence: samples and real items whose largest probability lies below it count nowhere.
        least: a class is found when its share of samples reaches this part of its share of real
            items, and one sample at least. 0 is the published rule; it lets one mistake of the
            classifier find a class.

    Returns:
        The count.

    Raises:
        DataError: shapes that do not fit, logits that are not finite, or no sure item.
    """
    labels = predicted(logits, confidence=confidence)
    reference = None
    if real is not None:
        if real.shape[1:] != logits.shape[1:]:
            raise DataError(
                f"Samples have logits {tuple(logits.shape)} and real items {tuple(real.shape)}; "
                "one classifier must see both."
            )
        reference = _tally(predicted(real, confidence=confidence), logits.shape[1])
    return _count(labels, logits.shape[1], reference, least)


def stacked_modes(logits: Tensor, *, confidence: float = 0.0) -> ClassCount:
    """Count the modes of stacked data, C to the power P (1000 for three digits).

    All modes are taken as equally likely and one sample finds a mode, as in the papers.

    Args:
        logits: (N, P, C), of each of the P channels of N images.
        confidence: an image with a channel less sure than this counts nowhere.

    Raises:
        DataError: not (N, P, C), logits that are not finite, or no sure image.
    """
    if logits.ndim != 3:
        raise DataError(
            f"Stacked modes need logits (N, channels, classes), not {tuple(logits.shape)}."
        )
    classes = predicted(logits.flatten(0, 1), confidence=confidence).view(logits.shape[:2])
    modes = torch.zeros_like(classes[:, 0])
    for digit in classes.T:
        modes = modes * logits.shape[2] + digit
    labels = torch.where((classes >= 0).all(1), modes, -1)
    return _count(labels, int(logits.shape[2] ** logits.shape[1]), None, 0.0)


def predicted(logits: Tensor, *, confidence: float = 0.0) -> Tensor:
    """Return the most probable class, int64 (N,), or −1 where its probability is too low.

    Args:
        logits: (N, C), unnormalised.
        confidence: the lowest probability that counts, 0..1.

    Raises:
        DataError: not (N, C), or values that are not finite.
    """
    if logits.ndim != 2 or not logits.shape[1]:
        raise DataError(f"Classes need logits (N, classes), not {tuple(logits.shape)}.")
    if not bool(logits.isfinite().all()):
        raise DataError("The classifier's logits hold NaN or infinite values.")
    best = logits.double().softmax(1).max(1)
    return torch.where(best.values >= confidence, best.indices, -1)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of items whose predicted class is their label; logits (N, C)."""
    if len(logits) != len(labels) or not len(labels):
        raise DataError(f"{len(logits)} predictions do not belong to {len(labels)} labels.")
    return float((predicted(logits) == labels.to(logits.device)).double().mean())


def stack(images: Tensor, count: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Make stacked images: three grey ones, drawn at random with repetition, as the channels.

    Args:
        images: uint8 (N, H, W, 1) or (N, H, W).
        count: how many to make.
        generator: of the draw; on the CPU.

    Returns:
        The images, uint8 (count, H, W, 3), and the rows they were made of, int64 (count, 3):
        ``labels[rows]`` are their labels.

    Raises:
        DataError: the images are not grey, or none.
    """
    grey = images[..., 0] if images.ndim == 4 and images.shape[-1] == 1 else images
    if grey.ndim != 3 or not len(grey):
        raise DataError(
            f"Only grey images (N, H, W, 1) can be stacked, not {tuple(images.shape)}."
        )
    rows = torch.randint(len(grey), (count, 3), generator=generator)
    return torch.stack([grey[rows[:, place]] for place in range(3)], -1), rows


def _tally(labels: Tensor, total: int) -> Tensor:
    return labels[labels >= 0].bincount(minlength=total)


def _count(labels: Tensor, total: int, reference: Tensor | None, least: float) -> ClassCount:
    counts = _tally(labels, total)
    for items, whose in ((counts, "sample"), (reference, "real item")):
        if items is not None and not int(items.sum()):
            raise DataError(f"The classifier is sure of no {whose}; nothing can be counted.")
    there = torch.ones_like(counts, dtype=torch.bool)
    needed = torch.full((total,), least / total, dtype=torch.float64, device=counts.device)
    smoothed = False
    if reference is not None:
        reference = reference.double().to(counts.device)
        there = reference > 0
        needed = least * reference / reference.sum()
        smoothed = bool((counts[~there] > 0).any())
        if smoothed:
            reference = reference + 0.5
    found = (counts > 0) & (counts >= needed * counts.sum()) & there
    return ClassCount(
        found=int(found.sum()),
        total=int(there.sum()),
        reverse_kl=float(reverse_kl(counts, reference)),
        unsure=int((labels < 0).sum()),
        counts=counts,
        reference=reference,
        missing=(there & ~found).nonzero()[:, 0],
        smoothed=smoothed,
    )
