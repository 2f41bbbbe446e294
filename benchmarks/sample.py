"""Sampling: our sampler against plain torch, onnxruntime and OpenVINO on the same weights.

Every variant turns the same codes into images in [0, 1], float32, and gets the batch that it is
fastest with (ours: the batch of its own rule). Batch statistics look trained, so that folding
them is work that somebody has to do. Peers are left out where they are not installed.
"""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.interleave import Variant, interleave
from benchmarks.table import Note, Row, rows_of
from benchmarks.workloads import conv_vae, dcgan, mlp_vae
from diptych.models import Game
from diptych.models.build import build
from diptych.models.sampling import Sampler

__all__ = ["run"]

Decode = Callable[[Tensor], Tensor]
PLAIN, FP32, BF16 = "torch, eager fp32", "ours fp32", "ours bf16"
ORT, OV32, OV16 = "onnxruntime fp32", "OpenVINO f32", "OpenVINO bf16"
BATCHES = (16, 64, 256, 1024)


class Case(NamedTuple):
    """A decoder, and how many images one turn makes."""

    title: str
    game: Callable[[], Game]
    images: int


CASES = (
    Case("MLP decoder 20-400-784", lambda: mlp_vae(), 16_384),
    Case("Conv VAE decoder 28 x 28, 1.7 M parameters", lambda: conv_vae(), 4_096),
    Case("DCGAN generator 32 x 32, 64 channels", lambda: dcgan(), 1_024),
    Case("Our vae, 28 x 28", lambda: build("vae", (1, 28, 28)), 2_048),
    Case("Our gan, 64 x 64 in colour", lambda: build("gan", (3, 64, 64)), 512),
)


class _Whole(nn.Module):
    """All that a game does from codes to images, as one module to export."""

    def __init__(self, game: Game) -> None:
        super().__init__()
        self.game = game

    def forward(self, z: Tensor) -> Tensor:
        return self.game.decode_mean(z)


def run(quick: bool, rounds: int, threads: int = 1) -> list[Row | Note]:
    """Time every decoder; `quick` takes two of them and few images."""
    torch.set_num_threads(threads)
    rows: list[Row | Note] = []
    for case in CASES[1:3] if quick else CASES:
        rows += _measure(case, case.images // (8 if quick else 1), rounds, threads)
    return rows


def _measure(case: Case, images: int, rounds: int, threads: int) -> list[Row | Note]:
    torch.manual_seed(0)
    game = _looking_trained(case.game())
    codes = game.sample_codes(images, seed=0)
    with torch.inference_mode():
        expected = game.decode_mean(codes)
    ours = {
        FP32: Sampler(game).decode,
        BF16: Sampler(game, precision="bf16").decode,
    }
    with tempfile.TemporaryDirectory() as folder:
        peers, missing = _peers(game, Path(folder), threads)
        forms = {PLAIN: _best(game.decode_mean, codes), **ours}
        forms |= {name: _best(decode, codes) for name, decode in peers.items()}
        with torch.inference_mode():
            more = {
                name: {"max difference": float((decode(codes) - expected).abs().max())}
                for name, decode in forms.items()
            }

        def turn(decode: Decode) -> Callable[[], float]:
            def work() -> float:
                with torch.inference_mode():
                    return float(len(decode(codes)))

            return work

        timings = interleave([Variant(name, turn(d)) for name, d in forms.items()], rounds=rounds)
    rows: list[Row | Note] = list(
        rows_of(
            case.title,
            timings,
            unit="images",
            ratio_to={"x eager": PLAIN, "x onnxruntime": ORT, "x OpenVINO f32": OV32},
            more=more,
        )
    )
    text = "ours: batches of {}, {} batch norms folded."
    sampler = Sampler(game)
    return [
        *rows,
        Note(case.title, text.format(sampler.batch_size, sampler.folded)),
        *(Note(case.title, sentence) for sentence in missing),
    ]


def _looking_trained(game: Game) -> Game:
    with torch.no_grad():
        for module in game.modules():
            if isinstance(module, _BatchNorm):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0.0, 0.3)
                module.running_var.uniform_(0.5, 2.0)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0.0, 0.3)
    return game.eval()


def _best(decode: Decode, codes: Tensor) -> Decode:
    """The same in batches of the size that it is fastest with."""

    def batched(size: int) -> Decode:
        return lambda z: torch.cat([decode(part) for part in torch.split(z, size)])

    seconds = dict.fromkeys(BATCHES, math.inf)
    with torch.inference_mode():
        for _ in range(3):
            for size in BATCHES:
                start = time.process_time()
                batched(size)(codes)
                seconds[size] = min(seconds[size], time.process_time() - start)
    return batched(min(BATCHES, key=lambda size: seconds[size]))


def _peers(game: Game, folder: Path, threads: int) -> tuple[dict[str, Decode], Sequence[str]]:
    """What is installed, by name, and a sentence for what is not."""
    path = folder / "decoder.onnx"
    try:
        import onnx  # noqa: F401  (the exporter needs it)
    except ImportError:
        return {}, ["onnxruntime and OpenVINO left out: onnx is not installed."]
    with warnings.catch_warnings():
        # The newer exporter needs onnxscript; the graph of these networks is the same.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Whole(game).eval(),
            (game.sample_codes(2, seed=0),),
            str(path),
            input_names=["codes"],
            output_names=["images"],
            dynamic_axes={"codes": {0: "n"}, "images": {0: "n"}},
            dynamo=False,
        )
    found: dict[str, Decode] = {}
    missing = []
    for package, start in (("onnxruntime", _onnxruntime), ("openvino", _openvino)):
        try:
            found |= start(path, threads)
        except ImportError:
            missing.append(f"{package} left out: it is not installed.")
    return found, missing


def _onnxruntime(path: Path, threads: int) -> dict[str, Decode]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def decode(codes: Tensor) -> Tensor:
        images: NDArray[np.float32] = session.run(None, {"codes": codes.numpy()})[0]
        return torch.from_numpy(images)

    return {ORT: decode}


def _openvino(path: Path, threads: int) -> dict[str, Decode]:
    import openvino

    core = openvino.Core()
    found: dict[str, Decode] = {}
    for name, precision in ((OV32, "f32"), (OV16, "bf16")):
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
        compiled = core.compile_model(core.read_model(path), "CPU", settings)

        def decode(codes: Tensor, compiled: openvino.CompiledModel = compiled) -> Tensor:
            # Copied out: the next call writes into the same memory.
            return torch.from_numpy(np.array(compiled([codes.numpy()])[0], np.float32))

        found[name] = decode
    return found
