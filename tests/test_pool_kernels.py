"""The pooling kernels: against plain loops, torch, each other, and as transposes."""

import kernel_cases as cases
import numpy as np
import pytest

import lucidlite.backends.numpy_kernels.blocks as cutting
import lucidlite.backends.numpy_kernels.layout as layout
import lucidlite.backends.numpy_kernels.max_pool as max_pool
from lucidlite import threads
from lucidlite.geometry import Window, adaptive_bins, pool_window

seeds = pytest.mark.parametrize("seed", cases.SEEDS)
both = pytest.mark.parametrize("kernels", cases.KERNELS, ids=cases.NAMES)


@pytest.fixture(params=[None, 1, 40], ids=["blocks", "single-rows", "few-rows"])
def blocks(request, monkeypatch):
    """The usual size of row blocks, and sizes that cut even tiny planes."""
    if request.param:
        monkeypatch.setattr(layout.row_blocks, "__defaults__", (request.param,))
        monkeypatch.setattr(cutting.blocks, "__defaults__", (1, request.param))
        monkeypatch.setattr(max_pool, "_SMALL", 0)


@pytest.fixture(params=[1, 2, 3, 4])
def shared(request, monkeypatch):
    """So many threads, that share all there is to do."""
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    monkeypatch.setattr(threads, "WORTH_SHARING", 1)
    yield
    threads.set_num_threads(before)


def a_max_case(seed):
    """Input (half of them full of ties, a quarter with NaN and infinities), window, gradient."""
    rng = np.random.default_rng(seed)
    shape, window = cases.a_pool(rng, dilated=True)
    dtype = cases.a_dtype(rng)
    x = cases.values(rng, shape, dtype, small_integers=bool(rng.integers(2)))
    if rng.random() < 0.25:
        x = x.copy()
        x[rng.random(shape) < 0.2] = np.nan
        x[rng.random(shape) < 0.3] = -np.inf
        x[rng.random(shape) < 0.1] = np.inf
        x.flags.writeable = False
    outputs = window.output_size(shape[2:])
    g = cases.values(rng, (*shape[:2], *outputs), dtype)
    return x, window, g


def looped_max(x, window):
    """(maxima, flat positions) by definition: the first largest, but the last NaN."""
    height, width = x.shape[2:]
    y = np.empty((*x.shape[:2], *window.output_size((height, width))), x.dtype)
    positions = np.empty(y.shape, np.int64)
    for b, c, i, j in np.ndindex(*y.shape):
        best = None
        for tap in range(window.taps):
            p, q = divmod(tap, window.kernel_size[1])
            row = i * window.stride[0] - window.padding[0][0] + p * window.dilation[0]
            column = j * window.stride[1] - window.padding[1][0] + q * window.dilation[1]
            if 0 <= row < height and 0 <= column < width:
                value = x[b, c, row, column]
                if best is None or value > best or np.isnan(value):
                    best, position = value, row * width + column
        y[b, c, i, j], positions[b, c, i, j] = best, position
    return y, positions


@both
@seeds
def test_max_pool2d_is_its_definition(kernels, seed):
    x, window, _ = a_max_case(seed)
    y, offsets = kernels.max_pool2d(x, window, True)
    expected, positions = looped_max(x, window)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(kernels.max_pool2d_indices(offsets, x.shape, window), positions)
    assert y.dtype == x.dtype
    assert offsets.dtype == (np.uint8 if window.taps <= 256 else np.uint16)


@both
@seeds
@pytest.mark.usefixtures("blocks")
def test_max_pool2d_equals_torch_bit_for_bit(kernels, seed):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    x, window, g = a_max_case(seed)
    tx = torch.from_numpy(np.array(x)).requires_grad_()
    padding = window.padding[0][0], window.padding[1][0]
    ty, tpositions = torch.nn.functional.max_pool2d(
        tx,
        window.kernel_size,
        window.stride,
        padding,
        window.dilation,
        window.ceil_mode,
        return_indices=True,
    )
    ty.backward(torch.from_numpy(np.array(g)))
    y, offsets = kernels.max_pool2d(x, window, True)
    dx = kernels.max_pool2d_input_grad(g, offsets, x.shape, window)
    positions = kernels.max_pool2d_indices(offsets, x.shape, window)
    np.testing.assert_array_equal(y, ty.detach().numpy())
    np.testing.assert_array_equal(positions, tpositions.numpy())
    np.testing.assert_array_equal(dx, tx.grad.numpy())
    assert positions.dtype == np.int64
    assert all(cases.in_conv_layout(a) for a in (y, offsets, dx, positions))


