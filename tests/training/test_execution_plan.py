"""The execution plan: wishes win, every element has a reason, what cannot be had is refused."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from diptych import resume, train
from diptych.errors import DiptychError, RunError
from diptych.networks.onednn import onednn_linear_works
from diptych.training import choices, threads
from diptych.training.allocator import tune_allocator
from diptych.training.plan import ExecutionPlan, Wishes

ELEMENTS = {field.name for field in dataclasses.fields(ExecutionPlan)} - {"reasons"}
OTHERWISE = {
    "precision": "fp32",
    "threads": 3,
    "memory_format": "contiguous",
    "linear": "default",
    "layers": "stock",
    "compile": "default",
}
"""What some run began with."""


@pytest.fixture(autouse=True)
def process_left_as_it_was() -> Iterator[None]:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    tf32 = torch.backends.cudnn.allow_tf32
    yield
    torch.set_num_threads(before[0])
    torch.set_float32_matmul_precision(before[1])
    torch.backends.cudnn.allow_tf32 = tf32


@pytest.fixture
def one_gpu(monkeypatch) -> None:
    monkeypatch.setattr(choices, "available_devices", lambda: {"cuda": 1, "mps": 0, "cpu": 1})
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)


@pytest.mark.parametrize("points", [False, True])
def test_every_element_has_a_reason_and_survives_json(points) -> None:
    plan = ExecutionPlan.choose(points=points)
    assert plan.reasons.keys() == ELEMENTS
    assert all(plan.reasons.values())
    entry = json.loads(json.dumps(plan.to_dict()))
    again = ExecutionPlan.from_dict({**entry, "processor": "of run.json, not of the plan"})
    assert again == plan
    assert again.reasons == plan.reasons


@pytest.mark.parametrize(
    "wish",
    [
        {"device": "cpu"},
        {"precision": "fp32"},
        {"precision": "bf16"},
        {"threads": 2},
        {"memory_format": "contiguous"},
        {"memory_format": "channels_last"},
        {"allocator": "default"},
        {"linear": "default"},
        {"layers": "stock"},
        pytest.param(
            {"linear": "onednn"},
            marks=pytest.mark.skipif(not onednn_linear_works(), reason="torch without oneDNN"),
        ),
        {"compile": "off"},
        {"compile": "max-autotune"},
        {"devices": 2},
        {"nodes": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("begun", [None, OTHERWISE])
def test_wishes_win(wish, begun, monkeypatch) -> None:
    monkeypatch.setattr(choices, "cpp_compiler", lambda: "/usr/bin/g++")
    if begun is not None and wish == {"linear": "onednn"}:
        begun = {**begun, "compile": "off"}  # compiled layers have no use for it
    plan = ExecutionPlan.choose(Wishes(**wish), begun=begun, points=True)
    for name, value in wish.items():
        assert getattr(plan, name) == value
        assert plan.reasons[name] == "asked for"
    assert torch.get_num_threads() == plan.threads


def test_a_run_goes_on_as_it_began(monkeypatch) -> None:
    monkeypatch.setattr(choices, "fastest_thread_count", None)  # nothing is timed
    monkeypatch.setattr(choices, "onednn_speedup", None)
    monkeypatch.setattr(choices, "cpp_compiler", lambda: "/usr/bin/g++")
    plan = ExecutionPlan.choose(begun=OTHERWISE)
    for name, value in OTHERWISE.items():
        assert getattr(plan, name) == value
        assert plan.reasons[name] == "as the run began"


def test_a_run_goes_on_where_less_can_be_had(monkeypatch) -> None:
    monkeypatch.setattr(choices, "cpp_compiler", lambda: None)
    monkeypatch.setattr(choices, "onednn_linear_works", lambda: False)
    plan = ExecutionPlan.choose(begun={**OTHERWISE, "linear": "onednn"})
    assert (plan.linear, plan.compile) == ("default", "off")
    assert "no working oneDNN linear" in plan.reasons["linear"]
    assert "C++ compiler" in plan.reasons["compile"]


OLDER = {"device": "cpu", "precision": "fp32", "threads": 1, "allocator": "mallopt"}
"""What "machine" in run.json was before there was a plan."""


@pytest.mark.parametrize("flag", [True, False])
def test_older_runs_keep_what_they_had(flag) -> None:
    plan = ExecutionPlan.choose(begun={**OLDER, "channels_last": flag})
    assert plan.memory_format == ("channels_last" if flag else "contiguous")
    assert (plan.precision, plan.threads, plan.linear, plan.compile) == (
        "fp32", 1, "default", "off",
    )  # fmt: skip


def test_an_older_run_is_resumed(disc_data, tiny_recipe, tmp_path) -> None:
    run = train(tiny_recipe("vae"), disc_data, images=32, out=tmp_path / "run")
    assert ExecutionPlan.from_dict(run.info["machine"]).reasons.keys() == ELEMENTS
    file = run.directory / "run.json"
    info = json.loads(file.read_text())
    info["machine"] = {**OLDER, "channels_last": True, "processor": "a", "torch": "2.6"}
    file.write_text(json.dumps(info))
    assert resume(run.directory, images=32).info["spent"]["images"] == 64


def test_damaged_machines_are_refused() -> None:
    with pytest.raises(RunError, match=r"run\.json is damaged: machine: threads must be"):
        ExecutionPlan.choose(begun={**OTHERWISE, "threads": "many"})
    with pytest.raises(RunError, match="memory format 'nchw' is unknown"):
        ExecutionPlan.choose(begun={**OTHERWISE, "memory_format": "nchw"})


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"device": "tpu"}, "device 'tpu' is unknown; allowed: auto, cpu, cuda, mps"),
        ({"precision": "fp16"}, "precision 'fp16' is unknown; allowed: auto, fp32, bf16"),
        ({"memory_format": "nhwc"}, "memory format 'nhwc' is unknown; allowed: auto, chan"),
        ({"compile": "yes"}, "compile 'yes' is unknown; allowed: auto, off, default"),
        ({"linear": ["onednn"]}, "linear \\['onednn'\\] is unknown"),
        ({"threads": 0}, "threads must be a whole number of at least 1, not 0"),
        ({"threads": 1.5}, "threads must be a whole number of at least 1, not 1.5"),
        ({"devices": 0}, "devices must be a whole number of at least 1, not 0"),
        ({"devices": None}, "devices must be a whole number of at least 1, not None"),
        ({"nodes": True}, "nodes must be a whole number of at least 1, not True"),
    ],
)
def test_senseless_wishes_are_refused(wish, says) -> None:
    with pytest.raises(DiptychError, match=says) as error:
        Wishes(**wish)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"device": "mps"}, "device 'mps' is not available here; use --device auto or cpu"),
        ({"devices": 4}, "4 devices were asked for and this machine has 1 of cuda"),
        ({"linear": "onednn"}, "oneDNN is for the CPU, and the device is cuda"),
        ({"compile": "default"}, "it needs the package triton"),
        ({"compile": "default", "device": "cpu"}, "it needs a C\\+\\+ compiler"),
        ({"allocator": "mallopt"}, "allocator 'mallopt' cannot be had: DIPTYCH_MALLOPT=0 is set"),
    ],
)
def test_what_cannot_be_had_is_refused(wish, says, one_gpu, monkeypatch) -> None:
    monkeypatch.setenv("DIPTYCH_MALLOPT", "0")
    monkeypatch.setattr(choices, "cpp_compiler", lambda: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DiptychError, match=says) as error:
        ExecutionPlan.choose(Wishes(**wish))
    assert error.value.exit_code == 2


def test_a_compiler_that_is_not_there_is_noticed(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    with pytest.raises(DiptychError, match="there is none; use --compile off"):
        ExecutionPlan.choose(Wishes(device="cpu", compile="default"))
    assert ExecutionPlan.choose(Wishes(device="cpu")).compile == "off"


def test_on_a_gpu(one_gpu) -> None:
    plan = ExecutionPlan.choose()
    assert (plan.device, plan.precision, plan.linear, plan.compile) == (
        "cuda", "bf16", "default", "off",
    )  # fmt: skip
    assert plan.tf32
    assert plan.to_dict()["tf32"]
    assert torch.get_float32_matmul_precision() == "high"
    assert torch.backends.cudnn.allow_tf32
    assert not ExecutionPlan.choose(Wishes(precision="fp32")).tf32
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.allow_tf32


def test_points_are_too_fine_for_bfloat16(monkeypatch) -> None:
    monkeypatch.setattr(choices, "cpu_has_bf16", lambda: True)
    assert ExecutionPlan.choose(Wishes(device="cpu")).precision == "bf16"
    assert ExecutionPlan.choose(Wishes(device="cpu"), points=True).precision == "fp32"


def test_workers_on_a_cpu_share_its_threads(monkeypatch) -> None:
    tried: list[int] = []

    def probe(*, most: int) -> int:
        tried.append(most)
        return most

    monkeypatch.setattr(choices, "fastest_thread_count", probe)
    for devices, threads_each in ((1, 8), (3, 2), (8, 1), (20, 1)):
        torch.set_num_threads(8)
        plan = ExecutionPlan.choose(Wishes(device="cpu", devices=devices))
        assert plan.threads == threads_each == torch.get_num_threads()
    assert tried == [8, 2]


@pytest.mark.parametrize(
    ("together", "chosen"),
    [
        ([0.5] * 10, 4),  # clearly faster
        ([0.95] * 10, 1),  # too little to win
        ([20.0] * 3, 1),  # clearly slower: three turns are enough
        ([0.5] * 9 + [8.0], 1),  # faster, but for one turn in which they waited
    ],
)
def test_the_thread_probe_adds_up_times(together, chosen, monkeypatch) -> None:
    """One thread takes 1 s a call; all threads take what is given, turn after turn."""
    left = iter(together)

    def time_of(work, seconds) -> float:
        work()
        return 1.0 if torch.get_num_threads() == 1 else next(left)

    monkeypatch.setattr(threads, "_time_of", time_of)
    torch.set_num_threads(3)
    assert threads.fastest_thread_count(seconds=100.0, most=4) == chosen
    assert torch.get_num_threads() == 3
    assert list(left) == []


def test_the_thread_probe_restores_threads_when_it_fails(monkeypatch) -> None:
    def fail(*_) -> float:
        raise RuntimeError("broken")

    monkeypatch.setattr(threads, "_time_of", fail)
    torch.set_num_threads(2)
    with pytest.raises(RuntimeError, match="broken"):
        threads.fastest_thread_count()
    assert torch.get_num_threads() == 2


def test_the_thread_probe_ends_in_time() -> None:
    torch.set_num_threads(2)
    assert threads.fastest_thread_count(seconds=0.0) in (1, 2)
    assert torch.get_num_threads() == 2


def test_the_allocator_can_be_left_alone(monkeypatch) -> None:
    monkeypatch.setenv("DIPTYCH_MALLOPT", "0")
    assert not tune_allocator()
    plan = ExecutionPlan.choose()
    assert plan.allocator == "default"
    assert plan.reasons["allocator"] == "DIPTYCH_MALLOPT=0 is set"


@pytest.mark.parametrize(
    ("gain", "works", "precision", "processor", "chosen"),
    [
        (2.0, True, "fp32", "Intel", "onednn"),
        (1.0, True, "fp32", "Intel", "default"),
        (0.5, True, "fp32", "Intel", "default"),
        (1.0, True, "fp32", "AMD EPYC", "onednn"),  # however busy it is just now
        (0.5, True, "fp32", "AMD EPYC", "default"),
        (2.0, False, "fp32", "AMD EPYC", "default"),
        (2.0, True, "bf16", "AMD EPYC", "default"),
    ],
)
def test_linear_layers_go_where_they_are_faster(
    gain, works, precision, processor, chosen, monkeypatch
) -> None:
    monkeypatch.setattr(choices, "onednn_linear_works", lambda: works)
    monkeypatch.setattr(choices, "onednn_speedup", lambda: gain)
    monkeypatch.setattr(choices, "processor_name", lambda: processor)
    plan = ExecutionPlan.choose(Wishes(device="cpu", precision=precision))
    assert plan.linear == chosen


def test_layers_are_faster_on_a_cpu_where_nothing_compiles_them(monkeypatch) -> None:
    monkeypatch.setattr(choices, "cpp_compiler", lambda: "/usr/bin/g++")
    assert ExecutionPlan.choose(Wishes(threads=1)).layers == "faster"
    assert ExecutionPlan.choose(Wishes(threads=1, compile="default")).layers == "stock"
    with pytest.raises(DiptychError, match="compiled layers have forms of their own"):
        ExecutionPlan.choose(Wishes(threads=1, compile="default", layers="faster"))
    before = {"precision": "fp32", "threads": 1}  # a version that knew no forms
    assert ExecutionPlan.choose(begun=before).layers == "stock"


def test_the_plan_is_one_short_line() -> None:
    plan = ExecutionPlan("cpu", "bf16", 2, allocator="mallopt")
    assert str(plan) == (
        "cpu, 2 threads, bf16, channels last, mallopt, plain linear, stock layers, no compile"
    )
    several = dataclasses.replace(
        plan,
        devices=2,
        nodes=2,
        threads=1,
        linear="onednn",
        compile="default",
        allocator="default",
    )
    assert str(several) == (
        "4 workers on cpu, 1 thread each, bf16, channels last, plain malloc, oneDNN linear, "
        "stock layers, compile default"
    )


def test_a_plan_does_the_same_in_another_process() -> None:
    plan = ExecutionPlan.choose(Wishes(threads=2))
    torch.set_num_threads(1)
    ExecutionPlan.from_dict(json.loads(json.dumps(plan.to_dict()))).apply()
    assert torch.get_num_threads() == 2


def test_the_room_of_wishes_needs_no_torch() -> None:
    source = Path(choices.__file__).with_name("wishes.py").read_text(encoding="utf-8")
    assert "torch" not in {line.split()[1] for line in source.splitlines() if "import " in line}
