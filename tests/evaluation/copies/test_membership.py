import pytest
import torch
from golden_vector import F, R, T

from diptych.evaluation.copies.membership import membership, membership_of_scores


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_no_leak_is_a_coin():
    areas, rates = [], []
    for seed in range(40):
        train, held_out, fake = torch.randn(3, 150, 4, generator=seeded(seed))
        found = membership(fake, held_out, train, generator=seeded(seed))
        areas.append(found.auc.value)
        rates.append(found.tpr.value)
    areas, rates = torch.tensor(areas), torch.tensor(rates)
    spread = (301 / 12 / 150**2) ** 0.5  # of the area for two equal sets of 150
    assert abs(float(areas.mean()) - 0.5) < 4 * spread / 40**0.5
    assert float(areas.std()) == pytest.approx(spread, rel=0.35)
    assert float(rates.mean()) < 0.03


def test_copies_give_every_member_away():
    found = membership(R, T, R, generator=seeded())
    assert (found.auc.value, found.tpr.value, found.n) == (1, 1, 1000)
    assert found.tpr.low > 0.99


def test_a_tenth_copied_shows_at_few_false_positives():
    found = membership(torch.cat([R[:100], F[100:]]), T, R, generator=seeded())
    assert found.auc.value == pytest.approx(0.55, abs=0.02)
    assert found.tpr.value == pytest.approx(0.1, abs=0.02)
    assert found.tpr.low > 0.05


def test_swapping_members_and_strangers_mirrors_the_area():
    one = membership(F, T, R, generator=seeded()).auc
    other = membership(F, R, T, generator=seeded()).auc
    assert one.value == pytest.approx(1 - other.value)
    assert one.low == pytest.approx(1 - other.high)


def test_invariances():
    expected = membership(F, T, R, generator=seeded()).auc.value
    rotation = torch.linalg.qr(R[:64]).Q
    for change in (lambda x: x + 100, lambda x: x @ rotation, lambda x: x.flip(0)):
        found = membership(change(F), change(T), change(R), generator=seeded()).auc.value
        assert found == pytest.approx(expected, abs=1e-12)


def test_as_many_members_as_strangers():
    found = membership(F, T[:300], R, generator=seeded())
    assert found.n == 300
    again = membership(F, T[:300], R, generator=seeded())
    assert found == again
    assert membership(F, T, R[:80], generator=seeded()).n == 80


def test_scores_of_a_model():
    strangers = torch.randn(600, generator=seeded())
    found = membership_of_scores(strangers + 10, strangers[:500], generator=seeded())
    assert (found.auc.value, found.tpr.value, found.n) == (1, 1, 500)
    same = membership_of_scores(torch.zeros(30), torch.zeros(30), generator=seeded())
    assert same.auc.value == 0.5
    assert same.tpr.value == 0


def test_a_handful_is_not_trusted():
    found = membership(F[:5], T[:5], R[:5], generator=seeded())
    assert not found.auc.trusted
    assert not found.tpr.trusted
