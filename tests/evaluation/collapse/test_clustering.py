import pytest
import torch
from golden_vector import R

from diptych.errors import DataError
from diptych.evaluation import clustering
from diptych.evaluation.clustering import assign, k_means


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n, k, offset=0.0):
    truth = torch.arange(n) % k
    centers = 10 * torch.eye(k, dtype=torch.float64) + offset
    noise = torch.randn(n, k, generator=stream(1), dtype=torch.float64)
    return centers[truth] + noise * 0.3, truth


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_separated_clusters_are_recovered(offset):
    points, truth = blobs(300, 6, offset)
    found = k_means(points, 6, generator=stream(), restarts=5)
    pairs = set(zip(truth.tolist(), found.labels.tolist(), strict=True))
    assert len(pairs) == 6  # one cluster per blob and the other way round
    for blob, label in pairs:
        mean = points[truth == blob].mean(0)
        torch.testing.assert_close(found.centers[label], mean, rtol=1e-12, atol=1e-9)
    assert found.inertia == pytest.approx(
        float((points - found.centers[found.labels]).square().sum()), rel=1e-6
    )


def test_one_cluster_is_the_mean_and_its_inertia_the_total_variance():
    points = R
    found = k_means(points, 1, generator=stream())
    torch.testing.assert_close(found.centers[0], points.mean(0))
    assert found.inertia == pytest.approx(float((points - points.mean(0)).square().sum()))


def test_as_many_clusters_as_points_leave_nothing_over():
    points = R[:30]
    found = k_means(points, 30, generator=stream())
    assert sorted(found.labels.tolist()) == list(range(30))
    assert found.inertia == pytest.approx(0, abs=1e-9)


def test_inertia_is_as_low_as_that_of_scikit_learn():
    cluster = pytest.importorskip("sklearn.cluster")
    theirs = cluster.KMeans(n_clusters=20, random_state=0, n_init=5).fit(R.numpy()).inertia_
    ours = k_means(R, 20, generator=stream(), restarts=5).inertia
    assert ours == pytest.approx(theirs, rel=0.01)


def test_the_generator_alone_decides():
    points = R
    first, same, other = (k_means(points, 10, generator=stream(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.centers, same.centers)
    assert not torch.equal(first.centers, other.centers)


def test_the_best_of_all_restarts_is_kept():
    points, generator = R[:300], stream(7)
    each = [k_means(points, 8, generator=generator).inertia for _ in range(6)]
    assert each.index(min(each)) == 2  # neither the first nor the last
    best = k_means(points, 8, generator=stream(7), restarts=6)
    assert best.inertia == pytest.approx(min(each), rel=1e-12)


def test_starts_are_drawn_in_proportion_to_the_squared_distance():
    points = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    generator = stream()
    starts = [clustering._start(points, 2, generator)[:, 0].tolist() for _ in range(3000)]
    from_zero = [second for first, second in starts if first == 0]
    assert len(from_zero) == pytest.approx(1000, rel=0.1)
    assert from_zero.count(1.0) / len(from_zero) == pytest.approx(1 / 10, abs=0.03)


def test_a_center_without_points_moves_to_the_farthest_one():
    points = torch.tensor([[0.0], [1.0], [9.0]], dtype=torch.float64)
    distances = torch.tensor([0.0, 1.0, 81.0], dtype=torch.float64)
    centers = clustering._means(points, torch.zeros(3, dtype=torch.int64), distances, 2)
    assert centers[:, 0].tolist() == pytest.approx([10 / 3, 9])


def test_assignment_is_the_exact_nearest_center_also_far_from_the_origin():
    points, centers = R + 1e3, R[:50] + 1e3
    exact = torch.cdist(points, centers, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    assert torch.equal(assign(points, centers), exact)


def test_equal_points_fill_one_cluster():
    found = k_means(torch.ones(9, 2), 3, generator=stream())
    assert found.inertia == 0
    assert len(found.labels.unique()) == 1


@pytest.mark.parametrize(
    ("points", "k", "sentence"),
    [
        (torch.zeros(4), 2, "points \\(N, D\\)"),
        (torch.zeros(4, 2), 5, "into 5 clusters"),
        (torch.zeros(4, 2), 0, "into 0 clusters"),
        (torch.full((4, 2), torch.nan), 2, "NaN"),
    ],
)
def test_what_cannot_be_clustered_is_said(points, k, sentence):
    with pytest.raises(DataError, match=sentence):
        k_means(points, k, generator=stream())


def test_what_cannot_be_assigned_is_said():
    with pytest.raises(DataError, match="of one D"):
        assign(torch.zeros(3, 2), torch.zeros(2, 3))
    with pytest.raises(DataError, match="without centers"):
        assign(torch.zeros(3, 2), torch.zeros(0, 2))