@seeds
@pytest.mark.usefixtures("blocks")
def test_cpu_max_pool2d_equals_reference_bit_for_bit(seed):
    x, window, g = a_max_case(seed)
    if seed % 3 == 0:
        kind = [np.int8, np.uint8, np.int16, np.int32, np.int64][seed // 3 % 5]
        lowest = np.iinfo(kind).min
        rng = np.random.default_rng(seed)
        x = np.where(rng.random(x.shape) < 0.4, lowest, rng.integers(0, 9, x.shape)).astype(kind)
    results = []
    for kernels in cases.KERNELS:
        y, offsets = kernels.max_pool2d(x, window, True)
        alone, nothing = kernels.max_pool2d(x, window, False)
        assert nothing is None
        np.testing.assert_array_equal(alone, y)
        results.append((y, offsets, kernels.max_pool2d_input_grad(g, offsets, x.shape, window)))
    for ours, theirs in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def same_bits(a, b):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)
    if a.dtype.kind == "f":
        number = ~np.isnan(a)  # any NaN is as good as another
        np.testing.assert_array_equal(np.signbit(a)[number], np.signbit(b)[number])


@seeds
@pytest.mark.usefixtures("blocks", "shared")
def test_no_bit_depends_on_blocks_and_threads(seed):
    x, window, g = a_max_case(seed)
    rng = np.random.default_rng(seed)
    x, g = np.array(x), np.array(g)
    for array in (x, g):
        array[rng.random(array.shape) < 0.2] = 0.0
        array[rng.random(array.shape) < 0.2] = -0.0
    by_kernels = []
    for kernels in cases.KERNELS:
        y, offsets = kernels.max_pool2d(x, window, True)
        results = [
            y,
            offsets,
            kernels.max_pool2d(x, window, False)[0],
            kernels.max_pool2d_input_grad(g, offsets, x.shape, window),
            kernels.max_pool2d_gather(x, offsets, window),
            kernels.max_pool2d_indices(offsets, x.shape, window),
        ]
        if window.dilation == (1, 1):
            finite = np.nan_to_num(x, posinf=3.0, neginf=-3.0)
            results.append(kernels.avg_pool2d(finite, window, True, None))
            results.append(kernels.avg_pool2d_input_grad(g, x.shape, window, False, 3))
        results += kernels.adaptive_max_pool2d(x, (5, 3 + seed % 4))
        by_kernels.append(results)
    for ours, theirs in zip(*by_kernels, strict=True):
        same_bits(ours, theirs)


def test_a_large_pool_in_all_its_blocks():
    x = np.random.default_rng(0).integers(-9, 9, (70, 64, 17, 18)).astype(np.float32)
    for kernel, stride, padding in ((2, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2), (4, 4, 0)):
        window = pool_window("pool", x.shape, kernel, stride, padding)
        (y, offsets), (expected, taps) = (k.max_pool2d(x, window, True) for k in cases.KERNELS)
        same_bits(y, expected)
        same_bits(offsets, taps)
        ours, theirs = (k.max_pool2d_input_grad(y, taps, x.shape, window) for k in cases.KERNELS)
        same_bits(ours, theirs)
        ours, theirs = (k.avg_pool2d(x, window, True, None) for k in cases.KERNELS)
        same_bits(ours, theirs)


@both
@seeds
def test_max_pool2d_kernels_are_transposes(kernels, seed):
    x, window, _ = a_max_case(seed)
    rng = np.random.default_rng(seed)
    y, offsets = kernels.max_pool2d(x, window, True)
    v, g = cases.values(rng, x.shape, np.float64), cases.values(rng, y.shape, np.float64)
    gathered = kernels.max_pool2d_gather(v, offsets, window)
    scattered = kernels.max_pool2d_input_grad(g, offsets, x.shape, window)
    assert (gathered * g).sum() == pytest.approx((v * scattered).sum(), rel=1e-10, abs=1e-10)
    positions = kernels.max_pool2d_indices(offsets, x.shape, window)
    np.testing.assert_array_equal(kernels.plane_gather(v, positions), gathered)
    np.testing.assert_allclose(
        kernels.plane_scatter(g, positions, x.shape), scattered, rtol=1e-12, atol=1e-12
    )
    assert cases.in_conv_layout(gathered)


@both
def test_an_infinite_gradient_reaches_only_its_element(kernels):
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    window = pool_window("max_pool2d", x.shape, 3, 1)
    _, offsets = kernels.max_pool2d(x, window, True)
    g = np.full((1, 1, 2, 2), np.inf, np.float32)
    dx = kernels.max_pool2d_input_grad(g, offsets, x.shape, window)
    assert np.isinf(dx).sum() == 4
    assert not np.isnan(dx).any()


