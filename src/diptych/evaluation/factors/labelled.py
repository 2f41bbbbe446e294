"""Codes and the known factors of the pictures they belong to, checked and made regular."""

from dataclasses import dataclass

import torch
from torch import Tensor

from diptych.errors import DataError

__all__ = ["LabelledCodes", "halves", "labelled_codes"]


@dataclass(frozen=True, eq=False)
class LabelledCodes:
    """What every instrument of this panel works on.

    Attributes:
        codes: float64 (N, L), on the CPU.
        factors: int64 (N, F), column j in 0..counts[j]-1; factors that never vary are gone.
        counts: how many values each factor takes, all ≥ 2.
        columns: which columns of what was given these are.
    """

    codes: Tensor
    factors: Tensor
    counts: tuple[int, ...]
    columns: tuple[int, ...]


def labelled_codes(codes: Tensor, factors: Tensor) -> LabelledCodes:
    """Check codes and factors, number each factor's values in their order, drop constant ones.

    Args:
        codes: floating (N, L), N ≥ 2, L ≥ 1.
        factors: whole numbers (N, F).

    Raises:
        DataError: other shapes or types, codes that are not finite, or no factor that varies.
    """
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not codes.shape[1]:
        raise DataError(
            "Codes (N, L) and factors (N, F) of the same N were expected, not "
            f"{tuple(codes.shape)} and {tuple(factors.shape)}."
        )
    if len(codes) < 2:
        raise DataError(f"Disentanglement needs at least 2 codes, not {len(codes)}.")
    if factors.is_floating_point() or factors.is_complex():
        raise DataError(f"Factors must be whole numbers, not {factors.dtype}.")
    codes = codes.detach().double().cpu()
    if not bool(codes.isfinite().all()):
        raise DataError("The codes hold NaN or infinite values; look at the encoder first.")
    numbered, counts, columns = [], [], []
    for column, values in enumerate(factors.cpu().unbind(1)):
        different, numbers = torch.unique(values, return_inverse=True)
        if len(different) > 1:
            numbered.append(numbers)
            counts.append(len(different))
            columns.append(column)
    if not numbered:
        raise DataError("No factor takes more than one value here, so none can be found in codes.")
    return LabelledCodes(codes, torch.stack(numbered, 1), tuple(counts), tuple(columns))


def halves(data: LabelledCodes, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows (N/2,) to learn from and the others to be judged on, at random."""
    order = torch.randperm(len(data.codes), generator=generator)
    middle = len(order) // 2
    return order[:middle], order[middle:]
