import pytest
import torch
from golden_vector import F, R

from diptych.errors import DataError
from diptych.evaluation.fidelity.vendi import vendi_score


def test_golden_scores():
    assert vendi_score(R).value == pytest.approx(62.01964231277579, rel=1e-12)
    assert vendi_score(F).value == pytest.approx(60.62810695249839, rel=1e-12)


@pytest.mark.parametrize("interval", [True, False])
def test_dual_and_primal_form_are_one_number(interval):
    square = R[:64]
    wide = torch.cat([square, torch.zeros(64, 9).double()], 1)
    assert vendi_score(wide, interval=interval).value == pytest.approx(
        vendi_score(square.repeat(3, 1), interval=interval).value, rel=1e-10
    )


def test_equal_items_count_once_and_orthogonal_ones_each():
    assert vendi_score(torch.ones(50, 7)).value == pytest.approx(1)
    assert vendi_score(torch.eye(20)).value == pytest.approx(20)
    assert vendi_score(torch.eye(20).repeat(4, 1)).value == pytest.approx(20)
    assert vendi_score(torch.zeros(50, 7)).value == pytest.approx(1)
    tiny = torch.tensor([[0.0, 0.0], [1e-200, 0.0]], dtype=torch.float64)
    assert vendi_score(tiny).value == pytest.approx(2)


def test_length_of_rows_does_not_matter():
    assert vendi_score(R * F[:, :1].abs() * 1e6).value == pytest.approx(vendi_score(R).value)


def test_rounding_around_zero_is_not_counted():
    low_rank = R[:, :2] @ R[:2]
    assert vendi_score(low_rank).value <= 2


@pytest.mark.parametrize("shape", [(300, 6), (30, 60)])
def test_interval_is_as_wide_as_repeated_draws_are_apart(shape):
    scale = torch.linspace(0.2, 2, shape[1])
    estimates = [
        vendi_score(torch.randn(*shape, generator=torch.Generator().manual_seed(i)) * scale)
        for i in range(200)
    ]
    spread = float(torch.tensor([estimate.value for estimate in estimates]).std())
    errors = torch.tensor([(estimate.high - estimate.low) / 3.92 for estimate in estimates])
    assert float(errors.mean()) == pytest.approx(spread, rel=0.3)


def test_what_cannot_be_measured_is_said():
    with pytest.raises(DataError, match="2 or more rows"):
        vendi_score(R[:1])
    with pytest.raises(DataError, match="NaN or infinite"):
        vendi_score(R / 0)
