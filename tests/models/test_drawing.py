"""From floats to bytes and back."""

import torch

from diptych.models.drawing import to_bytes
from diptych.training.batches import images_from_bytes


def test_every_byte_survives_the_way_to_a_float_and_back():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    assert torch.equal(torch.from_numpy(to_bytes(images_from_bytes(levels))), levels)


def test_rounding_is_to_the_nearest_byte_and_stays_in_range():
    values = torch.tensor([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 1.2]).view(1, 1, 1, 6)
    assert to_bytes(values).ravel().tolist() == [0, 0, 0, 1, 255, 255]
