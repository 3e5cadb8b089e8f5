"""Pooling on a GPU (or the stand-in, which runs the kernels): bit for bit what the CPU does."""

import kernel_cases as cases
import numpy as np
import pytest
from device_arrays import put, put_in_conv_layout, same_bits

from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels import launch, pool
from lucidlite.window import Window

SEEDS = range(1500 if cases.ALL else 40)
seeds = pytest.mark.parametrize("seed", SEEDS)


@pytest.fixture
def gpu(cuda):
    return get_backend(cuda)


def odd_numbers(rng, array, infinite=True):
    """A copy, in the same strides where they are a permutation's, with zeros of both signs."""
    array = np.array(array, order="K")
    array[rng.random(array.shape) < 0.1] = 0.0
    array[rng.random(array.shape) < 0.1] = -0.0
    if infinite:
        array[rng.random(array.shape) < 0.2] = -np.inf
        array[rng.random(array.shape) < 0.05] = np.inf
        array[rng.random(array.shape) < 0.05] = np.nan
    return array


def a_case(seed, dilated=True):
    """Images in any strides, a window and gradients; channels that make packs and that don't."""
    rng = np.random.default_rng(seed)
    (n, _, *size), window = cases.a_pool(rng, dilated)
    shape = n, int(rng.choice([1, 2, 3, 4, 5, 8, 16])), *size
    dtype = [np.float32, np.float64, np.float16][rng.choice(3, p=[0.5, 0.25, 0.25])]
    x = cases.values(rng, shape, dtype, small_integers=bool(rng.integers(2)))
    g = cases.values(rng, (*shape[:2], *window.output_size(shape[2:])), dtype)
    if rng.random() < 0.5:
        x, g = odd_numbers(rng, x, infinite=dilated), odd_numbers(rng, g, infinite=False)
    return rng, x, window, g


def same_maxima(ours, theirs):
    """Equal: NumPy takes the later of a 0.0 and a -0.0 in float16, the first one elsewhere."""
    if ours.dtype != np.float16:
        same_bits(ours, theirs)
    np.testing.assert_array_equal(ours, theirs, strict=True)


def in_float32(function, array, *args):
    """What the CPU makes of float16 where it adds up in float32 and rounds once."""
    if array.dtype != np.float16:
        return function(array, *args)
    return function(array.astype(np.float32), *args).astype(np.float16)


@seeds
def test_max_pool2d(gpu, seed):
    rng, x, window, g = a_case(seed)
    on_gpu, gradient = put(gpu, x), put(gpu, g)
    y, taps = gpu.max_pool2d(on_gpu, window, True)
    alone, nothing = gpu.max_pool2d(on_gpu, window, False)
    assert nothing is None
    places = gpu.max_pool2d_indices(taps, x.shape, window)
    dx = gpu.max_pool2d_input_grad(gradient, taps, x.shape, window)
    v = cases.values(rng, x.shape, x.dtype.type)
    taken = gpu.max_pool2d_gather(put(gpu, v), taps, window)
    # Every window holds an element: the maximum is the one at its tap, a zero's sign too.
    same_bits(gpu.to_numpy(y), gpu.to_numpy(gpu.max_pool2d_gather(on_gpu, taps, window)))
    for kernels in cases.KERNELS:
        expected, offsets = kernels.max_pool2d(x, window, True)
        same_maxima(gpu.to_numpy(y), expected)
        same_bits(gpu.to_numpy(alone), gpu.to_numpy(y))
        same_bits(gpu.to_numpy(taps), offsets)
        same_bits(gpu.to_numpy(places), kernels.max_pool2d_indices(offsets, x.shape, window))
        same_bits(
            gpu.to_numpy(dx),
            in_float32(kernels.max_pool2d_input_grad, g, offsets, x.shape, window),
        )
        same_bits(gpu.to_numpy(taken), kernels.max_pool2d_gather(v, offsets, window))
    assert all(gpu.in_conv_layout(each) for each in (y, taps, places, dx, taken))


