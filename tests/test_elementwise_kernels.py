"""Elementwise kernels of the CPU: bit for bit those of the reference, wherever they are cut."""

import kernel_cases as cases
import numpy as np
import pytest

import lucidlite
import lucidlite.backends.numpy_kernels.elementwise as elementwise
import lucidlite.backends.numpy_kernels.special as special
import lucidlite.backends.numpy_kernels.units as units
from lucidlite import threads
from lucidlite.backends.base import is_conv_layout
from lucidlite.backends.kernels.chains import GRADIENTS, VALUES

seeds = pytest.mark.parametrize("seed", cases.SEEDS)
CPU, REFERENCE = cases.CPU, cases.REFERENCE


@pytest.fixture(params=[1, 2, 3, 4], autouse=True)
def shared(request, monkeypatch):
    """Every array is large: shared by so many threads, in small blocks."""
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    monkeypatch.setattr(threads, "WORTH_SHARING", 1)
    monkeypatch.setattr(elementwise, "WORTH_SHARING", 1)
    monkeypatch.setattr(special, "_SMALL", 0)
    monkeypatch.setattr(special, "BLOCK", 5)
    monkeypatch.setattr(units, "BLOCK", 5)
    yield request.param
    threads.set_num_threads(before)


def same_bits(a, b):
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    if a.dtype.kind == "f":  # any NaN is as good as another
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        zero = a.dtype.type(0)
        a, b = np.where(np.isnan(a), zero, a), np.where(np.isnan(b), zero, b)
        np.testing.assert_array_equal(np.signbit(a), np.signbit(b))
    np.testing.assert_array_equal(a, b)


def special_values(rng, shape, dtype):
    """Values in some memory order, with zeros of both signs, infinities and NaN among them."""
    array = np.array(cases.values(rng, shape, dtype), order="K")
    for value in (0.0, -0.0, np.inf, -np.inf, np.nan):
        array[rng.random(shape) < 0.15] = value
    array.flags.writeable = False
    return array


def a_shape(rng):
    return tuple(int(rng.integers(low, 8)) for low in (0, 1, 1, 1))


def broadcast_to(rng, array):
    """The array, or one of its dims cut to a single element, or a 0-dim array."""
    if rng.random() < 0.5 or not array.size:
        return array
    if rng.random() < 0.3:
        return array[(0,) * array.ndim].reshape(())
    axis = int(rng.integers(array.ndim))
    return array.take([0], axis=axis)


@seeds
@pytest.mark.parametrize("name", ["add", "divide", "maximum", "less", "exp", "tanh", "isnan"])
def test_map(seed, name):
    rng = np.random.default_rng(seed)
    shape, dtype = a_shape(rng), cases.a_dtype(rng)
    arrays = [special_values(rng, shape, dtype)]
    if getattr(np, name).nin == 2:
        arrays.append(broadcast_to(rng, special_values(rng, shape, dtype)))
        if rng.integers(2):
            arrays.reverse()
    with np.errstate(all="ignore"):
        ours, theirs = CPU.map(name, *arrays), REFERENCE.map(name, *arrays)
    same_bits(ours, theirs)
    assert is_conv_layout(ours) == is_conv_layout(theirs)


@seeds
def test_map_into_an_array(seed):
    rng = np.random.default_rng(seed)
    shape, dtype = a_shape(rng), cases.a_dtype(rng)
    a, b = special_values(rng, shape, dtype), broadcast_to(rng, special_values(rng, shape, dtype))
    with np.errstate(all="ignore"):
        expected = a + b
    into = np.empty_like(cases.values(rng, shape, dtype))
    assert CPU.map("add", a, b, out=into) is into
    same_bits(into, expected)
    into = a.copy(order="K")
    assert CPU.map("add", into, b, out=into) is into
    same_bits(into, expected)


def test_map_into_its_own_neighbourhood():
    x = np.arange(40, dtype=np.float64)
    expected = x[1:] + x[:-1]
    CPU.map("add", x[1:], x[:-1], out=x[1:])
    np.testing.assert_array_equal(x[1:], expected)


