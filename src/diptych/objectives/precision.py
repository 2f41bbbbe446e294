"""Where half precision ends: losses are summed in single precision or better."""

import torch
from torch import Tensor

__all__ = ["at_least_single"]


def at_least_single(tensor: Tensor) -> Tensor:
    """The tensor in float32 if it was half precision, else untouched.

    Networks may run in bfloat16; exponentials, logarithms, KL terms and sums over pixels may not.
    """
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