@seeds
def test_avg_pool2d(gpu, seed):
    rng, x, window, g = a_case(seed, dilated=False)
    options = bool(rng.integers(2)), [None, None, 3, -2][rng.integers(4)]
    y = gpu.avg_pool2d(put(gpu, x), window, *options)
    dx = gpu.avg_pool2d_input_grad(put(gpu, g), x.shape, window, *options)
    assert gpu.in_conv_layout(y)
    assert gpu.in_conv_layout(dx)
    for kernels in cases.KERNELS:
        expected = kernels.avg_pool2d(x, window, *options)
        if window.covers(x.shape[2:]):  # one sum of all elements: NumPy's order is its own
            close(gpu.to_numpy(y), expected)
        else:
            same_bits(gpu.to_numpy(y), expected)
        same_bits(gpu.to_numpy(dx), kernels.avg_pool2d_input_grad(g, x.shape, window, *options))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("shape", [(2, 5, 12, 11), (0, 3, 9, 9), (1, 1, 1, 100)])
def test_the_average_of_a_large_plane(gpu, dtype, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    window = Window(shape[2:], (1, 1), ((0, 0), (0, 0)))
    for place in (put, put_in_conv_layout):
        y = gpu.avg_pool2d(place(gpu, x), window, True, None)
        assert gpu.in_conv_layout(y)
        close(gpu.to_numpy(y), cases.CPU.avg_pool2d(x, window, True, None))


def close(ours, theirs):
    assert ours.dtype == theirs.dtype
    tolerance = {2: 1e-3, 4: 1e-6, 8: 1e-14}[ours.itemsize]
    np.testing.assert_allclose(
        ours.astype(np.float64), theirs.astype(np.float64), rtol=tolerance, atol=tolerance
    )


def an_adaptive_case(seed):
    rng = np.random.default_rng(seed)
    channels = int(rng.choice([1, 3, 4, 8, 16]))
    shape = int(rng.integers(0, 4)), channels, int(rng.integers(1, 11)), int(rng.integers(1, 11))
    dtype = [np.float32, np.float64, np.float16][rng.choice(3, p=[0.5, 0.25, 0.25])]
    x = cases.values(rng, shape, dtype, small_integers=bool(rng.integers(2)))
    return rng, x, (int(rng.integers(0, 13)), int(rng.integers(0, 13)))


@seeds
def test_adaptive_max_pool2d(gpu, seed):
    rng, x, size = an_adaptive_case(seed)
    if rng.random() < 0.5:
        x = odd_numbers(rng, x)
    y, places = gpu.adaptive_max_pool2d(put(gpu, x), size)
    g = cases.values(rng, y.shape, x.dtype.type, small_integers=True)
    dx = gpu.plane_scatter(put(gpu, g), places, x.shape)
    taken = gpu.plane_gather(put(gpu, x), places)
    same_bits(gpu.to_numpy(taken), gpu.to_numpy(y))
    for kernels in cases.KERNELS:
        expected, indices = kernels.adaptive_max_pool2d(x, size)
        same_maxima(gpu.to_numpy(y), expected)
        same_bits(gpu.to_numpy(places), indices)
        same_bits(gpu.to_numpy(dx), in_float32(kernels.plane_scatter, g, indices, x.shape))
        same_bits(gpu.to_numpy(taken), kernels.plane_gather(x, indices))
    assert all(gpu.in_conv_layout(each) for each in (y, places, dx, taken))


@seeds
def test_adaptive_avg_pool2d(gpu, seed):
    rng, x, size = an_adaptive_case(seed)
    y = gpu.adaptive_avg_pool2d(put(gpu, x), size)
    assert gpu.in_conv_layout(y)
    for kernels in cases.KERNELS:
        close(gpu.to_numpy(y), kernels.adaptive_avg_pool2d(x, size))
    if 0 in size:
        return
    g = odd_numbers(rng, cases.values(rng, y.shape, x.dtype.type), infinite=False)
    dx = gpu.adaptive_avg_pool2d_input_grad(put(gpu, g), x.shape)
    assert gpu.in_conv_layout(dx)
    for kernels in cases.KERNELS:
        same_bits(gpu.to_numpy(dx), kernels.adaptive_avg_pool2d_input_grad(g, x.shape))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int32, np.int64])
