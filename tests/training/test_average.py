import copy

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from diptych import build
from diptych.training.ema import (
    AVERAGE_EVERY,
    EACH_STEP_UNTIL,
    MovingAverage,
    refresh_batch_statistics,
)


@pytest.fixture
def game(tiny_recipe):
    return build(tiny_recipe("gan"), (1, 12, 12), seed=0)


def move(game) -> None:
    with torch.no_grad():
        for parameter in game.parameters():
            parameter.add_(torch.randn_like(parameter))


def test_the_average_is_the_formula(game) -> None:
    average = MovingAverage(game, half_life=300, ramp_up=0.5)
    by_hand = {name: p.detach().clone() for name, p in game.generator.named_parameters()}
    for step in range(1, 6):
        move(game)
        seen = 100 * step
        average.update(step=step, batch=100, images_seen=seen)
        d = 2 ** (-100 / min(300, 0.5 * seen))
        for name, p in game.generator.named_parameters():
            by_hand[name] = d * by_hand[name] + (1 - d) * p.detach()
    for name, p in average.game.generator.named_parameters():
        torch.testing.assert_close(p.detach(), by_hand[name])
        assert not p.requires_grad


def test_later_one_update_stands_for_several_steps(game) -> None:
    assert EACH_STEP_UNTIL % AVERAGE_EVERY == 0  # the first of them takes no step twice
    average = MovingAverage(game, half_life=300, ramp_up=0.5)
    followed = next(average.game.generator.parameters())
    old = followed.clone()
    for step in range(EACH_STEP_UNTIL + 1, EACH_STEP_UNTIL + AVERAGE_EVERY):
        move(game)
        average.update(step=step, batch=10, images_seen=10 * step)
        assert torch.equal(followed, old)
    step += 1
    average.update(step=step, batch=10, images_seen=10 * step)
    d = 2 ** (-10 * AVERAGE_EVERY / 300)
    live = next(game.generator.parameters())
    torch.testing.assert_close(followed, d * old + (1 - d) * live)


def test_after_the_half_life_an_old_weight_counts_half_whatever_the_batch(game) -> None:
    average = MovingAverage(game, half_life=6_400, ramp_up=1.0)
    for batch in (1, 64, 640, 6_400):
        d = average.decay(batch=batch, images_seen=10**9)
        assert d ** (6_400 / batch) == pytest.approx(0.5)


def test_the_start_is_forgotten(game) -> None:
    average = MovingAverage(game, half_life=10_000, ramp_up=0.05)
    assert average.decay(batch=64, images_seen=0) == 0.0
    assert average.decay(batch=64, images_seen=64) == pytest.approx(2**-20)
    # Up to half_life / ramp_up images the half-life grows with the images seen; never beyond.
    assert average.decay(batch=64, images_seen=100_000) == pytest.approx(2 ** (-64 / 5_000))
    assert average.decay(batch=64, images_seen=10**9) == pytest.approx(2 ** (-64 / 10_000))


def test_buffers_are_copied_and_players_that_do_not_sample_are_left_out(game) -> None:
    average = MovingAverage(game, half_life=1_000, ramp_up=0.5)
    before = copy.deepcopy(average.game.discriminator.state_dict())
    move(game)
    for buffer in game.generator.buffers():
        buffer.fill_(7)
    average.update(step=1, batch=10, images_seen=1_000)
    assert list(average.game.generator.buffers())
    assert all(bool((buffer == 7).all()) for buffer in average.game.generator.buffers())
    for name, value in average.game.discriminator.state_dict().items():
        assert torch.equal(value, before[name])


def test_refreshed_statistics_are_those_of_the_batches(tiny_recipe) -> None:
    game = build(tiny_recipe("gan"), (1, 12, 12), seed=0)
    norms = [module for module in game.generator.modules() if isinstance(module, _BatchNorm)]
    assert norms
    seen: dict[int, list[torch.Tensor]] = {index: [] for index in range(len(norms))}
    hooks = [
        norm.register_forward_pre_hook(lambda _, args, i=i: seen[i].append(args[0].detach()))
        for i, norm in enumerate(norms)
    ]
    momenta = [norm.momentum for norm in norms]
    before = torch.get_rng_state()
    refresh_batch_statistics(game, _batches(), seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    for hook in hooks:
        hook.remove()
    for index, norm in enumerate(norms):
        assert len(seen[index]) == 5
        channels = [x.transpose(0, 1).flatten(1) for x in seen[index]]
        mean = torch.stack([x.mean(1) for x in channels]).mean(0)
        variance = torch.stack([x.var(1, unbiased=True) for x in channels]).mean(0)
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-5)
    assert [norm.momentum for norm in norms] == momenta
    assert not game.training


def _batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(16, 1, 12, 12, generator=generator) for _ in range(5)]


def test_refreshing_twice_changes_nothing_more(tiny_recipe) -> None:
    game = build(tiny_recipe("gan"), (1, 12, 12), seed=0)
    refresh_batch_statistics(game, _batches(), seed=3)
    once = copy.deepcopy(game.state_dict())
    refresh_batch_statistics(game, _batches(), seed=3)
    assert all(torch.equal(value, once[name]) for name, value in game.state_dict().items())
