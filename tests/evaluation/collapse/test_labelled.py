import math

import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.collapse.labelled import (
    accuracy,
    count_classes,
    predicted,
    stack,
    stacked_modes,
)
from diptych.evaluation.collapse.shares import kl_floor, reverse_kl


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def sure(labels, classes=10):
    """Logits of a classifier that has no doubt."""
    return 50.0 * torch.nn.functional.one_hot(torch.as_tensor(labels), classes)


def test_a_sampler_of_half_of_the_classes_is_ln_2_away():
    real, fake = sure(torch.arange(1000) % 10), sure(torch.arange(1000) % 5)
    count = count_classes(fake, real)
    assert (count.found, count.total, count.missing.tolist()) == (5, 10, [5, 6, 7, 8, 9])
    assert count.reverse_kl == pytest.approx(math.log(2), abs=1e-12)
    assert count_classes(fake).reverse_kl == pytest.approx(math.log(2), abs=1e-12)


def test_uneven_real_classes_are_the_reference():
    labels = torch.tensor([0] * 90 + [1] * 10)
    assert count_classes(sure(labels, 2), sure(labels, 2)).reverse_kl == 0
    assert count_classes(sure(labels, 2)).reverse_kl > 0.3


def test_one_mistake_finds_a_class_by_the_published_rule_only():
    real, fake = sure(torch.arange(1000) % 10), sure([0] * 999 + [1])
    assert count_classes(fake, real).found == 2
    assert count_classes(fake, real, least=0.1).found == 1


def test_unsure_items_count_nowhere():
    logits = torch.cat([sure([0, 1, 2]), torch.zeros(4, 10)])
    count = count_classes(logits, confidence=0.5)
    assert (count.unsure, int(count.counts.sum()), count.found) == (4, 3, 3)
    assert count_classes(logits).unsure == 0


def test_confidence_is_the_largest_probability():
    logits = torch.tensor([[math.log(3), 0.0], [math.log(2), 0.0]])  # 3/4 and 2/3
    assert predicted(logits, confidence=0.7).tolist() == [0, -1]


def test_a_class_without_real_items_is_smoothed_and_not_expected():
    real, fake = sure(torch.arange(100) % 9), sure(torch.arange(100) % 10)
    count = count_classes(fake, real)
    assert (count.total, count.found, count.smoothed) == (9, 9, True)
    assert math.isfinite(count.reverse_kl)
    assert not count_classes(real, real).smoothed


def test_accuracy_is_a_share():
    assert accuracy(sure([0, 1, 2, 2]), torch.tensor([0, 1, 2, 3])) == 0.75
    with pytest.raises(DataError, match="2 predictions do not belong to 3 labels"):
        accuracy(sure([0, 1]), torch.tensor([0, 1, 2]))


def test_all_thousand_stacked_modes_are_told_apart():
    modes = torch.arange(1000)
    digits = torch.stack([modes // 100, modes // 10 % 10, modes % 10], 1)
    count = stacked_modes(sure(digits))
    assert (count.found, count.total, count.reverse_kl) == (1000, 1000, 0)
    assert count.counts.tolist() == [1] * 1000
    assert stacked_modes(sure(digits[:500])).reverse_kl == pytest.approx(math.log(2), abs=1e-12)
    assert stacked_modes(sure(digits[7:8])).missing.tolist() == [m for m in range(1000) if m != 7]


@pytest.mark.parametrize(("n", "known"), [(26000, 0.0188), (50000, 0.0100), (100000, 0.0050)])
def test_a_perfect_sampler_of_stacked_data_gets_the_known_kl(n, known):
    generator = stream(2)
    count = stacked_modes(sure(torch.randint(10, (n, 3), generator=generator)).half())
    draws = [count.reverse_kl] + [
        float(reverse_kl(torch.randint(1000, (n,), generator=generator).bincount(minlength=1000)))
        for _ in range(20)
    ]
    assert count.found == 1000
    assert count.reverse_kl == pytest.approx(known, rel=0.15)
    assert sum(draws) / 21 == pytest.approx(known, rel=0.04)
    assert kl_floor(1000, n) == pytest.approx(known, rel=0.03)


def test_an_unsure_channel_makes_a_stacked_image_unsure():
    logits = sure(torch.tensor([[1, 2, 3], [4, 5, 6]])).float()
    logits[1, 2] = 0
    count = stacked_modes(logits, confidence=0.5)
    assert (count.unsure, count.counts.nonzero()[:, 0].tolist()) == (1, [123])


def test_stacked_images_hold_the_grey_ones_they_name():
    grey = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 4, 3, 1)
    images, rows = stack(grey, 40, generator=stream())
    assert (tuple(images.shape), images.dtype) == ((40, 4, 3, 3), torch.uint8)
    assert torch.equal(images[:, 0, 0].long(), rows)
    assert torch.equal(stack(grey[..., 0], 40, generator=stream())[0], images)
    assert rows.unique().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: count_classes(torch.zeros(3)), "logits \\(N, classes\\)"),
        (lambda: count_classes(torch.full((3, 2), torch.nan)), "NaN"),
        (lambda: count_classes(sure([0]), sure([0], 9)), "one classifier must see both"),
        (lambda: count_classes(torch.zeros(3, 4), confidence=0.9), "sure of no sample"),
        (
            lambda: count_classes(sure([0], 4), torch.zeros(3, 4), confidence=0.9),
            "sure of no real item",
        ),
        (lambda: stacked_modes(torch.zeros(3, 4)), "channels, classes"),
        (
            lambda: stack(torch.zeros(2, 4, 4, 3), 3, generator=stream()),
            "Only grey images",
        ),
    ],
)
def test_what_cannot_be_counted_is_one_sentence(call, sentence):
    with pytest.raises(DataError, match=sentence):
        call()
