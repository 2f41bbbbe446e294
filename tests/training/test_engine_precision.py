"""Half precision is for the networks: the data and the losses stay whole."""

import pytest
import torch
from torch import nn

from diptych.models import Turn
from diptych.models.build import build
from diptych.objectives import Terms
from diptych.training.engine import Engine
from diptych.training.plan import ExecutionPlan


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_batch_reaches_the_loss_unrounded(precision, monkeypatch, tiny_recipe):
    """Grey levels k / 255 need more than the eight bits of a bfloat16."""
    game = build(tiny_recipe("vae"), (1, 12, 12))
    seen: list[torch.Tensor] = []
    inside: list[torch.dtype] = []

    def loss(batch, moment) -> Terms:
        seen.append(batch)
        output = game.encoder(batch)
        inside.append(output.dtype)
        total = output.float().square().sum()
        return Terms(total, {"total": total.detach()})

    turn = Turn("autoencoder", ("encoder", "decoder", "likelihood"), loss, "")
    monkeypatch.setattr(type(game), "turns", lambda self: (turn,))

    def make_optimizer(turn: Turn, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        optimizer = torch.optim.Adam(parameters)
        optimizer.param_groups[0]["initial_lr"] = 1e-3
        return optimizer

    engine = Engine(game, make_optimizer, ExecutionPlan("cpu", precision, 1))
    batch = (torch.arange(4 * 144) % 256 / 255.0).view(4, 1, 12, 12)
    terms = engine.take(turn, batch, progress=0.0, step=0, rate_scale=1.0)
    assert torch.equal(seen[0], batch)
    assert inside == [torch.bfloat16 if precision == "bf16" else torch.float32]
    assert terms.loss.dtype == torch.float32
    assert {parameter.dtype for parameter in game.parameters()} == {torch.float32}