@both
def test_a_window_of_padding_alone_is_minus_infinity_and_takes_no_gradient(kernels):
    # Dilation 3 steps over both rows of the plane: a setting torch accepts too.
    x = np.ones((1, 1, 2, 5), np.float32)
    window = pool_window("max_pool2d", x.shape, (2, 1), 1, (1, 0), (3, 1))
    y, offsets = kernels.max_pool2d(x, window, True)
    np.testing.assert_array_equal(y, np.full((1, 1, 1, 5), -np.inf, np.float32))
    dx = kernels.max_pool2d_input_grad(np.ones_like(y), offsets, x.shape, window)
    np.testing.assert_array_equal(dx, np.zeros_like(x))


def an_average_case(seed):
    rng = np.random.default_rng(seed)
    shape, window = cases.a_pool(rng, dilated=False)
    dtype = cases.a_dtype(rng)
    x = cases.values(rng, shape, dtype)
    g = cases.values(rng, (*shape[:2], *window.output_size(shape[2:])), dtype)
    return x, window, g, bool(rng.integers(2)), [None, None, 3, -2][rng.integers(4)]


def looped_average(x, window, include_pad, override):
    height, width = x.shape[2:]
    outputs = window.output_size((height, width))
    y = np.zeros((*x.shape[:2], *outputs))
    for i, j in np.ndindex(*outputs):
        top = i * window.stride[0] - window.padding[0][0]
        left = j * window.stride[1] - window.padding[1][0]
        bottom = min(top + window.kernel_size[0], height + window.padding[0][1])
        right = min(left + window.kernel_size[1], width + window.padding[1][1])
        inside = x[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        count = (bottom - top) * (right - left) if include_pad else inside[0, 0].size
        total = inside.astype(np.float64).sum((2, 3))
        y[:, :, i, j] = total / (count if override is None else override)
    return y


@both
@seeds
def test_avg_pool2d_is_its_definition(kernels, seed):
    x, window, _, include_pad, override = an_average_case(seed)
    if not len(x):
        x = np.ones((1, *x.shape[1:]), x.dtype)
    y = kernels.avg_pool2d(x, window, include_pad, override)
    tolerance = cases.TOLERANCE[x.dtype.type]
    expected = looped_average(x, window, include_pad, override)
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)
    assert y.dtype == x.dtype


@both
@seeds
@pytest.mark.usefixtures("blocks")
def test_avg_pool2d_equals_torch(kernels, seed):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    x, window, g, include_pad, override = an_average_case(seed)
    # torch adds half precision gradients in half precision, we in float32: float32 for both.
    wide = np.float32 if x.dtype == np.float16 else x.dtype
    tx = torch.from_numpy(np.array(x, wide)).requires_grad_()
    padding = window.padding[0][0], window.padding[1][0]
    options = window.kernel_size, window.stride, padding, window.ceil_mode, include_pad, override
    ty = torch.nn.functional.avg_pool2d(tx, *options)
    ty.backward(torch.from_numpy(np.array(g, wide)))
    y = kernels.avg_pool2d(x, window, include_pad, override)
    dx = kernels.avg_pool2d_input_grad(g, x.shape, window, include_pad, override)
    # Sums may be added up in any order: a few units in the last place of the sum of sizes.
    unit = (2 + window.taps**0.5) * np.finfo(x.dtype).eps
    means = kernels.avg_pool2d(np.abs(x), window, include_pad, override)
    shares = kernels.avg_pool2d_input_grad(np.abs(g), x.shape, window, include_pad, override)
    assert (np.abs(y - ty.detach().numpy()) <= unit * np.abs(means)).all()
    assert (np.abs(dx - tx.grad.numpy()) <= unit * np.abs(shares)).all()
    assert cases.in_conv_layout(y)
    assert cases.in_conv_layout(dx)
    whole = np.random.default_rng(seed).integers(-99, 99, x.shape)
    np.testing.assert_array_equal(
        kernels.avg_pool2d(whole, window, include_pad, override),
        torch.nn.functional.avg_pool2d(torch.from_numpy(whole), *options).numpy(),
    )


@seeds
@pytest.mark.usefixtures("blocks")
def test_cpu_avg_pool2d_equals_reference(seed):
    x, window, g, *options = an_average_case(seed)
    ours, theirs = (k.avg_pool2d(x, window, *options) for k in cases.KERNELS)
    np.testing.assert_array_equal(ours, theirs)
    ours, theirs = (k.avg_pool2d_input_grad(g, x.shape, window, *options) for k in cases.KERNELS)
    np.testing.assert_array_equal(ours, theirs)


@both
@seeds
def test_avg_pool2d_kernels_are_transposes(kernels, seed):
    x, window, g, *options = an_average_case(seed)
    x, g = x.astype(np.float64), g.astype(np.float64)
    y = kernels.avg_pool2d(x, window, *options)
    dx = kernels.avg_pool2d_input_grad(g, x.shape, window, *options)
    assert (y * g).sum() == pytest.approx((x * dx).sum(), rel=1e-10, abs=1e-10)


