"""Mean codes of classes: what is added to a code to make a trouser of a dress.

An encoder gives them of labelled training pictures. A GAN has no encoder, and searching the codes
of thousands of pictures would take minutes: its samples are sorted by a small classifier instead,
and the codes of those that it is sure of are averaged.

Source: the arithmetic, Radford et al. 2016, arXiv 1511.06434, section 6.3.2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.data import Data, cache_root
from diptych.errors import DataError
from diptych.evaluation.collapse.labelled import predicted
from diptych.evaluation.extractors.classifier import train_classifier
from diptych.explorer.models import Exhibit
from diptych.explorer.studio import Pulse, beating
from diptych.study.pictures import real_items

__all__ = ["ClassMeans", "class_means"]

TAKEN = 4_000
"""Training pictures encoded, or samples sorted."""
SURE = 0.9
"""Probability below which the classifier's word does not count."""
FEWEST = 10
"""Codes without which there is no mean."""


@dataclass(frozen=True)
class ClassMeans:
    """The mean code of each class that has one."""

    means: dict[str, Tensor]
    """By the name of the class, (L,)."""
    counts: dict[str, int]
    """Codes behind each mean; also of classes that had too few."""
    sentence: str
    """How they were made."""


def class_means(exhibit: Exhibit, pulse: Pulse) -> ClassMeans:
    """The mean code of every class, from an encoder or from sorted samples.

    Raises:
        DataError: there are no data, or no labels.
        Stopped: by the pulse.
    """
    data = exhibit.data
    if data is None or data.labels is None or data.num_classes < 2:
        why = exhibit.without or f"{data.name if data else 'the data'} has no labels"
        raise DataError(f"There are no classes to take the mean of: {why}.")
    encoded = exhibit.encodes
    codes, labels, how = (_of_pictures if encoded else _of_samples)(exhibit, data, pulse)
    means, counts = {}, {}
    for number, name in enumerate(data.class_names):
        own = codes[labels == number]
        counts[name] = len(own)
        if len(own) >= FEWEST:
            means[name] = own.double().mean(0).to(codes.dtype)
    return ClassMeans(means, counts, how)


def _of_pictures(exhibit: Exhibit, data: Data, pulse: Pulse) -> tuple[Tensor, Tensor, str]:
    """Posterior means of training pictures."""
    images = real_items(data, TAKEN, split="train").to(exhibit.model.device)
    labels = data.labels_of("train", TAKEN)
    assert labels is not None
    with beating(exhibit.model, pulse):
        codes = torch.cat([exhibit.model.find_codes(part) for part in torch.split(images, 250)])
    how = f"Means of the encoder's codes of {len(images):,} training pictures."
    return codes, torch.from_numpy(labels).to(codes.device), how


def _of_samples(exhibit: Exhibit, data: Data, pulse: Pulse) -> tuple[Tensor, Tensor, str]:
    """Codes of samples that the classifier of the evaluation is sure of; −1 for all others."""
    classifier = train_classifier(
        data.take("train"),
        data.labels_of("train"),
        num_classes=data.num_classes,
        cache_dir=cache_root() / "classifiers",
        fingerprint=data.fingerprint,
        progress=lambda *_: pulse(),
    )
    codes = exhibit.codes(TAKEN, 0)
    with beating(exhibit.model, pulse):
        logits = [classifier.logits(exhibit.decode(part)) for part in torch.split(codes, 250)]
    labels = predicted(torch.cat(logits), confidence=SURE).to(codes.device)
    sure = int((labels >= 0).sum())
    how = (
        f"Means of the codes of {sure:,} of {len(codes):,} samples, sorted by a small classifier "
        f"that is at least {SURE:.0%} sure of each; it is right on {classifier.accuracy:.1%} of "
        "held-out pictures. There is no encoder to ask."
    )
    return codes, labels, how
