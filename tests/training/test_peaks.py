"""The measured peaks: their numbers of operations are those that are really executed."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from diptych.networks import onednn as operator_room
from diptych.networks.onednn import onednn_linear, onednn_linear_works
from diptych.training import onednn, peaks
from diptych.training.machine import cpu_has_bf16
from diptych.training.onednn import onednn_speedup
from diptych.training.peaks import Peaks, kernels, measure_peaks

needs_onednn = pytest.mark.skipif(not onednn_linear_works(), reason="torch without oneDNN")


def test_the_operations_counted_are_those_executed() -> None:
    timed = {kernel.name: kernel for kernel in kernels("cpu")}
    assert {"gemm_fp32", "conv_fp32"} <= timed.keys()
    for name in timed.keys() - {"gemm_fp32_onednn"}:
        with FlopCounterMode(display=False) as counter:
            timed[name].call()
        assert counter.get_total_flops() == timed[name].flops, name
    if "gemm_fp32_onednn" in timed:  # unknown to the counter, but the work is that of a square
        one = timed["gemm_fp32_onednn"]
        assert one.flops == timed["gemm_fp32"].flops == 2 * one.call().shape[0] ** 3


def test_half_precision_is_half_precision() -> None:
    for kernel in kernels("cpu"):
        dtype = torch.bfloat16 if kernel.name.endswith("bf16") else torch.float32
        assert kernel.call().dtype == dtype
        assert kernel.name in Peaks.__dataclass_fields__


def test_peaks_are_positive_and_threads_are_restored() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = measure_peaks(threads=1, seconds=0.0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert (found.device, found.threads) == ("cpu", 1)
    rates = {key: rate for key, rate in found.to_dict().items() if "fp32" in key or "bf16" in key}
    for name, rate in rates.items():
        native = cpu_has_bf16() if name.endswith("bf16") else True
        native = onednn_linear_works() if name.endswith("onednn") else native
        assert (rate is not None and rate > 0) if native else rate is None


def test_the_best_call_is_kept(monkeypatch) -> None:
    """A clock that makes calls of 2 s, 0.5 s and 1 s, then the end: 8 GFLOP are 16 GFLOP/s."""
    clock = iter([0.0, 0.0, 2.0, 2.0, 2.0, 2.5, 2.5, 2.5, 3.5, 10.0])
    called: list[int] = []

    def call() -> torch.Tensor:
        called.append(1)
        return torch.empty(0)

    one = peaks.Kernel("gemm_fp32", 8 * 10**9, call)
    monkeypatch.setattr(peaks, "kernels", lambda device: [one])
    monkeypatch.setattr(peaks.time, "perf_counter", lambda: next(clock))
    assert measure_peaks(threads=1, seconds=5.0).gemm_fp32 == 16.0
    assert len(called) == 1 + 3


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
def test_onednn_multiplies_like_torch(bias) -> None:
    random = torch.Generator().manual_seed(0)
    x, w = torch.randn(5, 33, generator=random), torch.randn(7, 33, generator=random)
    b = torch.randn(7, generator=random) if bias else None
    twin = x.double() @ w.double().T + (b.double() if b is not None else 0.0)
    torch.testing.assert_close(onednn_linear(x, w, b).double(), twin, rtol=1e-5, atol=1e-5)


@needs_onednn
def test_a_gain_is_the_time_of_torch_over_that_of_onednn() -> None:
    assert onednn_speedup() == onednn_speedup() > 0  # timed once in a process
    ticks = iter(range(1000))

    def spend(count: int) -> torch.Tensor:
        for _ in range(count):
            next(ticks)
        return torch.empty(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onednn.time, "perf_counter", lambda: float(next(ticks)))
        assert onednn._ratio(lambda: spend(5), lambda: spend(2)) == 6 / 3


def missing(*_: object) -> torch.Tensor:
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")


@pytest.mark.parametrize(
    "operator", [missing, lambda x, w, b: x @ w.T, lambda x, w, b: (x @ w.T + b).relu()]
)
def test_an_operator_that_is_missing_or_means_something_else_is_not_used(
    operator, monkeypatch
) -> None:
    monkeypatch.setattr(operator_room, "onednn_linear", operator)
    assert not onednn_linear_works()