def test_integers(gpu, kind):
    rng = np.random.default_rng(3)
    lowest = np.iinfo(kind).min
    x = np.where(rng.random((2, 3, 7, 6)) < 0.4, lowest, rng.integers(0, 9, (2, 3, 7, 6)))
    x = x.astype(kind)
    window = Window((3, 2), (2, 1), ((1, 1), (1, 1)), (1, 2))
    y, taps = gpu.max_pool2d(put(gpu, x), window, True)
    expected, offsets = cases.CPU.max_pool2d(x, window, True)
    same_bits(gpu.to_numpy(y), expected)
    same_bits(gpu.to_numpy(taps), offsets)
    g = rng.integers(0, 9, y.shape).astype(kind)
    same_bits(
        gpu.to_numpy(gpu.max_pool2d_input_grad(put(gpu, g), taps, x.shape, window)),
        cases.CPU.max_pool2d_input_grad(g, offsets, x.shape, window),
    )
    same_bits(
        gpu.to_numpy(gpu.max_pool2d_gather(put(gpu, x), taps, window)),
        cases.CPU.max_pool2d_gather(x, offsets, window),
    )
    if kind is np.int64:
        window = Window((3, 2), (2, 1), ((1, 1), (1, 1)))
        y = gpu.avg_pool2d(put(gpu, x), window, False, -2)
        same_bits(gpu.to_numpy(y), cases.CPU.avg_pool2d(x, window, False, -2))


def test_a_window_of_padding_alone(gpu):
    x = np.ones((1, 4, 2, 5), np.float32)
    window = Window((2, 1), (1, 1), ((1, 1), (0, 0)), (3, 1))  # steps over both rows
    y, taps = gpu.max_pool2d(put(gpu, x), window, True)
    np.testing.assert_array_equal(gpu.to_numpy(y), np.full((1, 4, 1, 5), -np.inf))
    same_bits(gpu.to_numpy(taps), cases.CPU.max_pool2d(x, window, True)[1])
    dx = gpu.max_pool2d_input_grad(gpu.xp.ones_like(y), taps, x.shape, window)
    np.testing.assert_array_equal(gpu.to_numpy(dx), np.zeros_like(x))
    taken = gpu.max_pool2d_gather(put(gpu, x), taps, window)
    np.testing.assert_array_equal(gpu.to_numpy(taken), np.zeros((1, 4, 1, 5)))


@pytest.mark.parametrize("kernel", [(16, 16), (16, 17), (256, 257)], ids=["8", "16", "32"])
def test_taps_of_large_windows(gpu, kernel):
    size = kernel[0] + 1, kernel[1] + 2
    x = np.random.default_rng(0).standard_normal((1, 8, *size)).astype(np.float16)
    if kernel[0] > 100:
        x = x[:, :1]
        x[0, 0, -1, -1] = 99.0
    window = Window(kernel, (1, 2), ((0, 0), (0, 0)))
    y, taps = gpu.max_pool2d(put(gpu, x), window, True)
    expected, offsets = cases.CPU.max_pool2d(x, window, True)
    same_bits(gpu.to_numpy(y), expected)
    same_bits(gpu.to_numpy(taps), offsets)
    g = np.arange(y.size, dtype=np.float16).reshape(y.shape)
    same_bits(
        gpu.to_numpy(gpu.max_pool2d_input_grad(put(gpu, g), taps, x.shape, window)),
        in_float32(cases.CPU.max_pool2d_input_grad, g, offsets, x.shape, window),
    )
    same_bits(
        gpu.to_numpy(gpu.max_pool2d_indices(taps, x.shape, window)),
        cases.CPU.max_pool2d_indices(offsets, x.shape, window),
    )
    same_bits(
        gpu.to_numpy(gpu.max_pool2d_gather(put(gpu, x), taps, window)),
        cases.CPU.max_pool2d_gather(x, offsets, window),
    )


def all_pools(gpu, x, window):
    """What every kernel makes of images on the device, on the host."""
    y, taps = gpu.max_pool2d(x, window, True)
    dx = gpu.max_pool2d_input_grad(y, taps, x.shape, window)
    mean = gpu.avg_pool2d(x, window, False, None)
    best, places = gpu.adaptive_max_pool2d(x, (5, 4))
    share = gpu.adaptive_avg_pool2d(x, (5, 4))
    results = [
        y, taps, dx, mean, best, places, share,
        gpu.max_pool2d_gather(x, taps, window),
        gpu.max_pool2d_indices(taps, x.shape, window),
        gpu.avg_pool2d_input_grad(mean, x.shape, window, False, None),
        gpu.plane_gather(x, places),
        gpu.plane_scatter(best, places, x.shape),
        gpu.adaptive_avg_pool2d_input_grad(share, x.shape),
    ]  # fmt: skip
    return [gpu.to_numpy(each) for each in results]


