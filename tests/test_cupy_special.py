"""Elementwise kernels on a GPU (or the stand-in, which runs the CUDA sources)."""

import math

import kernel_cases as cases
import numpy as np
import pytest
from device_arrays import put, put_in_conv_layout, same_bits

from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels import launch
from lucidlite.backends.kernels.chains import GRADIENTS, VALUES

SEEDS = range(600 if cases.ALL else 25)
seeds = pytest.mark.parametrize("seed", SEEDS)
floats = pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
CPU = cases.CPU
KERNELS = [
    "relu", "relu_grad", "sigmoid", "reciprocal_root", "error_function", "gelu", "gelu_tanh",
    "round_to", "lerp",
]  # fmt: skip
ODD = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-7, -1e-7, 60000.0]


@pytest.fixture
def gpu(cuda):
    return get_backend(cuda)


def drawn(rng, shape=None, dtype=None):
    """Numbers of any rank, size and strides, odd ones among them."""
    if dtype is None:
        dtype = [np.float32, np.float64, np.float16][rng.integers(3)]
    if shape is None:
        shape = tuple(rng.choice([0, 1, 2, 3, 4, 8], rng.integers(5), p=[0.05, *[0.19] * 5]))
    array = np.asarray(3 * rng.standard_normal(shape)).astype(dtype)
    array[rng.random(shape) < 0.2] = rng.choice(ODD)
    order = rng.integers(4)
    if order == 0 and len(shape) == 4:
        array = np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    elif order == 1:
        array = np.asfortranarray(array)
    elif order == 2 and shape:
        larger = np.zeros([2 * n for n in shape], dtype)
        array, held = larger[tuple([slice(None, None, 2)] * len(shape))], array
        array[...] = held
        array = array[::-1]
    return array


@seeds
def test_relu_and_its_gradient(gpu, seed):
    rng = np.random.default_rng(seed)
    x = drawn(rng)
    y = gpu.relu(put(gpu, x))
    expected = np.where(x < 0, x.dtype.type(0), x)
    same_bits(gpu.to_numpy(y), expected)
    g = drawn(rng, x.shape, x.dtype)
    wanted = CPU.relu_grad(g, expected)
    on_gpu = put(gpu, g)
    same_bits(gpu.to_numpy(gpu.relu_grad(on_gpu, y)), wanted)
    same_bits(gpu.to_numpy(on_gpu), g)
    same_bits(gpu.to_numpy(gpu.relu_grad(on_gpu, y, on_gpu)), wanted)


def test_relu_grad_writes_over_a_gradient_in_the_same_order(gpu):
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 3)).astype(np.float32)
    g = np.ones_like(x)
    for place in (put, put_in_conv_layout):
        y, given = gpu.relu(place(gpu, x)), place(gpu, g)
        made = gpu.relu_grad(given, y, given)
        assert made.data.ptr == given.data.ptr
        same_bits(gpu.to_numpy(made), (x > 0).astype(np.float32))
    given = put(gpu, g)
    made = gpu.relu_grad(given, gpu.relu(put_in_conv_layout(gpu, x)), given)
    assert gpu.in_conv_layout(made)
    same_bits(gpu.to_numpy(made), (x > 0).astype(np.float32))


def test_relu_grad_of_arrays_that_broadcast(gpu):
    rng = np.random.default_rng(0)
    g, y = drawn(rng, (3, 1, 4), np.float32), drawn(rng, (2, 4), np.float32)
    same_bits(gpu.to_numpy(gpu.relu_grad(put(gpu, g), put(gpu, y))), CPU.relu_grad(g, y))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64])
def test_relu_of_integers(gpu, kind):
    x = np.arange(-3, 4).astype(kind)
    same_bits(gpu.to_numpy(gpu.relu(put(gpu, x))), np.maximum(x, kind(0)))


def exact(function, x):
    """``function`` of float64 numbers, one by one."""
    with np.errstate(all="ignore"):
        return np.vectorize(function, otypes=[np.float64])(x.astype(np.float64))


