import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.copies.ratio import (
    calibrated_threshold,
    closest_pairs,
    median_ratio,
    nearest_ratio,
    ratio_of_distances,
    suspicious_share,
    unseen_ratio,
)


def test_by_hand():
    train, held_out = torch.tensor([[0.0, 0.0]]), torch.tensor([[4.0, 0.0], [0.0, 30.0]])
    fake = torch.tensor([[1.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
    assert nearest_ratio(fake, held_out, train).tolist() == [1 / 3, 0, torch.inf]
    both = torch.cat([train, held_out])
    assert nearest_ratio(train, both, both).tolist() == [1]  # nought over nought: no evidence


def test_without_copies_either_set_is_nearer_as_often():
    generator = torch.Generator().manual_seed(0)
    train, held_out = torch.randn(2, 300, 5, generator=generator)
    ratios = nearest_ratio(torch.randn(4000, 5, generator=generator), held_out, train)
    found = median_ratio(ratios)
    assert found.value == pytest.approx(1, abs=0.03)
    assert found.low < found.value < found.high
    # Swapping the two real sets inverts every ratio.
    back = nearest_ratio(torch.randn(9, 5, generator=generator.manual_seed(1)), train, held_out)
    forth = nearest_ratio(torch.randn(9, 5, generator=generator.manual_seed(1)), held_out, train)
    torch.testing.assert_close(back, 1 / forth)


def test_the_calibrated_threshold_calls_as_many_as_it_says():
    threshold = calibrated_threshold(unseen_ratio(T, R))
    assert float((unseen_ratio(T, R) <= threshold).double().mean()) == 0.01
    fresh = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0)).double()
    found = suspicious_share(nearest_ratio(fresh, T, R), threshold)
    assert 0.001 < found.value < 0.025


def test_bad_items_are_no_copies():
    # Ratios of items far from everything are about 1, where plain distances raise no alarm either,
    # and where AuthPct scores better than fresh data.
    threshold = calibrated_threshold(unseen_ratio(T, R))
    ratios = nearest_ratio(F, T, R)
    assert median_ratio(ratios).value == pytest.approx(1, abs=0.02)
    assert suspicious_share(ratios, threshold).value < 0.03


def test_planted_copies_are_all_called():
    threshold = calibrated_threshold(unseen_ratio(T, R))
    noise = torch.randn(200, 64, generator=torch.Generator().manual_seed(0)) * 1e-2
    mixed = torch.cat([R[:200] + noise, F[200:]])
    ratios = nearest_ratio(mixed, T, R)
    assert (ratios[:200] <= threshold).all()
    assert suspicious_share(ratios, threshold).value >= 0.2


def test_invariances():
    expected = nearest_ratio(F, T, R)
    rotation = torch.linalg.qr(R[:64]).Q
    for change in (lambda x: x + 100, lambda x: x @ rotation, lambda x: 7 * x):
        torch.testing.assert_close(nearest_ratio(change(F), change(T), change(R)), expected)
    torch.testing.assert_close(nearest_ratio(F, T.flip(0), R.flip(0)), expected)


def test_closest_pairs_are_the_planted_ones():
    fake = F.clone()
    fake[[5, 17]] = R[[700, 3]]
    fake[40] = R[9] + 0.01
    found = closest_pairs(fake, T, R, k=3)
    assert found.fake.tolist() == [5, 17, 40]
    assert found.train.tolist() == [700, 3, 9]
    assert found.distance.tolist() == pytest.approx([0, 0, 0.08])
    assert found.to_held_out.min() > 5
    torch.testing.assert_close(found.ratio, found.distance / found.to_held_out)
    assert len(closest_pairs(fake[:2], T, R, k=8).fake) == 2


def test_copies_of_the_held_out_set_have_no_median():
    with pytest.raises(DataError, match="identical to held-out"):
        median_ratio(ratio_of_distances(torch.ones(3), torch.zeros(3)))
