"""Half precision ends where losses begin."""

import pytest
import torch

from diptych.objectives.precision import at_least_single


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_only_half_precision_is_raised(given, expected):
    assert at_least_single(torch.ones(2, dtype=given)).dtype == expected


def test_a_sum_over_many_pixels_would_stall_in_half_precision():
    """bfloat16 has 8 bits: counting by ones ends at 256."""
    total = torch.zeros((), dtype=torch.bfloat16)
    ones = torch.ones(1000, dtype=torch.bfloat16)
    for one in ones:
        total = total + one
    assert total.item() == 256
    assert at_least_single(ones).sum().item() == 1000
