"""fp32 matrix products by oneDNN; torch itself takes MKL for them, which is slower on AMD."""

import torch
from torch import Tensor

__all__ = ["onednn_linear", "onednn_linear_works"]


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x @ weight.T + bias by oneDNN: fp32 on the CPU, forward only.

    Args:
        x: (N, inputs).
        weight: (outputs, inputs).
        bias: (outputs,) or None.

    Returns:
        (N, outputs).
    """
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return result


def onednn_linear_works() -> bool:
    """True where torch was built with that operator and it gives the right product.

    It is a private operator of torch, so its presence and its meaning are both tested.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    x = torch.arange(12.0).view(3, 4)
    weight = torch.arange(20.0).view(5, 4) - 7.0
    bias = torch.arange(5.0)
    try:
        with torch.inference_mode():
            found = onednn_linear(x, weight, bias)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False  # another build of torch: the operator is missing or has changed
    # Whole numbers this small have exact products and sums in any order.
    return torch.equal(found, x @ weight.T + bias)