def within_units(ours, theirs, units):
    """Each as near to the exact number as so many units in its last place."""
    eps, tiny = float(np.finfo(ours.dtype).eps), float(np.finfo(ours.dtype).smallest_normal)
    theirs = np.where(np.abs(theirs) > float(np.finfo(ours.dtype).max), np.inf, theirs)
    np.testing.assert_allclose(ours.astype(np.float64), theirs, rtol=units * eps, atol=tiny)


def sigmoid(a):
    return 0.0 if a < -745 else 1 / (1 + math.exp(-a)) if a == a else a


def gelu(a):
    return a * (0.5 * math.erfc(-a * math.sqrt(0.5)))


def gelu_tanh(a):
    return a * (0.5 + 0.5 * math.tanh((a + 0.044715 * a * a * a) * math.sqrt(2 / math.pi)))


@floats
def test_functions_of_many_numbers(gpu, dtype):
    x = np.concatenate([np.linspace(-12, 12, 4001), ODD]).astype(dtype)
    on_gpu = put(gpu, x)
    within_units(gpu.to_numpy(gpu.erf(on_gpu)), exact(math.erf, x), 4)
    within_units(gpu.to_numpy(gpu.sigmoid(on_gpu)), exact(sigmoid, x), 4)
    # The rounding of the argument of erfc, and of exp in it, grows with its size squared.
    near = x[np.abs(x) < 5]
    within_units(gpu.to_numpy(gpu.gelu(put(gpu, near), False)), exact(gelu, near), 40)
    found = gpu.to_numpy(gpu.gelu(on_gpu, False))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x) | (x == -np.inf))
    assert found[x == np.inf] == np.inf
    np.testing.assert_allclose(found, CPU.gelu(x, False), rtol=2e-3, atol=1e-6)
    small = 2e-3 if dtype == np.float16 else 4e-7 if dtype == np.float32 else 1e-15
    near = x[np.abs(x) < 100]
    np.testing.assert_allclose(
        gpu.to_numpy(gpu.gelu(put(gpu, near), True)), exact(gelu_tanh, near), small, small
    )
    positive = np.abs(x[x != 0])
    same_bits(gpu.to_numpy(gpu.rsqrt(put(gpu, positive))), CPU.rsqrt(positive))
    for decimals in (-1, 0, 2):
        same_bits(
            gpu.to_numpy(gpu.round_decimals(on_gpu, decimals)), CPU.round_decimals(x, decimals)
        )


FUNCTIONS = {
    "sigmoid": (), "erf": (), "rsqrt": (), "gelu": (False,), "gelu_": (True,),
    "round_decimals": (1,),
}  # fmt: skip


@seeds
def test_functions_of_any_array(gpu, seed):
    """Ranks, strides and sizes: every element where it belongs, in the order of what was given."""
    rng = np.random.default_rng(seed)
    x = drawn(rng)
    name, args = list(FUNCTIONS.items())[seed % len(FUNCTIONS)]
    on_gpu = put(gpu, x)
    out = getattr(gpu, name.strip("_"))(on_gpu, *args)
    line = getattr(gpu, name.strip("_"))(put(gpu, np.ascontiguousarray(x).reshape(-1)), *args)
    same_bits(gpu.to_numpy(out), gpu.to_numpy(line).reshape(x.shape))
    if x.ndim == 4 and gpu.in_conv_layout(on_gpu):
        assert gpu.in_conv_layout(out)


@seeds
def test_lerp(gpu, seed):
    rng = np.random.default_rng(seed)
    x = drawn(rng)
    end = drawn(rng, x.shape, x.dtype)
    if seed % 3 and x.ndim:  # one that broadcasts
        end = end[:1]
    if seed % 2:
        weight = drawn(rng, x.shape, x.dtype)
    else:  # a number stays float32 beside float16
        weight = np.asarray(rng.choice([0.0, 0.25, 0.5, 1.0, 3.0]))
        weight = weight.astype(np.promote_types(x.dtype, np.float32))
    found = gpu.to_numpy(gpu.lerp(put(gpu, x), put(gpu, end), put(gpu, weight)))
    expected = CPU.lerp(x, end, weight)
    assert found.dtype == expected.dtype
    # A GPU multiplies and adds with one rounding.
    eps = 4 * float(np.finfo(x.dtype).eps)
    scale = 10 * float(np.abs(np.where(np.isfinite(x), x, 0)).max(initial=0))
    np.testing.assert_allclose(
        found.astype(np.float64), expected.astype(np.float64), eps, eps * scale
    )


