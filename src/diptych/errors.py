"""Errors written for the person: what was found, what was expected, what to do.

Every error of Diptych is one sentence (or a short list of named files after one sentence) and
carries the exit code the command line ends with: 2 for what the person can mend, 130 for an
interruption. A traceback means a bug of ours and ends with 1.
"""

__all__ = [
    "DataError",
    "DiptychError",
    "InterruptedRun",
    "MissingData",
    "PenaltyLost",
    "RecipeError",
    "RunError",
    "TrainingDiverged",
]


class DiptychError(Exception):
    """The base of every error that is told to the person in a sentence."""

    exit_code = 2


class DataError(DiptychError, ValueError):
    """The data cannot be used as it is; the message names the file, the finding and the remedy."""


class MissingData(DataError, FileNotFoundError):
    """Data that was asked for is not on this machine and could not be fetched."""


class RecipeError(DiptychError, ValueError):
    """A recipe is unknown, malformed, or does not fit the data."""


class RunError(DiptychError, ValueError):
    """A run directory is missing, incomplete, or not one of ours."""


class TrainingDiverged(DiptychError, ArithmeticError):
    """A loss is no longer finite; the message names the term and the last checkpoint."""


class PenaltyLost(DiptychError, ArithmeticError):
    """A gradient penalty was computed and has no gradient; the message names it and the cause."""


class InterruptedRun(DiptychError):
    """Training was stopped by a signal after saving; the message says how to go on."""

    exit_code = 130
