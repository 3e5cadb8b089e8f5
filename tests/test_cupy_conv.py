"""Convolution on a GPU: by cuDNN and through matrix products, against the base kernels."""

from __future__ import annotations

import itertools

import kernel_cases as cases
import numpy as np
import pytest
from cupy_arrays import ORDERS, get, on_stand_in, put, use_cudnn, use_fake_cudnn

import lucidlite
from lucidlite.backends import cudnn as switches
from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels import im2col, matmul
from lucidlite.geometry import conv_window

F = lucidlite.nn.functional
seeds = pytest.mark.parametrize("seed", cases.SEEDS)
EVERY = True, True, True


@pytest.fixture
def backend(cuda):
    return get_backend(cuda)


@pytest.fixture
def no_cudnn(backend, monkeypatch):
    use_cudnn(monkeypatch, backend, None)


@pytest.fixture(params=["columns", "cublas", "chunks", "capturing", "cudnn"])
def route(request, backend, monkeypatch):
    """The ways a convolution is computed."""
    monkeypatch.setattr(switches, "allow_tf32", False)
    if request.param != "cudnn":
        use_cudnn(monkeypatch, backend, None)
    elif on_stand_in():
        use_fake_cudnn(monkeypatch, backend)
    elif not lucidlite.backends.cudnn.is_available():
        pytest.skip("cuDNN or its frontend isn't installed")
    if request.param == "cublas":
        monkeypatch.setattr(matmul, "SMALL", -1)
    elif request.param == "chunks":
        monkeypatch.setattr(im2col, "CHUNK", 1)
        monkeypatch.setattr(matmul, "DEPTH", 16)
    elif request.param == "capturing":
        monkeypatch.setattr(type(backend), "capturing", True)
        monkeypatch.setattr(type(backend), "cublas", None)  # not to be called
    return request.param


def close(actual, expected, dtype, terms=1):
    """Equal to rounding of a sum of ``terms`` products of about unit size."""
    actual = get(actual)
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    tolerance = cases.TOLERANCE[dtype]
    np.testing.assert_allclose(
        actual.astype(np.float64), expected, rtol=tolerance, atol=tolerance * 3 * np.sqrt(terms)
    )


def a_case(seed, dtype=None, integers=False):
    """x, w, bias, g on the host, the window and groups."""
    rng = np.random.default_rng(seed)
    shape, weight_shape, window, groups = cases.a_convolution(rng)
    dtype = dtype or cases.a_dtype(rng)
    result = (shape[0], weight_shape[0], *window.output_size(shape[2:]))

    def values(shape):
        array = rng.integers(-3, 4, shape) if integers else rng.standard_normal(shape)
        return array.astype(dtype)

    x, w, g = values(shape), values(weight_shape), values(result)
    return x, w, values(weight_shape[0]) if rng.random() < 0.6 else None, g, window, groups


def expected(x, w, bias, g, window, groups):
    """y, dx, dw, db by the base kernels in float64."""
    x, w, g = (v.astype(np.float64) for v in (x, w, g))
    bias = None if bias is None else bias.astype(np.float64)
    y, _ = cases.REFERENCE.conv2d(x, w, bias, window, groups, False)
    return (y, *cases.REFERENCE.conv2d_backward(g, x, w, None, window, groups, EVERY))


def computed(backend, x, w, bias, g, window, groups, order="C", keep=True):
    dx, dw, dg = (put(backend, v, order) for v in (x, w, g))
    db = None if bias is None else put(backend, bias, order)
    y, state = backend.conv2d(dx, dw, db, window, groups, keep)
    assert keep or state is None
    return (y, *backend.conv2d_backward(dg, dx, dw, state, window, groups, EVERY))


