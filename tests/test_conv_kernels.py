"""The convolution kernels: against a plain loop, torch, each other, and as transposes."""

import itertools

import kernel_cases as cases
import numpy as np
import pytest

import lucidlite.backends.numpy_kernels.columns as columns
import lucidlite.backends.numpy_kernels.direct as direct
import lucidlite.backends.numpy_kernels.layout as layout
from lucidlite.geometry import conv_window

seeds = pytest.mark.parametrize("seed", cases.SEEDS)
both = pytest.mark.parametrize("kernels", cases.KERNELS, ids=cases.NAMES)


def close(actual, expected, dtype, terms=1):
    """Equal to rounding of a sum of ``terms`` products of about unit size."""
    assert actual.dtype == dtype
    tolerance = cases.TOLERANCE[dtype]
    expected = np.asarray(expected, dtype=np.float64)
    np.testing.assert_allclose(
        actual.astype(np.float64), expected, rtol=tolerance, atol=tolerance * 3 * np.sqrt(terms)
    )


def a_case(seed):
    rng = np.random.default_rng(seed)
    shape, weight_shape, window, groups = cases.a_convolution(rng)
    dtype = cases.a_dtype(rng)
    x, w = cases.values(rng, shape, dtype), cases.values(rng, weight_shape, dtype)
    bias = rng.standard_normal(weight_shape[0]).astype(dtype) if rng.random() < 0.5 else None
    outputs = window.output_size(shape[2:])
    g = cases.values(rng, (shape[0], weight_shape[0], *outputs), dtype)
    return x, w, bias, g, window, groups


def looped(x, w, bias, window, groups):
    """The definition of a convolution, element by element."""
    (n, _, height, width), (k, channels, kh, kw) = x.shape, w.shape
    (top, _), (left, _) = window.padding
    outputs = window.output_size((height, width))
    y = np.zeros((n, k, *outputs))
    for b, o, i, j in np.ndindex(*y.shape):
        total = 0.0 if bias is None else float(bias[o])
        first = o // (k // groups) * channels
        for c, p, q in itertools.product(range(channels), range(kh), range(kw)):
            row = i * window.stride[0] - top + p * window.dilation[0]
            column = j * window.stride[1] - left + q * window.dilation[1]
            if 0 <= row < height and 0 <= column < width:
                total += float(x[b, first + c, row, column]) * float(w[o, c, p, q])
        y[b, o, i, j] = total
    return y


@both
@pytest.mark.parametrize("seed", range(12))
def test_conv2d_is_its_definition(kernels, seed):
    x, w, bias, _, window, groups = a_case(1000 + seed)
    x = x[:1, :, :6, :6]
    if window.output_size(x.shape[2:])[0] < 1 or window.output_size(x.shape[2:])[1] < 1:
        x = np.resize(x, (1, w.shape[1] * groups, 9, 9))
    y, _ = kernels.conv2d(x, w, bias, window, groups, False)
    close(y, looped(x, w, bias, window, groups), x.dtype.type, w[0].size)


