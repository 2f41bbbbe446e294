"""The large matrix products of the instruments, by the fastest exact route that is at hand.

Two things are gained, neither by leaving digits out. AᵀA is symmetric, and numpy's `A.T @ A`
multiplies only one half of it (the BLAS routine syrk, which torch does not call). Products of
float32 go through oneDNN, because the MKL inside torch takes a slow path on AMD.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diptych.networks.onednn import onednn_linear, onednn_linear_works

__all__ = ["gram", "rows_by_rows"]


def rows_by_rows(x: Tensor, y: Tensor) -> Tensor:
    """Return x yᵀ, every product of a row of x with a row of y.

    It takes the same route every time on one machine, so that a figure comes out equal twice.

    Args:
        x: (N, D), floating.
        y: (M, D), of the same type, on the same device.

    Returns:
        (N, M), rounded as any product of that type is.
    """
    if x.dtype == torch.float32 and x.device.type == "cpu" and len(y) and _by_onednn():
        return onednn_linear(x, y, None)
    return x @ y.T


def gram(rows: Tensor) -> Tensor:
    """Return AᵀA, (D, D) and exactly symmetric.

    Args:
        rows: A, (N, D), floating.
    """
    if rows.device.type != "cpu" or rows.dtype not in (torch.float32, torch.float64):
        product = rows.T @ rows
        return product.tril() + product.tril(-1).T
    array = rows.detach().numpy()
    with _as_many_threads_as_torch():
        return torch.from_numpy(array.T @ array)


@lru_cache(maxsize=1)
def _by_onednn() -> bool:
    return onednn_linear_works()


@contextmanager
def _as_many_threads_as_torch() -> Iterator[None]:
    """Keep numpy's OpenBLAS to the threads of the plan; by itself it takes every processor."""
    calls = _openblas_threads()
    if calls is None:
        yield
        return
    get, put = calls
    before = get()
    put(torch.get_num_threads())
    try:
        yield
    finally:
        put(before)


@lru_cache(maxsize=1)
def _openblas_threads() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """What reads and sets the threads of the OpenBLAS in numpy's wheel; None with another BLAS."""
    beside = Path(np.__file__).parent.parent / "numpy.libs"
    for file in sorted(beside.glob("*openblas*")):
        try:
            library = ctypes.CDLL(str(file))  # loaded by numpy already: this is a handle to it
            get = library.scipy_openblas_get_num_threads64_
            put = library.scipy_openblas_set_num_threads64_
        except (OSError, AttributeError):
            continue
        put.restype = None
        return get, put
    return None
