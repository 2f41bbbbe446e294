"""Which network a set of tensors belongs to, told by its names, and the same set in our names.

One network comes in several files: as TensorFlow named it (our own and NVIDIA's), as torchvision
names it (pytorch-fid's and torch-fidelity's). After :func:`convert` they are equal, and so is the
hash that stands in a protocol.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from diptych.errors import DataError
from diptych.evaluation.extractors.inception_network import Inception
from diptych.evaluation.extractors.lite0_network import Lite0

__all__ = ["KINDS", "convert"]

KINDS = {
    "inception": "the Inception-v3 of the FID",
    "lite0": "EfficientNet-Lite0",
    "lpips-alex": "LPIPS with AlexNet",
}
"""The networks whose weights are known here, by the name a program gives them."""


@dataclass(frozen=True)
class _Layout:
    """How a file names the tensors of a network.

    ``landmark`` is a name that only such a file has; what stands before it there is a prefix of
    all names. ``translate`` maps the file's names, without prefix, to ours.
    """

    kind: str
    landmark: str
    translate: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def convert(tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """Recognise a network and bring its tensors into our layout.

    Args:
        tensors: as a file gave them; what the network does not need is left out.

    Returns:
        The kind, one of :data:`KINDS`, and float32 tensors of exactly the names and shapes that
        the network needs.

    Raises:
        DataError: the tensors are of no network known here, some are missing, have other shapes,
            or hold values that are not finite. The sentence has no subject: the caller names
            the file.
    """
    for layout in _LAYOUTS:
        for name in tensors:
            if name.endswith(layout.landmark):
                prefix = name[: -len(layout.landmark)]
                if prefix and not prefix.endswith("."):
                    continue
                own = {
                    n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)
                }
                return layout.kind, _checked(layout.kind, layout.translate(own))
    raise DataError(
        f"it holds {len(tensors)} tensors of no network known here; these are: "
        + ", ".join(KINDS.values())
    )


def _checked(kind: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    name_of = KINDS[kind]
    wanted = _shapes(kind)
    if missing := sorted(wanted.keys() - tensors.keys()):
        raise DataError(
            f"it looks like {name_of} but lacks {len(missing)} of {len(wanted)} tensors, "
            f"{missing[0]} among them"
        )
    checked: dict[str, Tensor] = {}
    for name, shape in wanted.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or not tensor.is_floating_point():
            raise DataError(
                f"it looks like {name_of} but its {name} is {tensor.dtype} "
                f"{tuple(tensor.shape)}, not floating {shape}"
            )
        tensor = tensor.detach().to("cpu", torch.float32).contiguous()
        negative = name.endswith("var") and bool((tensor < 0).any())
        if negative or not bool(tensor.isfinite().all()):
            what = "negative variances" if negative else "NaN or infinite values"
            raise DataError(f"it looks like {name_of} but its {name} holds {what}")
        checked[name] = tensor
    return checked


@cache
def _shapes(kind: str) -> dict[str, tuple[int, ...]]:
    if kind == "lpips-alex":
        return _LPIPS_ALEX
    network: Inception | Lite0 = Inception() if kind == "inception" else Lite0()
    return network.layout()


def _as_it_is(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(tensors)


def _from_lpips(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the kernels of a JAX file, (height, width, in, out), into torch's order."""
    first = tensors.get("AlexNet_0.Conv_0.kernel")
    if first is None or tuple(first.shape) != (11, 11, 3, 64):
        return dict(tensors)
    return {
        name: tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
        for name, tensor in tensors.items()
    }


