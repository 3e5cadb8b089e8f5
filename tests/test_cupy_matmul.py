"""Matrix products on a GPU: our kernel and cuBLAS give what NumPy gives in float64."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from cupy_arrays import ORDERS, get, launches, put

import lucidlite
from lucidlite.backends import cuda as switches
from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels import matmul

TOLERANCE = {np.float16: 1e-3, np.float32: 2e-6, np.float64: 1e-14}
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda d: d.__name__)


@pytest.fixture
def backend(cuda):
    return get_backend(cuda)


@pytest.fixture(params=["ours", "cublas", "capturing"])
def route(request, backend, monkeypatch):
    """Every product by our kernel, by cuBLAS, or as while a graph is recorded."""
    monkeypatch.setattr(matmul, "SMALL", 1 << 60 if request.param == "ours" else -1)
    if request.param == "capturing":
        monkeypatch.setattr(type(backend), "capturing", True)
    if request.param != "cublas":
        monkeypatch.setattr(type(backend), "cublas", None)  # not to be called
    return request.param


def close(actual, expected, dtype, terms):
    actual = get(actual)
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    scale = TOLERANCE[dtype] * max(1.0, np.sqrt(terms))
    np.testing.assert_allclose(actual.astype(np.float64), expected, rtol=scale, atol=3 * scale)


def normal(rng, shape, dtype):
    return rng.standard_normal(shape).astype(dtype)


SHAPES = [
    ((3, 5), (5, 7)),
    ((1, 1), (1, 1)),
    ((33, 70), (70, 31)),
    ((65, 17), (17, 130)),
    ((5, 1100), (1100, 4)),
    ((4, 0), (0, 3)),
    ((0, 4), (4, 3)),
    ((2, 3), (3, 0)),
    ((6,), (6, 5)),
    ((5, 6), (6,)),
    ((6,), (6,)),
    ((4, 3, 5), (4, 5, 2)),
    ((4, 3, 5), (5, 2)),
    ((3, 5), (4, 5, 2)),
    ((2, 1, 3, 5), (4, 5, 6)),
    ((2, 1, 3, 5), (1, 3, 5, 6)),
    ((3, 4, 5), (5,)),
    ((0, 3, 5), (5, 2)),
]


@pytest.mark.usefixtures("route")
@dtypes
@pytest.mark.parametrize(("a", "b"), SHAPES, ids=lambda s: "x".join(map(str, s)))
def test_products(a, b, dtype, backend):
    rng = np.random.default_rng(len(a) + 10 * len(b))
    x, y = normal(rng, a, dtype), normal(rng, b, dtype)
    expected = np.asarray(x.astype(np.float64) @ y.astype(np.float64))
    out = backend.matmul(put(backend, x), put(backend, y))
    close(out, expected, dtype, a[-1])


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("second", ORDERS)
@pytest.mark.parametrize("first", ORDERS)
@pytest.mark.parametrize("lead", [(), (3,)])
def test_memory_orders(lead, first, second, backend):
    rng = np.random.default_rng(1)
    x, y = normal(rng, (*lead, 9, 20), np.float32), normal(rng, (*lead, 20, 6), np.float32)
    out = backend.matmul(put(backend, x, first), put(backend, y, second))
    close(out, x.astype(np.float64) @ y, np.float32, 20)


@pytest.mark.parametrize("tiles", [1, 1 << 30])
@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("size", [(64, 64, 16), (64, 64, 32), (65, 63, 33), (130, 70, 47)])
def test_tiles_of_both_sizes(size, turned, tiles, backend, monkeypatch):
    monkeypatch.setattr(matmul, "FEW_TILES", tiles)
    (m, n, k), rng = size, np.random.default_rng(2)
    x, y = rng.integers(-3, 4, (m, k)), rng.integers(-3, 4, (k, n))
    orders = ["turned" if each else "C" for each in turned]
    a, b = (put(backend, v.astype(np.float32), o) for v, o in zip((x, y), orders, strict=True))
    np.testing.assert_array_equal(get(backend.matmul(a, b)), x @ y)


@pytest.mark.usefixtures("route")
@dtypes
@pytest.mark.parametrize("shape", [(6, 3), (3,), (6, 1), (1, 3), (1,), ()])
@pytest.mark.parametrize(("beta", "alpha"), [(1, 1), (0.5, -2), (0, 3)])
@pytest.mark.parametrize("depth", [4, 700])
def test_addmm(depth, beta, alpha, shape, dtype, backend):
    rng = np.random.default_rng(3)
    x, y, add = (normal(rng, s, dtype) for s in ((6, depth), (depth, 3), shape))
    expected = alpha * (x.astype(np.float64) @ y.astype(np.float64))
    if beta:
        expected = expected + beta * add.astype(np.float64)
    else:
        add = np.full(shape, np.nan, dtype)
    out = backend.addmm(*(put(backend, v) for v in (add, x, y)), beta, alpha)
    close(out, expected, dtype, 16 * depth)


@pytest.mark.usefixtures("route")
@dtypes
@pytest.mark.parametrize("lead", [(5,), (2, 3), (), (0,), (300,)])
@pytest.mark.parametrize("bias", [None, (4,), (1,), ()])
def test_linear(bias, lead, dtype, backend):
    rng = np.random.default_rng(4)
    x, w = normal(rng, (*lead, 6), dtype), normal(rng, (4, 6), dtype)
    b = None if bias is None else normal(rng, bias, dtype)
    expected = x.astype(np.float64) @ w.T.astype(np.float64) + (0 if b is None else b)
    out = backend.linear(put(backend, x), put(backend, w), None if b is None else put(backend, b))
    close(out, expected, dtype, 6)


@pytest.mark.usefixtures("route")
@dtypes
@pytest.mark.parametrize("order", ["C", "every second"])
@pytest.mark.parametrize("lead", [(5,), (2, 3), (0,), (1300,)])
@pytest.mark.parametrize("needs", [(True, True, True), (False, True, False), (True, False, True)])
def test_linear_backward(needs, lead, order, dtype, backend):
    rng = np.random.default_rng(5)
    x, w, g = (normal(rng, s, dtype) for s in ((*lead, 6), (4, 6), (*lead, 4)))
    found = backend.linear_backward(
        put(backend, g, order), put(backend, x, order) if needs[1] else None,
        put(backend, w) if needs[0] else None, needs,
    )  # fmt: skip
    rows, inputs = g.reshape(-1, 4).astype(np.float64), x.reshape(-1, 6).astype(np.float64)
    expected = g.astype(np.float64) @ w.astype(np.float64), rows.T @ inputs, rows.sum(0)
    for array, value, needed in zip(found, expected, needs, strict=True):
        assert (array is not None) == needed
        if array is not None:
            close(array, value, dtype, max(6, len(rows)))


@dtypes
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 3), (100, 40), (5000, 5), (3000, 33)])
def test_column_sums(shape, dtype, backend):
    x = normal(np.random.default_rng(6), shape, dtype)
    sums = backend.column_sums(put(backend, x))
    close(sums, x.astype(np.float64).sum(0), dtype, shape[0])


@pytest.mark.parametrize("shape", [(513, 40), (6000, 5)])
def test_column_sums_in_parts_are_exact_on_integers(shape, backend, monkeypatch):
    monkeypatch.setattr(matmul, "ROWS", 1)
    x = np.random.default_rng(7).integers(-9, 10, shape)
    with launches(backend, monkeypatch) as names:
        sums = backend.column_sums(put(backend, x.astype(np.float32)))
    assert names == ["column_parts", "finish"]
    np.testing.assert_array_equal(get(sums), x.sum(0))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.int8])
def test_integers(dtype, backend):
    rng = np.random.default_rng(8)
    x, y = (rng.integers(-3, 4, s).astype(dtype) for s in ((4, 5), (5, 6)))
    out = get(backend.matmul(put(backend, x), put(backend, y)))
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, x @ y)


def test_float16_rounds_once(backend):
    rng = np.random.default_rng(9)
    x, w, b = (normal(rng, s, np.float16) for s in ((20, 300), (7, 300), (7,)))
    out = get(backend.linear(put(backend, x), put(backend, w), put(backend, b)))
    exact = x.astype(np.float64) @ w.T.astype(np.float64) + b
    # Half a unit in the last place, and a trace of float32's own rounding.
    assert (np.abs(out - exact) <= 0.502 * np.spacing(np.abs(exact).astype(np.float16))).all()


def test_an_infinite_product_is_float16s_own(backend):
    x = put(backend, np.full((1, 4), 300, np.float16))
    assert get(backend.matmul(x, x.reshape(4, 1))).tolist() == [[np.inf]]


def test_a_linear_layer_is_three_launches(backend, monkeypatch):
    rng = np.random.default_rng(10)
    x, w, b = (put(backend, normal(rng, s, np.float32)) for s in ((128, 256), (10, 256), (10,)))
    with launches(backend, monkeypatch) as names:
        y = backend.linear(x, w, b)
        assert names == ["gemm"]
        backend.linear_backward(y, x, w, (True, True, True))
    assert names == ["gemm"] * 3


@dtypes
@pytest.mark.parametrize("tiles", [1, 1 << 30])
@pytest.mark.parametrize("shape", [(1, 1, 1), (40, 70, 5), (511, 33, 65)])
def test_bias_gradient_beside_the_weights(shape, tiles, dtype, backend, monkeypatch):
    monkeypatch.setattr(matmul, "FEW_TILES", tiles)
    monkeypatch.setattr(matmul, "DEPTH", 1 << 30)  # one slice
    (rows, m, n), rng = shape, np.random.default_rng(11)
    g, x = (rng.integers(-2, 3, s).astype(dtype) for s in ((rows, m), (rows, n)))
    _, dw, db = backend.linear_backward(put(backend, g), put(backend, x), None, (False, True, True))
    np.testing.assert_array_equal(get(dw), g.T.astype(np.float64) @ x)
    np.testing.assert_array_equal(get(db), g.astype(np.float64).sum(0))


@pytest.mark.usefixtures("route")
def test_inner_sizes_are_checked(backend):
    for a, b in (((2, 3), (4, 5)), ((2, 3), (4,)), ((2, 2, 3), (3, 3, 4))):
        x, y = (put(backend, np.ones(s, np.float32)) for s in (a, b))
        with pytest.raises(ValueError, match=r"\w"):
            backend.matmul(x, y)
    x = lucidlite.ones(2, 3, device="cuda")
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied"):
        lucidlite.matmul(x, x)


class ComputeTypes(SimpleNamespace):
    """CuPy's setting of how float32 is multiplied."""

    COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32 = 1, 7
    now = 1

    def get_compute_type(self, dtype):
        assert np.dtype(dtype) == np.float32
        return self.now

    def set_compute_type(self, dtype, value):
        assert np.dtype(dtype) == np.float32
        self.now = value


