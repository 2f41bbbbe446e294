import numpy as np
import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.copies.authenticity import authenticity

NOISE = torch.from_numpy(np.random.RandomState(4).randn(1000, 64))


def test_golden_authpct():
    assert authenticity(F, R).value == pytest.approx(95.4, abs=1e-9)
    assert authenticity(T, R).value == pytest.approx(82.0, abs=1e-9)  # fresh, and not 100
    assert authenticity(R + 1e-3 * NOISE, R).value == 0


def test_by_its_definition():
    fake, train = F[:80], R[:120]
    distance = torch.cdist(fake, train, compute_mode="donot_use_mm_for_euclid_dist")
    own = torch.cdist(train, train, compute_mode="donot_use_mm_for_euclid_dist")
    own.fill_diagonal_(torch.inf)
    expected = (distance.amin(1) > own.amin(1)[distance.argmin(1)]).double().mean()
    assert authenticity(fake, train).value == pytest.approx(100 * float(expected))


def test_invariances():
    rotation = torch.linalg.qr(R[:64]).Q
    shuffled = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    assert authenticity(T @ rotation, R @ rotation).value == pytest.approx(82.0)
    assert authenticity(T + 100, R + 100).value == pytest.approx(82.0)
    assert authenticity(T[shuffled], R[shuffled]).value == pytest.approx(82.0)
    assert authenticity(3 * T, 3 * R).value == pytest.approx(82.0)


def test_every_planted_copy_counts():
    mixed = torch.cat([R[:300], F[300:]])
    found = authenticity(mixed, R)
    assert found.value == pytest.approx(0.7 * authenticity(F[300:], R).value)
    assert found.low < found.value < found.high


def test_identical_training_items_hold_their_copies():
    same = torch.ones(10, 3)
    assert authenticity(same, same).value == 0
    assert authenticity(same + 1, same).value == 100


def test_one_training_item_has_no_neighbour():
    with pytest.raises(DataError, match="without the item itself"):
        authenticity(T, R[:1])