def _from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename torchvision's Inception, and absorb the scale γ that our layout has no room for.

    γ·(K∗x − μ)/√(σ² + ε) + β is the same with γK and γμ in place of K and μ; where γ = 1, as in
    the network of the FID, nothing changes by a bit.
    """
    ours: dict[str, Tensor] = {}
    for theirs, name in _torchvision_names().items():
        parts = {
            part: tensors[f"{theirs}.{part}"]
            for part in ("conv.weight", "bn.bias", "bn.running_mean", "bn.running_var")
            if f"{theirs}.{part}" in tensors
        }
        scale = tensors.get(f"{theirs}.bn.weight")
        for part, tensor in parts.items():
            if scale is not None and part in ("conv.weight", "bn.running_mean"):
                if tensor.ndim == 0 or scale.shape != tensor.shape[:1]:
                    raise DataError(
                        f"it looks like {KINDS['inception']} but its {theirs}.bn.weight is "
                        f"{tuple(scale.shape)}, which does not fit {tuple(tensor.shape)}"
                    )
                tensor = tensor * scale.reshape(-1, *[1] * (tensor.ndim - 1))
            ours[f"{name}.{_PARTS[part]}"] = tensor
    return ours


_PARTS = {
    "conv.weight": "weight",
    "bn.bias": "beta",
    "bn.running_mean": "mean",
    "bn.running_var": "var",
}


def _torchvision_names() -> dict[str, str]:
    """Torchvision's name of each convolution with the one TensorFlow's graph has."""
    names = {
        "Conv2d_1a_3x3": "conv",
        "Conv2d_2a_3x3": "conv_1",
        "Conv2d_2b_3x3": "conv_2",
        "Conv2d_3b_1x1": "conv_3",
        "Conv2d_4a_3x3": "conv_4",
    }

    def block(theirs: str, ours: str, **chains: str) -> None:
        for their_chain, our_chain in chains.items():
            names[f"{theirs}.{their_chain}"] = f"{ours}.{our_chain}"

    def chain(theirs: str, ours: str, layers: int) -> dict[str, str]:
        return {
            f"{theirs}_{n + 1}": f"{ours}.conv_{n}" if n else f"{ours}.conv" for n in range(layers)
        }

    pool = {"branch1x1": "conv", "branch_pool": "tower_2.conv"}
    for letter, ours in zip("bcd", ("mixed", "mixed_1", "mixed_2"), strict=True):
        towers = chain("branch5x5", "tower", 2) | chain("branch3x3dbl", "tower_1", 3)
        block(f"Mixed_5{letter}", ours, **pool, **towers)
    block("Mixed_6a", "mixed_3", branch3x3="conv", **chain("branch3x3dbl", "tower", 3))
    for letter, number in zip("bcde", (4, 5, 6, 7), strict=True):
        towers = chain("branch7x7", "tower", 3) | chain("branch7x7dbl", "tower_1", 5)
        block(f"Mixed_6{letter}", f"mixed_{number}", **pool, **towers)
    towers = chain("branch3x3", "tower", 2) | chain("branch7x7x3", "tower_1", 4)
    block("Mixed_7a", "mixed_8", **towers)
    for letter, number in zip("bc", (9, 10), strict=True):
        block(
            f"Mixed_7{letter}",
            f"mixed_{number}",
            branch1x1="conv",
            branch3x3_1="tower_conv",
            branch3x3_2a="tower_mixed_conv",
            branch3x3_2b="tower_mixed_conv_1",
            branch3x3dbl_1="tower_1_conv",
            branch3x3dbl_2="tower_1_conv_1",
            branch3x3dbl_3a="tower_1_mixed_conv",
            branch3x3dbl_3b="tower_1_mixed_conv_1",
            branch_pool="tower_2_conv",
        )
    return names


_LPIPS_ALEX: dict[str, tuple[int, ...]] = {
    "AlexNet_0.Conv_0.kernel": (64, 3, 11, 11),
    "AlexNet_0.Conv_1.kernel": (192, 64, 5, 5),
    "AlexNet_0.Conv_2.kernel": (384, 192, 3, 3),
    "AlexNet_0.Conv_3.kernel": (256, 384, 3, 3),
    "AlexNet_0.Conv_4.kernel": (256, 256, 3, 3),
    **{f"AlexNet_0.Conv_{n}.bias": (c,) for n, c in enumerate((64, 192, 384, 256, 256))},
    **{
        f"NetLinLayer_{n}.Conv_0.kernel": (1, c, 1, 1)
        for n, c in enumerate((64, 192, 384, 256, 256))
    },
}
"""AlexNet's five convolutions and a weight per channel, kernels as (out, in, height, width)."""

_LAYOUTS = (
    _Layout("inception", "mixed_10.tower_2_conv.weight", _as_it_is),
    _Layout("inception", "Mixed_7c.branch_pool.conv.weight", _from_torchvision),
    _Layout("lite0", "_blocks.15._project_conv.weight", _as_it_is),
    _Layout("lpips-alex", "NetLinLayer_4.Conv_0.kernel", _from_lpips),
)
