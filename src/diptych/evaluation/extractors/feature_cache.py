"""Features of real sets, kept on disk: the same images need not pass the same network twice."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.evaluation.extractors.features import Features
from diptych.evaluation.kept import read_tensors, write_tensors
from diptych.evaluation.protocol import Protocol
from diptych.evaluation.sets import Progress, content_hash, silent

__all__ = ["describe_cached"]


def describe_cached(
    extractor: Features,
    items: Tensor | NDArray[Any],
    cache_dir: Path | None,
    progress: Progress = silent,
) -> Tensor:
    """Return the features of a set, from the cache if they are there.

    They are kept under the extractor's protocol and the hash of the items, and come back to the
    bit. A damaged file is made again; a folder that cannot be written costs nothing but time.

    Args:
        extractor: what describes.
        items: what :meth:`Features.features` takes; a real set, for generated ones do not come
            again.
        cache_dir: the folder of kept features, made if need be; None keeps nothing.
        progress: passed on to the extractor.

    Returns:
        float32 (N, D) on the CPU.

    Raises:
        DataError: what the extractor raises.
    """
    if cache_dir is None:
        return extractor.features(items, progress=progress)
    tensor = items if isinstance(items, Tensor) else torch.from_numpy(np.array(items))
    key = Protocol.of(metric="features", of=extractor.protocol, items=content_hash(tensor))
    path = cache_dir / f"{key.fingerprint}.safetensors"
    kept = (read_tensors(path) or {}).get("features")
    if kept is not None and len(kept) == len(tensor):
        return kept
    found = extractor.features(items, progress=progress)
    found = found.detach().to("cpu", torch.float32).contiguous()
    write_tensors(path, {"features": found})
    return found
