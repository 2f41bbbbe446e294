import pytest
import torch
from golden_vector import F, R, T

from diptych.errors import DataError
from diptych.evaluation.fidelity import pairs
from diptych.evaluation.fidelity.neighbours import (
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    expected_coverage,
    precision_recall,
    squared_radii,
)


def naive(real, fake, k, closed):
    """Every distance by its definition, in one piece."""
    exact = "donot_use_mm_for_euclid_dist"
    distance = torch.cdist(real, fake, compute_mode=exact)

    def radius(x):
        return torch.cdist(x, x, compute_mode=exact).sort(1).values[:, k]

    def inside(balls, distance):
        return distance <= balls[:, None] if closed else distance < balls[:, None]

    in_real = inside(radius(real), distance)
    in_fake = inside(radius(fake), distance.T)
    share = [in_real.any(0), in_fake.any(0), in_real.sum(0) / k, in_real.any(1)]
    return [float(x.double().mean()) for x in share]


def test_golden_precision_and_recall():
    result = precision_recall(R, F)
    assert (result.precision, result.recall) == pytest.approx((0.242, 0.867), abs=1e-12)


def test_golden_density_and_coverage():
    result = density_coverage(R, F)
    assert (result.density, result.coverage) == pytest.approx((0.1614, 0.493), abs=1e-12)
    result = density_coverage(R, T)
    assert (result.density, result.coverage) == pytest.approx((0.959, 0.964), abs=1e-12)


@pytest.mark.parametrize("fake", [F, T])
def test_golden_precision_and_recall_of_prdc(fake):
    prdc = pytest.importorskip("prdc")
    expected = prdc.compute_prdc(R.numpy(), fake.numpy(), 5)
    ours = precision_recall(R, fake, k=5)  # `<` and `<=` part on ties only
    assert ours.precision == pytest.approx(expected["precision"], abs=1e-12)
    assert ours.recall == pytest.approx(expected["recall"], abs=1e-12)
    ours = density_coverage(R, fake)
    assert ours.density == pytest.approx(expected["density"], abs=1e-12)
    assert ours.coverage == pytest.approx(expected["coverage"], abs=1e-12)


def test_a_copy_has_everything():
    pr, dc = precision_recall(R, R.clone()), density_coverage(R, R.clone())
    assert (pr.precision, pr.recall, dc.coverage) == (1, 1, 1)
    # Each item lies in its own ball and in those of which it is a nearer neighbour than the k-th.
    assert dc.density == pytest.approx(1, abs=1e-12)


def test_golden_bounds_on_balls_that_touch():
    # Points one apart, k = 1, and fakes exactly on the rims: closed balls hold them, open do not.
    real = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    fake = torch.tensor([[-1.0], [12.0]])
    assert precision_recall(real, fake, k=1).precision == 1
    assert density_coverage(real, fake, k=1).density == 0


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("block", [7, 64, 5000])
def test_blocks_equal_the_naive_way(monkeypatch, block, closed):
    monkeypatch.setattr(pairs, "TILE", block)
    monkeypatch.setattr(pairs, "GATHERED", block)
    real, fake = R[:150], torch.cat([F[:90], R[:20]])
    precision, recall, density, coverage = naive(real, fake, 4, closed)
    if closed:
        result = precision_recall(real, fake, k=4)
        assert (result.precision, result.recall) == pytest.approx((precision, recall))
    else:
        result = density_coverage(real, fake, k=4)
        assert (result.density, result.coverage) == pytest.approx((density, coverage))


def test_expected_coverage_of_equal_distributions():
    assert expected_coverage(1000, 1000) == pytest.approx(0.969, abs=5e-4)
    assert expected_coverage(3, 1, k=1) == pytest.approx(1 / 3)
    generator = torch.Generator().manual_seed(0)
    draws = [
        density_coverage(*torch.randn(2, 100, 3, generator=generator), k=5).coverage
        for _ in range(100)
    ]
    assert sum(draws) / 100 == pytest.approx(expected_coverage(100, 100), abs=0.006)


@pytest.mark.parametrize("offset", [1e2, 1e4])
def test_offset_features_in_single_precision(offset):
    # Distances by matrix product put such features 3.46 away from themselves unless centred.
    grid = torch.randint(-512, 512, (300, 16), generator=torch.Generator().manual_seed(0)) / 256
    other = torch.randint(-512, 512, (300, 16), generator=torch.Generator().manual_seed(1)) / 256
    assert precision_recall(grid + offset, other + offset) == precision_recall(grid, other)
    assert density_coverage(grid + offset, other + offset) == density_coverage(grid, other)
    assert precision_recall(grid + offset, grid + offset).recall == 1


def test_rotation_changes_nothing():
    rotation = torch.linalg.qr(R[:64]).Q
    assert precision_recall(R @ rotation, F @ rotation) == precision_recall(R, F)


def test_identical_items_have_balls_of_no_size():
    same = torch.full((10, 3), 0.1)
    assert squared_radii(same, 3).eq(0).all()
    assert precision_recall(same, same) == PrecisionRecall(1, 1)
    assert density_coverage(same, same) == DensityCoverage(0, 0)


def test_dropping_a_mode_lowers_recall_not_precision():
    generator = torch.Generator().manual_seed(0)
    far = torch.randn(400, 2, generator=generator) + torch.tensor([[20.0, 0]])
    near = torch.randn(800, 2, generator=generator)
    result = precision_recall(torch.cat([near[:400], far]), near[400:])
    assert result.precision > 0.9
    assert 0.4 < result.recall < 0.5


@pytest.mark.parametrize(
    ("real", "fake", "sentence"),
    [
        (R[:3], F, "3 nearest neighbours cannot be found among 3 items; bring at least 4"),
        (R, F[:, :3], "of one width"),
        (R, F[:0], "at least one real and one generated"),
        (R, F / 0, "NaN or infinite"),
        (R[0], F, "two matrices"),
    ],
)
def test_what_cannot_be_measured_is_said(real, fake, sentence):
    with pytest.raises(DataError, match=sentence):
        precision_recall(real, fake)
