"""What is compared in the benchmarks is the same work. Nothing here is timed."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import ours, workloads
from diptych.training.batches import images_from_bytes
from diptych.training.plan import ExecutionPlan, Wishes


def test_the_bare_step_has_the_layers_of_the_loop():
    """Or the gain of the layers would hide what the loop costs."""
    work = ours.workload("dcgan")
    array = workloads.pictures(work.shape)
    plan = ExecutionPlan.choose(Wishes(threads=1))
    in_loop, bare = work.game(), work.game()
    ours.prepared(work, in_loop, plan, array, seed=0)
    batch = images_from_bytes(torch.from_numpy(array[:4].copy()))
    ours.bare_step(work, bare, plan, batch)
    kinds = [[type(module) for module in game.modules()] for game in (in_loop, bare)]
    assert kinds[0] == kinds[1]
    assert any(kind.__module__ == "diptych.networks.faster" for kind in kinds[0])


def test_networks_have_the_sizes_that_their_titles_say():
    sizes = {
        work.key: sorted(work.game().count_parameters().values()) for work in workloads.WORKLOADS
    }
    assert (
        sum(sizes["mlp-vae"]) == 784 * 400 + 400 + 400 * 40 + 40 + 20 * 400 + 400 + 400 * 784 + 784
    )
    assert round(sum(sizes["conv-vae"]) / 1e6, 1) == 1.7
    assert sizes["sn-resnet"] == [264_769, 368_771]  # those of the peer


def test_the_residual_pair_upsamples_as_its_peer():
    generator = ours.workload("sn-resnet").game().generator
    modes = {module.upsampling for module in generator.modules() if hasattr(module, "upsampling")}
    assert modes == {"bilinear"}


def test_operations_are_those_of_an_ordinary_step():
    """Real and fake may pass together; looking whether they may is not counted."""
    counts = ours.flops_per_image("dcgan")
    assert round(counts[""] / 1e6, 1) == 410.4
    assert round(counts[", fakes reused"] / 1e6, 1) == 375.5