def test_map_with_other_results_and_operands():
    x = np.arange(24, dtype=np.int32).reshape(4, 6)
    same_bits(CPU.map("divide", x, np.asarray(4, np.int32)), x / 4)
    same_bits(CPU.map("add", x, x.T.copy().T), x + x)
    same_bits(CPU.map("add", x[:, :1], x[:1]), x[:, :1] + x[:1])
    same_bits(CPU.map("multiply", x[0], np.asarray(2.5, np.float32)), x[0] * np.float32(2.5))
    same_bits(CPU.map("negative", np.ones((), np.float32)), np.asarray(-1, np.float32))
    flipped = x[::-1, ::2]
    same_bits(CPU.map("square", flipped), flipped**2)
    with pytest.raises(ValueError, match="broadcast"):
        CPU.map("add", x, x[:, :5])


@seeds
def test_relu_and_its_gradient(seed):
    rng = np.random.default_rng(seed)
    shape, dtype = a_shape(rng), cases.a_dtype(rng)
    x, g = special_values(rng, shape, dtype), special_values(rng, shape, dtype)
    y = CPU.relu(x)
    same_bits(y, REFERENCE.relu(x))
    assert is_conv_layout(y) == is_conv_layout(x) or not y.size
    same_bits(CPU.relu_grad(g, y), REFERENCE.relu_grad(g, y))
    if g.size:
        spread = np.broadcast_to(g[:1, :1, :1, :1], shape)
        same_bits(CPU.relu_grad(spread, y), REFERENCE.relu_grad(spread, y))
    whole = rng.integers(-3, 4, shape)
    same_bits(CPU.relu(whole), REFERENCE.relu(whole))


@pytest.mark.parametrize("small", [0, 4096])
def test_relu_keeps_the_sign_of_zero_and_nan(small, monkeypatch):
    monkeypatch.setattr(special, "_SMALL", small)
    x = np.array([-0.0, 0.0, -1.0, np.nan, np.inf, -np.inf] * 3, np.float32)
    y = CPU.relu(x)
    if not small and not np.signbit(np.clip(x, np.float32(0), np.float32(np.inf))[0]):
        pytest.skip("this NumPy's clip makes 0. of -0.")
    same_bits(y, np.array([-0.0, 0.0, 0.0, np.nan, np.inf, 0.0] * 3, np.float32))
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    same_bits(y, torch.relu(torch.from_numpy(x)).numpy())


class Quiet:
    """The reference, without warnings."""

    def __getattr__(self, name):
        return np.errstate(all="ignore")(getattr(REFERENCE, name))


QUIET = Quiet()
NUMBERS = {
    "leaky_relu": [(0.1,), (2.0,), (-0.5,), (0.0,)], "hardshrink": [(0.5,), (-1.0,)],
    "softshrink": [(0.5,)], "elu": [(1.0, 1.0, 1.0), (-0.5, 1.0, 1.0)],
    "selu": [(1.6732632423543772, 1.0507009873554805, 1.0)], "celu": [(2.0, 1.0, 0.5)],
    "softplus": [(1.0, 20.0), (2.0, 1.0), (-1.0, 20.0)], "hardtanh": [(-1.0, 0.5)],
    "relu6": [(0.0, 6.0)], "threshold": [(0.1, 20.0)],
}  # fmt: skip


@seeds
def test_units(seed):
    """In blocks, in any order, over the gradient's memory or not: the chain of the reference."""
    rng = np.random.default_rng(seed)
    shape, dtype = a_shape(rng), cases.a_dtype(rng)
    x, g = special_values(rng, shape, dtype), special_values(rng, shape, dtype)
    for name in GRADIENTS:
        numbers = NUMBERS.get(name, [()])
        numbers = numbers[int(rng.integers(len(numbers)))]
        if name in VALUES:
            y, expected = (k.unit(name, x, numbers) for k in (CPU, QUIET))
            same_bits(y, expected)
            assert is_conv_layout(y) == is_conv_layout(x) or not y.size
        same_bits(*(k.unit_grad(name, g, x, numbers) for k in (CPU, QUIET)))
        own = g.copy(order="K")
        CPU.unit_grad(name, own, x, numbers, own)
        if own.strides == x.strides:
            same_bits(own, QUIET.unit_grad(name, g, x, numbers))
        if g.size:
            spread, one = np.broadcast_to(g[:1, :1, :1, :1], shape), (0, 0, 0, 0, ...)
            same_bits(*(k.unit_grad(name, spread, x, numbers) for k in (CPU, QUIET)))
            same_bits(*(k.unit_grad(name, g[one], x[one], numbers) for k in (CPU, QUIET)))