WINDOW = Window((3, 3), (2, 1), ((1, 1), (1, 1)))
KERNELS = [
    "max_pool", "max_pool_grad", "max_pool_gather", "max_pool_places", "avg_pool", "avg_pool_grad",
    "adaptive_max_pool", "adaptive_avg_pool", "adaptive_avg_pool_grad", "plane_gather",
    "plane_scatter",
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_however_the_work_is_shared(gpu, dtype, monkeypatch):
    """With few threads, which go through many rows, and with 64-bit indices."""
    x = np.random.default_rng(0).integers(-9, 9, (3, 16, 9, 11)).astype(dtype)
    on_gpu = put_in_conv_layout(gpu, x)
    usual = all_pools(gpu, on_gpu, WINDOW)
    monkeypatch.setattr(pool, "_THREADS", 1)
    few = all_pools(gpu, on_gpu, WINDOW)
    monkeypatch.setattr(launch, "LARGE", 1)
    monkeypatch.setattr(pool, "_MOST_ROWS", 5)
    for a, b, c in zip(usual, few, all_pools(gpu, on_gpu, WINDOW), strict=True):
        same_bits(a, b)
        same_bits(a, c)


def test_memory_that_is_not_aligned_for_packs(gpu):
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)
    memory = gpu.xp.empty(x.size + 1, np.float32)
    shifted = memory[1:].reshape(2, 6, 6, 4)
    shifted[...] = gpu.asarray(np.ascontiguousarray(x.transpose(gpu.order)))
    found = all_pools(gpu, gpu.seen(shifted), WINDOW)
    for a, b in zip(found, all_pools(gpu, put(gpu, x), WINDOW), strict=True):
        same_bits(a, b)


@pytest.mark.parametrize("shape", [(0, 4, 5, 5), (1, 1, 1, 1), (2, 3, 1, 7), (2, 4, 7, 1)])
def test_axes_of_no_and_one_element(gpu, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for a, b in zip(all_pools(gpu, put(gpu, x), WINDOW), on_cpu(x, WINDOW), strict=True):
        close(a, b) if a.dtype.kind == "f" else same_bits(a, b)


class OnCPU:
    """The CPU's kernels, with what ``all_pools`` asks of a device."""

    def __getattr__(self, name):
        return getattr(cases.CPU, name)


def on_cpu(x, window):
    return all_pools(OnCPU(), x, window)


def test_numbers_beyond_32_bits_are_left_to_the_base_kernels(gpu):
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 4)).astype(np.float32)
    for window in (
        Window((2, 2), (1 << 40, 1), ((0, 0), (0, 0))),
        Window((3, 1), (1, 1), ((1 << 40, 1 << 40), (0, 0)), (1 << 40, 1)),
    ):
        y, taps = gpu.max_pool2d(put(gpu, x), window, True)
        expected, offsets = cases.CPU.max_pool2d(x, window, True)
        same_bits(gpu.to_numpy(y), expected)
        dx = gpu.max_pool2d_input_grad(put(gpu, expected), taps, x.shape, window)
        same_bits(
            gpu.to_numpy(dx),
            cases.CPU.max_pool2d_input_grad(expected, offsets, x.shape, window),
        )
    window = Window((2, 2), (2, 2), ((0, 0), (0, 0)))
    close(
        gpu.to_numpy(gpu.avg_pool2d(put(gpu, x), window, True, 1 << 40)),
        cases.CPU.avg_pool2d(x, window, True, 1 << 40),
    )


def test_one_launch_each_and_nothing_else(fake_cupy):
    """Of images in the GPU's own order nothing is copied, and nobody waits."""
    from fakecupy.raw import launched

    gpu = get_backend("cuda")
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)
    on_gpu = put_in_conv_layout(gpu, x)
    gpu.to_numpy = lambda array: array
    before = dict(fake_cupy.counts)
    launched_before = dict(launched)
    results = all_pools(gpu, on_gpu, WINDOW)
    assert all(gpu.in_conv_layout(each) for each in results)
    assert {name: launched.get(name, 0) - launched_before.get(name, 0) for name in KERNELS} == (
        dict.fromkeys(KERNELS, 1)
    )
    after = {name: n - before[name] for name, n in fake_cupy.counts.items()}
    assert after.pop("launch", len(KERNELS)) == len(KERNELS)
    assert not any(after.values()), after