def test_ceil_mode_overhang_is_in_no_divisor():
    x = np.arange(49, dtype=np.float64).reshape(1, 1, 7, 7)
    window = pool_window("avg_pool2d", x.shape, 2, 3, 0, 1, True)
    expected = [[4, 7, 9.5], [25, 28, 30.5], [42.5, 45.5, 48]]
    for kernels in cases.KERNELS:
        for include_pad in (False, True):
            y = kernels.avg_pool2d(x, window, include_pad, None)
            np.testing.assert_array_equal(y[0, 0], expected)


@both
@pytest.mark.parametrize("name", ["max", "avg"])
def test_pools_do_not_write_to_their_arguments(kernels, name):
    for seed in range(10):
        x, window, g = a_max_case(seed)
        before = [np.array(x), np.array(g)]
        if name == "max":
            y, offsets = kernels.max_pool2d(x, window, True)
            offsets.flags.writeable = False
            results = y, kernels.max_pool2d_input_grad(g, offsets, x.shape, window)
        else:
            window = Window(window.kernel_size, window.stride, window.padding)
            g = np.ones((*x.shape[:2], *window.output_size(x.shape[2:])), x.dtype)
            g.flags.writeable = False
            if g.shape[2] < 1 or g.shape[3] < 1:
                continue
            results = (
                kernels.avg_pool2d(np.nan_to_num(x), window, True, None),
                kernels.avg_pool2d_input_grad(g, x.shape, window, True, None),
            )
        np.testing.assert_array_equal(x, before[0])
        assert all(r.flags.writeable and not np.shares_memory(r, x) for r in results)


def an_adaptive_case(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(rng.integers(low, 11)) for low in (0, 1, 1, 1))
    x = cases.values(rng, shape, cases.a_dtype(rng), small_integers=bool(rng.integers(2)))
    if rng.random() < 0.25:
        x = x.copy()
        x[rng.random(shape) < 0.2] = np.nan
        x[rng.random(shape) < 0.3] = -np.inf
    return x, (int(rng.integers(0, 13)), int(rng.integers(0, 13)))


@both
@seeds
def test_adaptive_max_pool2d_equals_torch(kernels, seed):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    x, size = an_adaptive_case(seed)
    tx = torch.from_numpy(np.array(x)).requires_grad_()
    ty, tpositions = torch.nn.functional.adaptive_max_pool2d(tx, size, return_indices=True)
    y, positions = kernels.adaptive_max_pool2d(x, size)
    np.testing.assert_array_equal(y, ty.detach().numpy())
    np.testing.assert_array_equal(positions, tpositions.numpy())
    assert y.dtype == x.dtype
    assert positions.dtype == np.int64
    assert cases.in_conv_layout(y)
    if y.size:
        g = cases.values(np.random.default_rng(seed), y.shape, x.dtype.type, small_integers=True)
        ty.backward(torch.from_numpy(np.array(g)))
        dx = cases.CPU.plane_scatter(g, positions, x.shape)
        np.testing.assert_array_equal(dx, tx.grad.numpy())


@both
@seeds
def test_adaptive_averages_are_those_of_their_bins(kernels, seed):
    x, size = an_adaptive_case(seed)
    x = np.nan_to_num(x.astype(np.float64), neginf=-1)
    y = kernels.adaptive_avg_pool2d(x, size)
    assert y.shape == (*x.shape[:2], *size)
    for i, (top, bottom) in enumerate(adaptive_bins(x.shape[2], size[0])):
        for j, (left, right) in enumerate(adaptive_bins(x.shape[3], size[1])):
            expected = x[:, :, top:bottom, left:right].mean((2, 3))
            np.testing.assert_allclose(y[:, :, i, j], expected, rtol=1e-12, atol=1e-12)
    g = cases.values(np.random.default_rng(seed), y.shape, np.float64)
    dx = kernels.adaptive_avg_pool2d_input_grad(g, x.shape)
    assert dx.shape == x.shape
    assert (y * g).sum() == pytest.approx((x * dx).sum(), rel=1e-10, abs=1e-10)
    assert cases.in_conv_layout(y)
    assert cases.in_conv_layout(dx)


def test_scatter_adds_up_where_indices_meet():
    g = np.ones((1, 2, 2, 2), np.float32)
    indices = np.array([[[[0, 0], [0, 3]], [[5, 5], [1, 1]]]])
    dx = cases.CPU.plane_scatter(g, indices, (1, 2, 2, 3))
    np.testing.assert_array_equal(dx, [[[[3, 0, 0], [1, 0, 0]], [[0, 2, 0], [0, 0, 2]]]])