@pytest.mark.parametrize("dtype", [lucidlite.float32, lucidlite.float64])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_by_the_kernel_and_by_the_tape(name, dtype):
    """What is derived again under create_graph has the values of the kernel."""
    x = lucidlite.linspace(-25, 25, 401, dtype=dtype)
    x = lucidlite.cat([x, x / 10, lucidlite.tensor([0.0, 3.0, -3.0, 1.0, -1.0, 0.5], dtype=dtype)])
    g = lucidlite.linspace(-1, 2, len(x), dtype=dtype)
    functional = lucidlite.nn.functional
    op = getattr(functional, name.removesuffix("_tanh"))
    named = {"approximate": "tanh"} if name == "gelu_tanh" else {}
    args = {"threshold": (0.1, 20.0), "leaky_relu": (0.1,), "softplus": (2.0, 1.0)}.get(name, ())
    x.requires_grad_()
    y = op(x, *args, **named)
    quick, derived = (
        lucidlite.autograd.grad(y, x, g, retain_graph=True, create_graph=again)[0].detach().numpy()
        for again in (False, True)
    )
    eps = np.finfo(quick.dtype).eps
    np.testing.assert_allclose(quick, derived, rtol=8 * eps, atol=8 * eps)


@seeds
def test_select(seed):
    rng = np.random.default_rng(seed)
    shape, dtype = a_shape(rng), cases.a_dtype(rng)
    mask = broadcast_to(rng, np.array(cases.values(rng, shape, np.float32) > 0, order="K"))
    x, y = (broadcast_to(rng, special_values(rng, shape, dtype)) for _ in range(2))
    same_bits(CPU.select(mask, x, y), REFERENCE.select(mask, x, y))
    for zero in (0.0, -0.0):
        zero = np.asarray(zero, dtype)
        same_bits(CPU.select(mask, zero, y), REFERENCE.select(mask, zero, y))
        same_bits(CPU.select(mask, x, zero), REFERENCE.select(mask, x, zero))
    whole = np.arange(mask.size, dtype=np.int64).reshape(mask.shape)
    same_bits(CPU.select(mask, whole, -whole), REFERENCE.select(mask, whole, -whole))


@pytest.mark.parametrize("p", [0.0, 2**-30, 0.1, 0.5, 0.9, 1 - 2**-24, 1 - 2**-25, 1.0])
def test_chances_are_those_of_uniform_numbers(p):
    for n in (0, 1, 6, 300_001):
        first, second, third = (lucidlite.Generator().manual_seed(3) for _ in range(3))
        draws = second.uniform((n,))
        np.testing.assert_array_equal(first.chances((n,), p), draws >= p)
        assert first.get_state() == second.get_state()
        np.testing.assert_array_equal(draws, lucidlite.philox.unit_interval(third.raw(n), "f4"))


def test_dropout_has_one_mask_for_a_seed():
    x = lucidlite.ones(2, 30, 40, 50)
    lucidlite.manual_seed(1)
    kept = lucidlite.Generator().manual_seed(1).uniform(x.shape) >= 0.25
    y = lucidlite.nn.functional.dropout(x, 0.25)
    same_bits(y.numpy(), kept * np.float32(1 / 0.75))
    # Whatever the memory order of the input.
    image = lucidlite.from_numpy(CPU.to_conv_layout(x.numpy()))
    lucidlite.manual_seed(1)
    again = lucidlite.nn.functional.dropout(image, 0.25)
    same_bits(again.numpy(), y.numpy())
    assert is_conv_layout(again.array)