@pytest.mark.parametrize("before", [1, 7])
@pytest.mark.parametrize(("allowed", "capability", "used"), [(False, "90", 1), (True, "90", 7),
                                                             (True, "75", 1)])  # fmt: skip
def test_tf32_is_cupys_setting_for_the_product_alone(
    allowed, capability, used, before, fake_cupy, monkeypatch
):
    backend = get_backend("cuda")
    types, seen = ComputeTypes(now=before), []
    real = fake_cupy.dot
    monkeypatch.setattr(matmul, "SMALL", -1)
    monkeypatch.setattr(fake_cupy, "_core", SimpleNamespace(_routines_linalg=types), raising=False)
    monkeypatch.setattr(fake_cupy.cuda.Device, "compute_capability", capability, raising=False)
    monkeypatch.setattr(fake_cupy, "dot", lambda *a, **k: seen.append(types.now) or real(*a, **k))
    monkeypatch.setattr(switches.matmul, "precision", "high" if allowed else "highest")
    x = put(backend, np.ones((3, 4), np.float32))
    assert get(backend.matmul(x, x.T)).tolist() == [[4.0] * 3] * 3
    assert seen == [used]
    assert types.now == 1
    backend.matmul(x.astype(np.float64), x.T.astype(np.float64))
    assert types.now == 1
