import pytest
import torch

from diptych.evaluation import products
from diptych.evaluation.fidelity import pairs
from diptych.evaluation.fidelity.kernels import kid
from diptych.evaluation.fidelity.neighbours import density_coverage, precision_recall
from diptych.evaluation.products import gram, rows_by_rows


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit_rounding(dtype):
    return torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1), (300, 70), (40, 129)])
def test_gram_is_the_sum_of_outer_products_and_symmetric_to_the_bit(dtype, shape):
    rows = randn(*shape).to(dtype)
    slow = torch.stack([torch.outer(row, row) for row in rows.double()]).sum(0)
    found = gram(rows)
    assert found.dtype == dtype
    assert torch.equal(found, found.T)
    scale = float(slow.diagonal().max())
    assert float((found.double() - slow).abs().max()) <= 10 * unit_rounding(dtype) * scale


def test_gram_of_a_view_is_that_of_its_content():
    wide = randn(50, 20).float()
    assert torch.equal(gram(wide[::2, 3:]), gram(wide[::2, 3:].contiguous()))
    assert gram(wide.T).shape == (50, 50)


def test_gram_keeps_to_the_threads_of_torch_and_leaves_those_of_numpy_as_they_were():
    calls = products._openblas_threads()
    if calls is None:
        pytest.skip("numpy has another BLAS here")
    get, put = calls
    before = get()
    try:
        put(2)
        with products._as_many_threads_as_torch():
            assert get() == torch.get_num_threads()
        with pytest.raises(ZeroDivisionError), products._as_many_threads_as_torch():
            raise ZeroDivisionError
        assert get() == 2
    finally:
        put(before)


@pytest.mark.parametrize("by_onednn", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 17, 200), (256, 300, 64)])
def test_products_of_rows_agree_with_double_precision(monkeypatch, by_onednn, shape):
    if by_onednn and not products._by_onednn():
        pytest.skip("torch has no oneDNN here")
    monkeypatch.setattr(products, "_by_onednn", lambda: by_onednn)
    n, m, d = shape
    x, y = randn(n, d).float(), randn(m, d, seed=1).float()
    exact = x.double() @ y.double().T
    bound = 8 * d**0.5 * unit_rounding(torch.float32) * x.norm(dim=1).max() * y.norm(dim=1).max()
    assert float((rows_by_rows(x, y).double() - exact).abs().max()) <= float(bound)


def test_an_empty_set_and_strided_rows_have_products_too():
    x, y = randn(6, 8).float(), randn(9, 8, seed=1).float()
    assert rows_by_rows(x, y[:0]).shape == (6, 0)
    assert rows_by_rows(x[:0], y).shape == (0, 9)
    torch.testing.assert_close(rows_by_rows(x[::2, 1:], y[1:, 1:]), x[::2, 1:] @ y[1:, 1:].T)


def test_figures_do_not_depend_on_the_route(monkeypatch):
    monkeypatch.setattr(pairs, "EXACT_WORK", 0)  # products in float32, as for large sets
    # Points on a grid: many distances are equal, and rounding would decide about every rim.
    real = (3 * randn(400, 3)).round()
    fake = (3 * randn(300, 3, seed=1)).round()
    found = []
    for by_onednn in (False, products._by_onednn()):
        monkeypatch.setattr(products, "_by_onednn", lambda value=by_onednn: value)
        found.append(
            (
                precision_recall(real, fake),
                density_coverage(real, fake),
                pytest.approx(kid(real, fake).value, rel=1e-4),
            )
        )
    assert found[0][:2] == found[1][:2]
    assert found[0][2] == kid(real, fake).value