@pytest.mark.usefixtures("route")
@seeds
def test_equal_to_the_base_kernels(seed, backend):
    x, w, bias, g, window, groups = a_case(seed)
    order = ORDERS[seed % len(ORDERS)]
    found = computed(backend, x, w, bias, g, window, groups, order, keep=seed % 3 > 0)
    dtype, windows = x.dtype.type, max(1, g.size // g.shape[1])
    terms = w[0].size, w.size // w.shape[1], windows, windows
    for ours, theirs, n in zip(found, expected(x, w, bias, g, window, groups), terms, strict=True):
        close(ours, theirs, dtype, n)
    for image in found[:2]:
        assert image.size == 0 or backend.in_conv_layout(image)
    for plain in found[2:]:
        assert plain.flags.c_contiguous


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("seed", range(1000, 1016))
def test_integers_are_exact(seed, backend):
    # Sums of small integers are exact, so any wrong element shows, whatever the order of addition.
    dtype = [np.float32, np.float64, np.float32, np.int64, np.float32, np.int8][seed % 6]
    x, w, bias, g, window, groups = a_case(seed, dtype, integers=True)
    found = computed(backend, x, w, bias, g, window, groups)
    for ours, theirs in zip(found, expected(x, w, bias, g, window, groups), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_array_equal(get(ours), theirs.astype(dtype))


LAYERS = [
    ((2, 3, 12, 12), (8, 3, 5, 5), 2, 2, 1, 1),
    ((2, 64, 6, 6), (32, 64, 1, 1), 1, 0, 1, 1),
    ((2, 64, 7, 7), (32, 64, 1, 1), 2, 0, 1, 1),
    ((2, 6, 5, 5), (4, 6, 1, 1), 1, 1, 1, 1),
    ((1, 32, 9, 9), (32, 1, 3, 3), 1, 1, 1, 32),
    ((3, 8, 9, 9), (24, 1, 3, 3), 2, 1, 1, 8),
    ((2, 34, 9, 5), (32, 17, 3, 3), 1, 1, 2, 2),
    ((1, 1, 14, 14), (4, 1, 5, 5), 1, 2, 1, 1),
    ((2, 4, 9, 8), (6, 4, 3, 2), (1, 2), "same", 2, 1),
]


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64], ids=lambda d: d.__name__)
@pytest.mark.parametrize("layer", LAYERS)
def test_usual_layers(layer, dtype, backend):
    shape, weight, stride, padding, dilation, groups = layer
    stride = 1 if padding == "same" else stride
    window = conv_window("conv2d", shape, weight, stride, padding, dilation, groups)
    rng = np.random.default_rng(0)
    result = (shape[0], weight[0], *window.output_size(shape[2:]))
    x, w, b, g = (rng.standard_normal(s).astype(dtype) for s in (shape, weight, weight[:1], result))
    found = computed(backend, x, w, b, g, window, groups)
    windows = g.size // g.shape[1]
    terms = w[0].size, weight[0] * 9, windows, windows
    for ours, theirs, n in zip(found, expected(x, w, b, g, window, groups), terms, strict=True):
        close(ours, theirs, dtype, n)


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("needs", list(itertools.product((False, True), repeat=3)))
@pytest.mark.parametrize("seed", [3, 5, 8])
def test_backward_gives_what_is_needed_and_equals_the_single_kernels(needs, seed, backend):
    x, w, _, g, window, groups = a_case(seed)
    x, w, g = (put(backend, v) for v in (x, w, g))
    dx, dw, db = backend.conv2d_backward(g, x, w, None, window, groups, needs)
    assert (dx is not None, dw is not None, db is not None) == needs
    if needs[0]:
        alone = backend.conv2d_input_grad(g, w, x.shape, window, groups)
        np.testing.assert_array_equal(get(dx), get(alone))
    if needs[1]:
        alone = backend.conv2d_weight_grad(g, x, w.shape, window, groups)
        np.testing.assert_array_equal(get(dw), get(alone))


@pytest.mark.usefixtures("route")
def test_bias_gradient_of_many_windows(backend):
    g = np.random.default_rng(0).integers(-9, 10, (3, 5, 40, 50)).astype(np.float32)
    x, w = np.zeros((3, 2, 40, 50), np.float32), np.zeros((5, 2, 1, 1), np.float32)
    window = conv_window("conv2d", x.shape, w.shape)
    arrays = [put(backend, v) for v in (g, x, w)]
    for needs in ((False, True, True), (False, False, True)):
        _, _, db = backend.conv2d_backward(*arrays, None, window, 1, needs)
        np.testing.assert_array_equal(get(db), g.sum((0, 2, 3)))


