import math

import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.clustering import k_means
from diptych.evaluation.collapse.bins import compare_bins, holm, ndb


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def golden_centers():
    cluster = pytest.importorskip("sklearn.cluster")
    fitted = cluster.KMeans(n_clusters=20, random_state=0, n_init=1).fit(R.numpy())
    return torch.from_numpy(fitted.cluster_centers_)


@pytest.mark.parametrize(("fake", "different", "jsd"), [(F, 8, 0.0206), (T, 2, 0.0068)])
def test_golden_vector(golden_centers, fake, different, jsd):
    comparison = ndb(R, fake, golden_centers)
    assert comparison.different == different
    assert comparison.jsd == pytest.approx(jsd, abs=5e-5)
    assert comparison.significant <= different


def test_the_correction_clears_unseen_real_items_and_convicts_the_others(golden_centers):
    assert ndb(R, T, golden_centers).significant == 0
    assert ndb(R, F, golden_centers).significant >= 1


def test_z_and_p_agree_with_the_chi_square_test_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    real, fake = torch.tensor([30, 50, 120]), torch.tensor([60, 55, 185])
    comparison = compare_bins(real, fake)
    for place in range(3):
        table = [
            [int(real[place]), int(real.sum() - real[place])],
            [int(fake[place]), int(fake.sum() - fake[place])],
        ]
        theirs = stats.chi2_contingency(table, correction=False)
        assert float(comparison.z[place]) ** 2 == pytest.approx(theirs.statistic, rel=1e-10)
        assert float(comparison.p_values[place]) == pytest.approx(theirs.pvalue, rel=1e-9)
    assert comparison.z[0] > 0  # the samples crowd this bin


def test_under_the_null_5_percent_of_bins_differ_and_holm_holds_5_percent_of_sets():
    generator = stream()
    alone, corrected = [], []
    for _ in range(400):
        real, fake = (
            torch.randint(40, (2000,), generator=generator).bincount(minlength=40)
            for _ in range(2)
        )
        comparison = compare_bins(real, fake)
        alone.append(comparison.different / 40)
        corrected.append(comparison.significant > 0)
    assert sum(alone) / 400 == pytest.approx(0.05, abs=0.005)
    assert 0.01 < sum(corrected) / 400 < 0.08


def test_a_dropped_class_is_found():
    centers = 10 * torch.eye(10)
    everyone, most = torch.arange(1000) % 10, torch.arange(1000) % 9
    noise = torch.randn(1000, 10, generator=stream())
    found = k_means(centers[everyone] + noise, 10, generator=stream(), restarts=3)
    comparison = ndb(centers[everyone] + noise, centers[most] + noise.flip(0), found.centers)
    dropped = int((found.centers - centers[9]).square().sum(1).argmin())
    assert float(comparison.z[dropped]) < -9
    assert comparison.significant == 1
    assert comparison.jsd == pytest.approx(
        # 9 bins of 1/10 against 1/9, one of 1/10 against 0
        0.5
        * (0.9 * math.log(0.1 / 0.10555556) + 0.1 * math.log(2) + math.log(1 / 9 / 0.10555556)),
        abs=2e-3,
    )


def test_equal_sets_do_not_differ():
    comparison = ndb(R, R, R[:20])
    assert (comparison.different, comparison.significant, comparison.jsd) == (0, 0, 0)


def test_empty_and_full_bins_cannot_differ():
    comparison = compare_bins(torch.tensor([0, 30]), torch.tensor([0, 500]))
    assert comparison.p_values.tolist() == [1, 1]
    assert (comparison.different, comparison.used, comparison.thin) == (0, 1, 1)


def test_thin_bins_stay_out_of_the_correction():
    real, fake = torch.tensor([0, 1000]), torch.tensor([9, 991])
    comparison = compare_bins(real, fake)
    assert (comparison.different, comparison.thin, comparison.significant) == (2, 1, 1)
    alone = compare_bins(torch.tensor([0, 500, 500]), torch.tensor([9, 495, 496]))
    assert (alone.different, alone.significant) == (1, 0)


def test_holm_by_hand():
    # 0.05/4, 0.05/3, 0.05/2: the third stays, and the fourth behind it although 0.04 < 0.05
    falls = holm(torch.tensor([0.04, 0.012, 0.03, 0.016], dtype=torch.float64))
    assert falls.tolist() == [False, True, False, True]
    assert holm(torch.tensor([])).tolist() == []


def test_what_cannot_be_binned_is_said():
    with pytest.raises(DataError, match="NaN"):
        ndb(R * torch.nan, F, R[:5])
    with pytest.raises(DataError, match="not all zero"):
        compare_bins(torch.tensor([0, 0]), torch.tensor([1, 2]))
    with pytest.raises(DataError, match="of one D"):
        ndb(R[:, :3], F[:, :3], R[:5])
