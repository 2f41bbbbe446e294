"""What names a set of weights: a hash of the numbers, not of the file that held them."""

import hashlib
from collections.abc import Mapping

from torch import Tensor

__all__ = ["tensors_hash"]


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of every name, shape, type and value, in hexadecimal.

    Args:
        tensors: by name; their order does not matter, nor where they lie.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