@both
@seeds
def test_conv2d_and_gradients_equal_torch(kernels, seed):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    x, w, bias, g, window, groups = a_case(seed)
    # torch in float64: what is tested is our rounding, not the sum of both.
    tx, tw, tg = (torch.from_numpy(np.array(a, np.float64, order="C")) for a in (x, w, g))
    tb = None if bias is None else torch.from_numpy(bias.astype(np.float64)).requires_grad_()
    tx.requires_grad_()
    tw.requires_grad_()
    (top, bottom), (left, right) = window.padding
    ty = torch.nn.functional.conv2d(
        torch.nn.functional.pad(tx, (left, right, top, bottom)),
        tw,
        tb,
        stride=window.stride,
        dilation=window.dilation,
        groups=groups,
    )
    ty.backward(tg)
    y, state = kernels.conv2d(x, w, bias, window, groups, True)
    dx, dw, db = kernels.conv2d_backward(g, x, w, state, window, groups, (True, True, True))
    dtype, windows = x.dtype.type, max(1, g.size // g.shape[1])
    close(y, ty.detach(), dtype, w[0].size)
    close(dx, tx.grad, dtype, w.size // w.shape[1])
    close(dw, tw.grad, dtype, windows)
    close(db, tg.sum((0, 2, 3)), dtype, windows)
    assert cases.in_conv_layout(y)
    assert cases.in_conv_layout(dx)
    assert dw.flags.c_contiguous
    assert db.flags.c_contiguous


@seeds
def test_cpu_equals_reference_on_integers_bit_for_bit(seed):
    # Sums of small integers are exact, so any wrong element shows, whatever the order of addition.
    rng = np.random.default_rng(seed)
    shape, weight_shape, window, groups = cases.a_convolution(rng)
    dtype = [np.int8, np.int32, np.int64, np.float32, np.float64][rng.integers(5)]
    x = cases.values(rng, shape, dtype, small_integers=True)
    w = cases.values(rng, weight_shape, dtype, small_integers=True)
    bias = rng.integers(-3, 4, weight_shape[0]).astype(dtype)
    results = []
    for kernels in cases.KERNELS:
        y, _ = kernels.conv2d(x, w, bias, window, groups, False)
        g = cases.values(np.random.default_rng(seed), y.shape, dtype, small_integers=True)
        needs = True, True, True
        results.append((y, *kernels.conv2d_backward(g, x, w, None, window, groups, needs)))
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype == dtype
        np.testing.assert_array_equal(ours, theirs)


@both
@seeds
def test_gradient_kernels_are_transposes(kernels, seed):
    # <conv(x, w), g> == <x, input_grad(g, w)> == <w, weight_grad(g, x)>
    rng = np.random.default_rng(seed)
    shape, weight_shape, window, groups = cases.a_convolution(rng)
    x = cases.values(rng, shape, np.float64)
    w = cases.values(rng, weight_shape, np.float64)
    y, _ = kernels.conv2d(x, w, None, window, groups, False)
    g = cases.values(rng, y.shape, np.float64)
    product = (y * g).sum()
    dx = kernels.conv2d_input_grad(g, w, x.shape, window, groups)
    dw = kernels.conv2d_weight_grad(g, x, w.shape, window, groups)
    assert (x * dx).sum() == pytest.approx(product, rel=1e-9, abs=1e-9)
    assert (w * dw).sum() == pytest.approx(product, rel=1e-9, abs=1e-9)


@both
@pytest.mark.parametrize("needs", list(itertools.product((False, True), repeat=3)))
@pytest.mark.parametrize("seed", [3, 5, 8])
def test_backward_gives_what_is_needed_and_equals_the_single_kernels(kernels, needs, seed):
    x, w, _, g, window, groups = a_case(seed)
    dx, dw, db = kernels.conv2d_backward(g, x, w, None, window, groups, needs)
    assert (dx is not None, dw is not None, db is not None) == needs
    if needs[0]:
        np.testing.assert_array_equal(dx, kernels.conv2d_input_grad(g, w, x.shape, window, groups))
    if needs[1]:
        np.testing.assert_array_equal(dw, kernels.conv2d_weight_grad(g, x, w.shape, window, groups))


@pytest.mark.parametrize("seed", range(8))
def test_block_size_changes_nothing_but_rounding(monkeypatch, seed):
    x, w, bias, g, window, groups = a_case(seed)
    needs = True, True, True

    def results():
        y, _ = cases.CPU.conv2d(x, w, bias, window, groups, True)
        return (y, *cases.CPU.conv2d_backward(g, x, w, None, window, groups, needs))

    whole = results()
    monkeypatch.setattr(direct, "COLUMN_BLOCK", 1)
    monkeypatch.setattr(direct, "LEAST_WINDOWS", 1)
    # What is remembered was cut otherwise.
    anew = direct.window_blocks.__wrapped__
    for module in (direct, columns):
        monkeypatch.setattr(module, "window_blocks", anew)
    monkeypatch.setattr(columns, "_plan", columns._Plan)
    monkeypatch.setattr(layout.row_blocks, "__defaults__", (1,))
    for a, b in zip(whole, results(), strict=True):
        close(a, b, x.dtype.type, g.size)


@both
@pytest.mark.parametrize(
    ("shape", "weight", "stride", "padding", "groups"),
    [
        ((2, 3, 16, 16), (8, 3, 7, 7), 2, 3, 1),
        ((2, 64, 6, 6), (32, 64, 1, 1), 1, 0, 1),
        ((2, 64, 7, 7), (32, 64, 1, 1), 2, 0, 1),
        ((1, 32, 9, 9), (32, 1, 3, 3), 1, 1, 32),
        ((3, 8, 9, 9), (24, 1, 3, 3), 2, 1, 8),
        ((2, 64, 9, 5), (32, 32, 3, 3), 1, 1, 2),
        ((1, 1, 28, 28), (4, 1, 5, 5), 1, 2, 1),
    ],
)
def test_usual_layers_equal_torch(kernels, shape, weight, stride, padding, groups):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(shape), rng.standard_normal(weight)
    window = conv_window("conv2d", shape, weight, stride, padding, 1, groups)
    tx, tw = torch.from_numpy(x).requires_grad_(), torch.from_numpy(w).requires_grad_()
    ty = torch.nn.functional.conv2d(tx, tw, None, stride, padding, 1, groups)
    g = rng.standard_normal(tuple(ty.shape))
    ty.backward(torch.from_numpy(g))
    y, _ = kernels.conv2d(x, w, None, window, groups, True)
    dx, dw, _ = kernels.conv2d_backward(g, x, w, None, window, groups, (True, True, False))
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(dx, tx.grad.numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(dw, tw.grad.numpy(), rtol=1e-10, atol=1e-10)


@both
def test_float16_rounds_once(kernels):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 40, 5, 5)).astype(np.float16)
    w = rng.standard_normal((3, 40, 3, 3)).astype(np.float16)
    window = conv_window("conv2d", x.shape, w.shape, 1, 1)
    y, _ = kernels.conv2d(x, w, None, window, 1, False)
    exact, _ = kernels.conv2d(x.astype(np.float64), w.astype(np.float64), None, window, 1, False)
    assert y.dtype == np.float16
    # Half a unit in the last place, and a trace of float32's own rounding.
    assert (np.abs(y - exact) <= 0.5005 * np.spacing(np.abs(exact).astype(np.float16))).all()


@both
@pytest.mark.parametrize("channels", [1, 3, 20])
def test_empty_batch(kernels, channels):
    x, w = np.zeros((0, channels, 5, 4), np.float32), np.ones((2, channels, 3, 3), np.float32)
    window = conv_window("conv2d", x.shape, w.shape, 1, 1)
    y, _ = kernels.conv2d(x, w, np.ones(2, np.float32), window, 1, True)
    assert y.shape == (0, 2, 5, 4)
    dx, dw, db = kernels.conv2d_backward(y, x, w, None, window, 1, (True, True, True))
    assert dx.shape == x.shape
    np.testing.assert_array_equal(dw, np.zeros_like(w))
    np.testing.assert_array_equal(db, np.zeros(2, np.float32))


@both
@pytest.mark.parametrize("keep", [False, True])
def test_arguments_are_not_written_to(kernels, keep):
    for seed in range(10):
        x, w, bias, g, window, groups = a_case(seed)
        if bias is not None:
            bias.flags.writeable = False
        before = [np.array(a) for a in (x, w, g)]
        y, state = kernels.conv2d(x, w, bias, window, groups, keep)
        assert keep or state is None
        results = kernels.conv2d_backward(g, x, w, state, window, groups, (True, True, True))
        for now, then in zip((x, w, g), before, strict=True):
            np.testing.assert_array_equal(now, then)
        for result in (y, *results):
            assert result.flags.writeable
            assert not any(np.shares_memory(result, a) for a in (x, w, g))


@both
def test_an_infinite_input_stays_in_its_windows(kernels):
    x = np.zeros((1, 1, 7, 7), np.float32)
    x[0, 0, 3, 3] = np.inf
    w = np.ones((1, 1, 3, 3), np.float32)
    y, _ = kernels.conv2d(x, w, None, conv_window("conv2d", x.shape, w.shape, 1, 1), 1, False)
    assert np.isinf(y).sum() == 9
    assert not np.isnan(y).any()
