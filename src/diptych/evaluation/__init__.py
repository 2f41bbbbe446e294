"""Instruments: pure functions of tensors that say how good samples are, each beside its floor."""

from diptych.evaluation.figure import Estimate, Figure, Metric, difference, rank
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.sets import Sets

__all__ = ["Estimate", "Figure", "Metric", "Protocol", "Sets", "difference", "rank"]
