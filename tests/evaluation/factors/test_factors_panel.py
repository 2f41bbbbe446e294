"""The panel between its floor and its ceiling, and what it leaves out."""

import math

import pytest
import torch
from known_codes import independent_factors, noise, rotation

from diptych.errors import DataError
from diptych.evaluation.factors import panel as panel_module
from diptych.evaluation.factors.labelled import labelled_codes
from diptych.evaluation.factors.panel import METRICS, factors_panel
from diptych.evaluation.figure import Estimate


def panel(codes, factors, **options):
    options = {"code_source": "posterior mean", "base": {"split": "test"}, **options}
    return {figure.key: figure for figure in factors_panel(codes, factors, **options)}


def test_ideal_codes_reach_their_ceiling_and_random_ones_lie_on_the_floor():
    factors = independent_factors(2000, (1, 4, 5, 6))
    ideal = panel(3 * factors[:, [2, 1, 3]].double(), factors)
    assert list(ideal) == list(METRICS)
    for figure in ideal.values():
        assert figure.value == pytest.approx(figure.ceiling, abs=0.02)
        assert figure.floor < 0.5 < figure.value
        assert (figure.panel, figure.n_real, figure.better) == ("factors", 2000, "higher")
        assert figure.trusted
    random = panel(noise(2000, 4), factors)
    for figure in random.values():
        assert abs(figure.value - figure.floor) < 0.12
        assert figure.ceiling == ideal[figure.key].ceiling


def test_the_ceiling_of_a_factor_with_more_values_than_bins():
    factors = independent_factors(4000, (40, 3))
    figure = panel(noise(4000, 3), factors)["mig"]
    assert figure.ceiling == pytest.approx((math.log(20) / math.log(40) + 1) / 2, abs=0.02)


def test_intervals_hold_their_value_and_say_how_they_were_made():
    factors = independent_factors(1000, (4, 5))
    figures = panel(factors.double() @ rotation(2) + noise(1000, 2), factors)
    for key in ("mig", "sap", "dci-disentanglement", "dci-informativeness"):
        figure = figures[key]
        assert 0 <= figure.low <= figure.value <= figure.high <= 1
        assert figure.interval == "jackknife over 10 blocks"
    assert figures["factor-vae"].low is None
    assert figures["beta-vae"].interval == ""


def test_the_jackknife_knows_the_error_of_a_mean(monkeypatch):
    monkeypatch.setattr(
        panel_module,
        "_values",
        lambda codes, factors, seed, votes: {"mean": Estimate(float(codes.mean()))},
    )
    data = labelled_codes(3 * noise(1000, 1), independent_factors(1000, (2,)))
    errors = [panel_module._jackknife(data, seed, lambda done: None)["mean"] for seed in range(40)]
    assert sum(errors) / 40 == pytest.approx(3 / 1000**0.5, rel=0.1)


def test_the_same_seed_gives_the_same_figures_and_the_protocol_names_what_matters():
    factors = independent_factors(500, (2, 1, 3))
    codes = factors.double() + 0.5 * noise(500, 3)
    state = torch.random.get_rng_state()
    first, again, other = (
        panel(codes, factors),
        panel(codes, factors),
        panel(codes, factors, seed=1),
    )
    assert torch.equal(state, torch.random.get_rng_state())
    assert first == again
    assert first["sap"].value != other["sap"].value
    assert first["mig"].value == other["mig"].value
    assert first["mig"].protocol.parts == {
        "metric": "mig",
        "split": "test",
        "code_source": "posterior mean",
        "latents": 3,
        "factors": [2, 3],
        "columns": [0, 2],
        "seed": 0,
        "bins": 20,
    }
    searched = panel(codes, factors, code_source="search")
    assert searched["mig"].protocol != first["mig"].protocol


def test_few_codes_are_not_trusted():
    factors = independent_factors(60, (4, 3))
    figures = panel(factors.double(), factors)
    assert figures
    for figure in figures.values():
        assert not figure.trusted
        assert "Only 60 codes" in figure.note
        assert figure.low is None
    many_values = independent_factors(300, (40, 3))
    figure = panel(many_values.double(), many_values)["mig"]
    assert not figure.trusted
    assert "300 codes are few for 40 values in 20 bins" in figure.note


def test_what_does_not_apply_is_left_out():
    factors = independent_factors(400, (4, 3))
    one_factor = panel(noise(400, 3), factors[:, :1])
    assert set(one_factor) == {"mig", "sap", "dci-completeness", "dci-informativeness"}
    one_latent = panel(factors[:, :1].double(), factors)
    assert "dci-completeness" not in one_latent
    assert one_latent["mig"].value == pytest.approx(0.5, abs=0.1)
    assert panel(noise(400, 3), torch.ones(400, 2).long()) == {}
    assert panel(noise(1, 3), torch.ones(1, 2).long()) == {}
    nine = independent_factors(9, (2, 2), seed=4)
    assert "dci-informativeness" not in panel(nine.double(), nine)


def test_one_of_each():
    factors = independent_factors(400, (4,))
    figures = panel(factors.double(), factors)
    assert set(figures) == {"mig", "sap", "dci-informativeness"}
    assert figures["sap"].value == pytest.approx(0.75)


def test_a_value_that_is_rare_does_not_stop_the_jackknife():
    factors = torch.zeros(300, 1).long()
    factors[7] = 1
    figures = panel(noise(300, 3), factors)
    assert figures["mig"].low is None


def test_dead_latents_everywhere():
    factors = independent_factors(400, (4, 3))
    figures = panel(torch.zeros(400, 3), factors)
    for key in ("mig", "sap", "dci-disentanglement", "dci-informativeness"):
        assert figures[key].value == pytest.approx(0, abs=0.02)
    assert not figures["factor-vae"].trusted
    assert figures["factor-vae"].value == 0.5


def test_progress_counts_to_its_total():
    factors = independent_factors(300, (3, 3))
    said = []
    panel(noise(300, 2), factors, progress=lambda *told: said.append(told))
    assert [done for _, done, _ in said] == list(range(1, 16))
    assert {total for _, _, total in said} == {15}


def test_lengths_that_differ_are_said():
    with pytest.raises(DataError, match="of the same N"):
        panel(noise(5, 2), independent_factors(4, (3, 3)))