@pytest.mark.parametrize("size", [64, 63])
def test_with_few_threads_and_64_bit_indices(gpu, size, monkeypatch):
    x = np.random.default_rng(0).standard_normal((2, size)).astype(np.float32)
    on_gpu, g = put(gpu, x), put(gpu, x[::-1].copy())
    weight = put(gpu, np.abs(x))

    def results():
        made = [
            gpu.relu(on_gpu), gpu.relu_grad(g, on_gpu), gpu.sigmoid(on_gpu), gpu.gelu(g, True),
            gpu.lerp(on_gpu, g, weight),
        ]  # fmt: skip
        return [gpu.to_numpy(each) for each in made]

    usual = results()
    monkeypatch.setattr(launch, "MOST_BLOCKS", 1)
    monkeypatch.setattr(launch, "LARGE", 1)
    for a, b in zip(usual, results(), strict=True):
        same_bits(a, b)


def test_one_launch_each_and_nothing_else(fake_cupy):
    """Of arrays in an order of the GPU's own nothing is copied, and nobody waits."""
    from fakecupy.raw import launched

    gpu = get_backend("cuda")
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)
    weight = gpu.asarray(np.asarray(0.25, np.float32))
    for place in (put, put_in_conv_layout):
        a, b = place(gpu, x), place(gpu, x)
        mask = gpu.map("greater", a, gpu.map("negative", b))
        before, launched_before = dict(fake_cupy.counts), dict(launched)
        results = [
            gpu.relu(a), gpu.relu_grad(a, b), gpu.sigmoid(a), gpu.rsqrt(a), gpu.erf(a),
            gpu.gelu(a, False), gpu.gelu(a, True), gpu.round_decimals(a, 2),
            gpu.lerp(a, b, weight), gpu.select(mask, a, b),
        ]  # fmt: skip
        assert all(each.strides == a.strides for each in results)
        for name in KERNELS:
            assert launched.get(name, 0) - launched_before.get(name, 0) == 1, name
        after = {name: n - before[name] for name, n in fake_cupy.counts.items()}
        assert after.pop("launch", 10) == 10
        assert not any(after.values()), after


NUMBERS = {
    "leaky_relu": (0.1,), "hardshrink": (0.5,), "softshrink": (0.5,), "elu": (1.0, 1.0, 1.0),
    "selu": (1.67, 1.05, 1.0), "celu": (2.0, 1.0, 0.5), "softplus": (2.0, 1.0),
    "hardtanh": (-1.0, 0.5), "relu6": (0.0, 6.0), "threshold": (0.1, 20.0),
}  # fmt: skip


@floats
@pytest.mark.parametrize("name", GRADIENTS)
def test_activations(gpu, name, dtype):
    """The CPU's, in the order of what they are given; nothing is copied to or from the host."""
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(dtype)
    g, numbers = x[::-1].copy() + dtype(1), NUMBERS.get(name, ())
    counts = getattr(gpu.xp, "counts", {})  # of the stand-in
    eps = np.finfo(dtype).eps
    for place in (put, put_in_conv_layout):
        on_gpu, grad = place(gpu, x), place(gpu, g)
        gpu.unit_grad(name, grad, on_gpu, numbers)  # numbers are on the GPU from now on
        before = dict(counts)
        made = [gpu.unit_grad(name, grad, on_gpu, numbers)]
        wanted = [CPU.unit_grad(name, g, x, numbers)]
        if name in VALUES:
            made.append(gpu.unit(name, on_gpu, numbers))
            wanted.append(CPU.unit(name, x, numbers))
        assert all(counts[n] == before[n] for n in ("sync", "d2h", "h2d") if n in before)
        for ours, theirs in zip(made, wanted, strict=True):
            assert ours.strides == on_gpu.strides
            np.testing.assert_allclose(gpu.to_numpy(ours), theirs, rtol=8 * eps, atol=8 * eps)