@pytest.mark.usefixtures("route")
def test_float16_rounds_once(backend):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 40, 5, 5)).astype(np.float16)
    w = rng.standard_normal((3, 40, 3, 3)).astype(np.float16)
    b = rng.standard_normal(3).astype(np.float16)
    window = conv_window("conv2d", x.shape, w.shape, 1, 1)
    exact = expected(x, w, b, np.ones((2, 3, 5, 5)), window, 1)[0]
    y, _ = backend.conv2d(*(put(backend, v) for v in (x, w, b)), window, 1, False)
    # Half a unit in the last place, and a trace of float32's own rounding.
    error = np.abs(get(y) - exact)
    assert (error <= 0.501 * np.spacing(np.abs(exact).astype(np.float16))).all()


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("channels", [1, 3, 20])
def test_empty_batch(channels, backend):
    x, w = np.zeros((0, channels, 5, 4), np.float32), np.ones((2, channels, 3, 3), np.float32)
    window = conv_window("conv2d", x.shape, w.shape, 1, 1)
    x, w, b = (put(backend, v) for v in (x, w, np.ones(2, np.float32)))
    y, state = backend.conv2d(x, w, b, window, 1, True)
    assert y.shape == (0, 2, 5, 4)
    dx, dw, db = backend.conv2d_backward(y, x, w, state, window, 1, EVERY)
    assert dx.shape == x.shape
    assert not get(dw).any()
    assert not get(db).any()


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("keep", [False, True])
def test_arguments_are_not_written_to(keep, backend):
    for seed in range(6):
        x, w, bias, g, window, groups = a_case(seed)
        arrays = [put(backend, v) for v in (x, w, g)]
        b = None if bias is None else put(backend, bias)
        y, state = backend.conv2d(*arrays[:2], b, window, groups, keep)
        results = backend.conv2d_backward(arrays[2], *arrays[:2], state, window, groups, EVERY)
        for now, then in zip(arrays, (x, w, g), strict=True):
            np.testing.assert_array_equal(get(now), then)
        pointers = {a.data.ptr for a in arrays}
        for result in (y, *results):
            assert not result.size or result.data.ptr not in pointers


@pytest.mark.usefixtures("route")
def test_an_infinite_input_stays_in_its_windows(backend):
    x = np.zeros((1, 2, 7, 7), np.float32)
    x[0, 0, 3, 3] = np.inf
    w = np.ones((1, 2, 3, 3), np.float32)
    window = conv_window("conv2d", x.shape, w.shape, 1, 1)
    y, _ = backend.conv2d(put(backend, x), put(backend, w), None, window, 1, False)
    assert np.isinf(get(y)).sum() == 9
    assert not np.isnan(get(y)).any()


@pytest.mark.usefixtures("route")
def test_routes_agree_in_a_network():
    def run(device):
        lucidlite.manual_seed(0)
        net = lucidlite.nn.Sequential(
            lucidlite.nn.Conv2d(3, 8, 3, padding=1), lucidlite.nn.ReLU(),
            lucidlite.nn.Conv2d(8, 6, 3, stride=2, groups=2, bias=False),
        ).to(device)  # fmt: skip
        x = lucidlite.randn(2, 3, 9, 8).to(device).requires_grad_()
        (net(x) ** 2).sum().backward()
        return [g.cpu().numpy() for g in (x.grad, *(p.grad for p in net.parameters()))]

    for ours, theirs in zip(run("cuda"), run("cpu"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-4)


@pytest.mark.usefixtures("route")
def test_second_derivatives(cuda):
    def run(device):
        lucidlite.manual_seed(1)
        x = lucidlite.randn(2, 4, 5, 6).to(device).requires_grad_()
        w = lucidlite.randn(6, 2, 3, 3).to(device).requires_grad_()
        y = F.conv2d(x, w, stride=(1, 2), padding=1, groups=2)
        first = lucidlite.autograd.grad((y**3).sum(), (x, w), create_graph=True)
        second = lucidlite.autograd.grad(sum((g**2).sum() for g in first), (x, w))
        return [t.detach().cpu().numpy() for t in (*first, *second)]

    for ours, theirs in zip(run(cuda), run("cpu"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


def test_no_family_of_kernels_hides_anothers(backend):
    families = [
        c for c in type(backend).__mro__
        if {"kernels", "cupy_kernels"} & set(c.__module__.split("."))
    ]  # fmt: skip
    for a, b in itertools.combinations(families, 2):
        if not issubclass(a, b) and not issubclass(b, a):
            shared = {name for name in vars(a).keys() & vars(b).keys() if not name.startswith("__")}
            assert not shared, f"{a.__name__} and {b.__name__} share {shared}"
