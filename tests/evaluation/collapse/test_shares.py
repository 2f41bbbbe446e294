import math

import pytest
import torch

from diptych.errors import DataError
from diptych.evaluation.collapse.shares import (
    jensen_shannon,
    jensen_shannon_estimate,
    jensen_shannon_floor,
    kl_estimate,
    kl_floor,
    reverse_kl,
    share,
)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def counts(n, k, generator):
    return torch.randint(k, (n,), generator=generator).bincount(minlength=k)


def test_equal_shares_are_not_apart():
    some = torch.tensor([3, 1, 0, 6])
    assert float(jensen_shannon(some, 5 * some)) == 0
    assert float(reverse_kl(some, 5 * some)) == 0


def test_half_of_the_categories_is_ln_2():
    half = torch.tensor([7, 7, 0, 0])
    assert float(reverse_kl(half)) == pytest.approx(math.log(2), abs=1e-15)
    assert float(reverse_kl(half, torch.ones(4))) == pytest.approx(math.log(2), abs=1e-15)


def test_disjoint_categories_are_as_far_apart_as_can_be():
    left, right = torch.tensor([2, 3, 0, 0]), torch.tensor([0, 0, 4, 1])
    assert float(jensen_shannon(left, right)) == pytest.approx(math.log(2), abs=1e-15)
    assert float(reverse_kl(left, right)) == math.inf


def test_kl_and_jsd_agree_with_scipy():
    distance = pytest.importorskip("scipy.spatial.distance")
    stats = pytest.importorskip("scipy.stats")
    p, q = counts(200, 7, stream(1)) + 1, counts(90, 7, stream(2))
    assert float(reverse_kl(q, p)) == pytest.approx(stats.entropy(q, p), rel=1e-12)
    assert float(jensen_shannon(p, q)) == pytest.approx(
        distance.jensenshannon(p, q) ** 2, rel=1e-12
    )


def test_floors_are_what_perfect_samplers_get():
    generator = stream()
    kl, kl_of_both, jsd = [], [], []
    for _ in range(400):
        fake, real = counts(1000, 20, generator), counts(2000, 20, generator)
        kl.append(float(reverse_kl(fake)))
        kl_of_both.append(float(reverse_kl(fake, real)))
        jsd.append(float(jensen_shannon(fake, real)))
    assert sum(kl) / 400 == pytest.approx(kl_floor(20, 1000), rel=0.05)
    assert sum(kl_of_both) / 400 == pytest.approx(kl_floor(20, 1000, 2000), rel=0.05)
    assert sum(jsd) / 400 == pytest.approx(jensen_shannon_floor(20, 1000, 2000), rel=0.05)


@pytest.mark.parametrize("skew", [0.0, 0.05, 0.5])
@pytest.mark.parametrize("known", [True, False])
def test_intervals_hold_what_other_draws_give_on_average(skew, known):
    """At the null, where the first order vanishes, near it and far away."""
    shares = torch.linspace(1 - skew, 1 + skew, 12).double()
    generator = stream(4)

    def drawn(of, n):
        rows = torch.multinomial(of, n, replacement=True, generator=generator)
        return rows.bincount(minlength=12)

    kl, jsd = [], []
    for _ in range(300):
        fake, real = drawn(shares, 600), drawn(torch.ones(12).double(), 900)
        kl.append(kl_estimate(fake) if known else kl_estimate(fake, real))
        jsd.append(jensen_shannon_estimate(fake, real))
    for estimates in (kl, jsd):
        values = torch.tensor([estimate.value for estimate in estimates])
        mean = float(values.mean())
        held = sum(estimate.low <= mean <= estimate.high for estimate in estimates) / 300
        assert held > 0.9
        width = sum(estimate.high - estimate.low for estimate in estimates) / 300
        assert width == pytest.approx(2 * 1.96 * float(values.std()), rel=0.3)


def test_an_estimate_is_the_divergence_itself_also_with_empty_categories():
    fake, real = torch.tensor([5, 0, 3, 0]), torch.tensor([4, 2, 6, 0])
    estimate = kl_estimate(fake, real, note="why")
    assert estimate.value == float(reverse_kl(fake, real))
    assert estimate.low < estimate.value < estimate.high
    assert estimate.note == "why"
    estimate = jensen_shannon_estimate(fake, real)
    assert estimate.value == float(jensen_shannon(fake, real))
    assert estimate.low < estimate.value < estimate.high


def test_wilson_agrees_with_scipy_and_never_leaves_0_to_1():
    stats = pytest.importorskip("scipy.stats")
    for successes, total in ((0, 5), (5, 5), (3, 40), (399, 400)):
        theirs = stats.binomtest(successes, total).proportion_ci(method="wilson")
        ours = share(successes, total)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        assert 0 <= ours.low <= ours.value <= ours.high <= 1


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.tensor([2.0, -1.0, 3.0])])
def test_what_has_no_shares_is_said(bad):
    with pytest.raises(DataError, match="not negative and not all zero"):
        reverse_kl(bad)


def test_different_categories_are_refused():
    with pytest.raises(DataError, match="3 categories cannot be compared with 4"):
        reverse_kl(torch.ones(3), torch.ones(4))
    with pytest.raises(DataError, match="3 categories cannot be compared with 4"):
        jensen_shannon(torch.ones(3), torch.ones(4))
