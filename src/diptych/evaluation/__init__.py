"""Instruments: pure functions of tensors that say how good samples are, each beside its floor."""

from diptych.evaluation.classifier import ClassifierFeatures, train_classifier
from diptych.evaluation.features import Features, PointFeatures
from diptych.evaluation.figure import Figure, protocol_of
from diptych.evaluation.panel import NOT_FID, measure

__all__ = [
    "NOT_FID",
    "ClassifierFeatures",
    "Features",
    "Figure",
    "PointFeatures",
    "measure",
    "protocol_of",
    "train_classifier",
]
