"""The CPU's matrix products: against float64, the reference, and for any thread count."""

import kernel_cases as cases
import numpy as np
import pytest

import lucidlite
from lucidlite import threads
from lucidlite.backends.numpy_kernels import matmul

F = lucidlite.nn.functional


@pytest.fixture
def tiles(monkeypatch):
    """Tiles that cut even small products, each worth sharing; the number of threads is put back."""
    before = threads.get_num_threads()
    for name, value in {"TILE": 64, "SMALL": 0, "NARROWEST": 2, "WIDE": 16, "PACKED": 500}.items():
        monkeypatch.setattr(matmul, name, value)
    monkeypatch.setattr(threads, "WORTH_SHARING", 1)
    yield
    threads.set_num_threads(before)


def matrix(rng, rows, columns, dtype):
    """Random values in a random memory order: C, Fortran, strided, flipped, broadcast."""
    array = rng.standard_normal((rows, columns)).astype(dtype)
    order = rng.integers(5)
    if order == 1:
        return np.asfortranarray(array)
    if order == 2:
        larger = np.zeros((2 * rows, 3 * columns), dtype)
        larger[::2, ::3] = array
        return larger[::2, ::3]
    if order == 3:
        return array[::-1, ::-1]
    if order == 4:
        return np.broadcast_to(array[:1], array.shape)
    return array


def close(found, want, inner):
    limit = {np.dtype("f4"): 2e-6, np.dtype("f8"): 1e-14}[found.dtype]
    np.testing.assert_allclose(found, want, rtol=limit * inner**0.5, atol=limit * inner**0.5)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("seed", cases.SEEDS)
def test_products_in_tiles(seed, count):
    rng = np.random.default_rng(seed)
    threads.set_num_threads(count)
    dtype = (np.float32, np.float64)[rng.integers(2)]
    rows, inner, columns = (int(n) for n in rng.choice([1, 2, 7, 16, 33, 70], 3))
    a, b = matrix(rng, rows, inner, dtype), matrix(rng, inner, columns, dtype)
    wide = a.astype(np.float64) @ b.astype(np.float64)
    close(cases.CPU.matmul(a, b), wide, inner)
    for bias in (rng.standard_normal(columns).astype(dtype), np.ones(1, dtype), None):
        plus = 0 if bias is None else bias.astype(np.float64)
        close(cases.CPU.linear(a, b.T, bias), wide + plus, inner)


@pytest.mark.parametrize(
    ("rows", "inner", "columns"),
    [(1, 70, 130), (16, 260, 500), (64, 200, 100), (65, 200, 100), (300, 1, 500)],
)
def test_few_rows_times_a_transposed_matrix(rows, inner, columns):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((rows, inner)), rng.standard_normal((columns, inner))
    bias = rng.standard_normal(columns)
    for dtype in (np.float32, np.float64):
        args = [array.astype(dtype) for array in (a, b, bias)]
        found = cases.CPU.linear(*args)
        assert found.flags.c_contiguous
        wide = [array.astype(np.float64) for array in args]
        close(found, wide[0] @ wide[1].T + wide[2], inner)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("lead", [(), (4,), (2, 3), (0,), (1, 1)])
@pytest.mark.parametrize("needs", [(True, True, True), (True, False, False), (False, True, True)])
def test_gradients_are_the_reference(lead, needs):
    rng = np.random.default_rng(0)
    g, x, w = (rng.standard_normal(s).astype("f4") for s in ((*lead, 7), (*lead, 5), (7, 5)))
    arguments = g, x if needs[1] else None, w if needs[0] else None, needs
    found = cases.CPU.linear_backward(*arguments)
    want = cases.REFERENCE.linear_backward(*arguments)
    for one, other, need in zip(found, want, needs, strict=True):
        assert (one is None) == (other is None) == (not need)
        if one is not None:
            assert one.shape == other.shape
            close(one, other, 8)


def test_half_gradients_are_rounded_once():
    rng = np.random.default_rng(1)
    g, x, w = (rng.standard_normal(s).astype("f2") for s in ((6, 7), (6, 5), (7, 5)))
    found = cases.CPU.linear_backward(g, x, w, (True, True, True))
    wide = g.astype("f8"), x.astype("f8"), w.astype("f8")
    want = wide[0] @ wide[2], wide[0].T @ wide[1], wide[0].sum(0)
    for one, other in zip(found, want, strict=True):
        assert one.dtype == np.float16
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("tiles")
def test_any_number_of_threads_gives_the_same_bits():
    rng = np.random.default_rng(2)
    x, w, g = (rng.standard_normal(s).astype("f4") for s in ((96, 80), (112, 80), (96, 112)))
    batch, other = (rng.standard_normal(s).astype("f4") for s in ((7, 1, 9, 80), (3, 80, 11)))
    bias = rng.standard_normal(112).astype("f4")

    def results():
        back = cases.CPU.linear_backward(g, x, w, (True, True, True))
        products = cases.CPU.linear(x, w, bias), cases.CPU.matmul(batch, other)
        return [a.tobytes() for a in (*products, *back)]

    threads.set_num_threads(1)
    one = results()
    for count in (2, 3, 4):
        threads.set_num_threads(count)
        assert results() == one


def test_tiles_cover_a_side_once():
    for size in (1, 100, 128, 255, 256, 1000, 3136, 16384):
        for work in (1, 2 * matmul.TILE, 7 * matmul.TILE, 1000 * matmul.TILE):
            spans = matmul._spans(size, work)
            assert [i for first, end in spans for i in range(first, end)] == list(range(size))
            assert len(spans) == 1 or spans[0][1] >= matmul.NARROWEST


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("shapes", [((5, 8, 9), (5, 9, 6)), ((4, 1, 8, 9), (3, 9, 6)),
                                    ((6, 8, 9), (9, 6)), ((8, 9), (6, 9, 4))])  # fmt: skip
def test_batches(shapes):
    rng = np.random.default_rng(3)
    a, b = (rng.standard_normal(s).astype("f4") for s in shapes)
    threads.set_num_threads(2)
    close(cases.CPU.matmul(a, b), a.astype("f8") @ b.astype("f8"), 9)
    turned = np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2)
    close(cases.CPU.matmul(a, turned), a.astype("f8") @ b.astype("f8"), 9)


def test_the_gradient_of_the_gradient_is_there():
    x, w = (lucidlite.randn(*s, dtype=lucidlite.float64) for s in ((3, 4), (2, 4)))
    b = lucidlite.zeros(2, dtype=lucidlite.float64)
    inputs = [t.requires_grad_() for t in (x, w, b)]
    assert lucidlite.autograd.gradcheck(F.linear, inputs)
    assert lucidlite.autograd.gradgradcheck(F.linear, inputs)


@pytest.mark.parametrize("order", ["broadcast", "turned"])
def test_gradients_of_any_memory_order(order):
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((6, 5)).astype("f4"), rng.standard_normal((7, 5)).astype("f4")
    g = np.broadcast_to(np.float32(2), (6, 7))
    if order == "turned":
        g = rng.standard_normal((7, 6)).astype("f4").T
    dx, dw, db = cases.CPU.linear_backward(g, x, w, (True, True, True))
    close(dx, g @ w, 7)
    close(dw, g.T @ x, 6)
    close(db, g.sum(0), 6)
