"""Taking and adding at indices on a GPU (or its stand-in), against NumPy's backend."""

import cupy_values as cases
import numpy as np
import pytest

import lucidlite
from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels import index as cupy_index

CPU = get_backend("cpu")
seeds = pytest.mark.parametrize("seed", cases.SEEDS)
DTYPES = (*cases.FLOATS, np.int64)


@pytest.fixture
def gpu(cuda):
    return get_backend(cuda)


@pytest.fixture(params=["links", "sorted"])
def ways(request, monkeypatch):
    """Equal indices linked, or sorted; columns by threads, or by the number of each place."""
    if request.param == "sorted":
        monkeypatch.setattr(cupy_index, "MOST_LINKED", 0)
        monkeypatch.setattr(cupy_index, "SHORT", 0)


def wide(array):
    """What sums are compared with: float16 rounds once at the end."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def same(found, expected, dtype):
    if np.dtype(dtype).kind == "f":
        assert found.dtype == dtype
        cases.close(found, expected, dtype, 4)
    else:
        np.testing.assert_array_equal(found.get(), expected)


def values(rng, shape, dtype):
    return (rng.standard_normal(shape) * 8).astype(dtype)


def a_key(rng, shape):
    """An index of integer arrays, and slices, for an array of ``shape``."""
    kind = rng.integers(4)
    dim = int(rng.integers(len(shape)))
    sizes = [(), (3,), (40,), (2, 4)][rng.integers(4)]

    def index(d, like=sizes):
        return rng.integers(-shape[d], shape[d], like)

    if kind < 2:
        key = [slice(None)] * dim + [index(dim)]
        return tuple(key + [slice(None)] * (len(shape) - dim - 1) if rng.integers(2) else key)
    if kind == 2:
        return (..., index(-1), None)
    return (index(0), *(index(d) for d in range(1, dim)), slice(0, 2))


@pytest.mark.usefixtures("ways")
@seeds
def test_take_and_add(seed, gpu):
    rng = np.random.default_rng(seed)
    dtype = DTYPES[rng.integers(4)]
    shape = (*cases.a_shape(rng, 1)[:3], 4)
    array, key = values(rng, shape, dtype), a_key(rng, shape)
    there = tuple(gpu.asarray(i) if isinstance(i, np.ndarray) else i for i in key)
    device = cases.on_device(gpu, rng, array)
    taken = array[key]
    np.testing.assert_array_equal(gpu.take(device, there).get(), taken)
    added = values(rng, taken.shape, dtype)
    expected = CPU.index_add(shape, wide(added).dtype, key, wide(added))
    found = gpu.index_add(shape, np.dtype(dtype), there, cases.on_device(gpu, rng, added))
    same(found, expected, dtype)
    expected = CPU.index_add_to(wide(array), key, wide(added))
    found = gpu.index_add_to(device, there, gpu.asarray(added))
    same(found, expected, dtype)
    np.testing.assert_array_equal(device.get(), array)
    if dtype is not np.int64:
        cases.same_bits(gpu.index_add_to(device, there, gpu.asarray(added)), found)


@pytest.mark.usefixtures("ways")
@seeds
def test_gather_and_scatter(seed, gpu):
    rng = np.random.default_rng(seed)
    dtype = DTYPES[rng.integers(4)]
    shape = cases.a_shape(rng, 1)
    dim = int(rng.integers(len(shape)))
    wanted = [int(rng.integers(1, n + 1)) if rng.integers(2) else n for n in shape]
    wanted[dim] = int(rng.choice([1, 3, 20]))
    index = rng.integers(0, shape[dim], wanted)
    array = values(rng, shape, dtype)
    device, places = cases.on_device(gpu, rng, array), cases.on_device(gpu, rng, index)
    expected = CPU.gather(array, dim, index)
    np.testing.assert_array_equal(gpu.gather(device, dim, places).get(), expected)
    added = values(rng, index.shape, dtype)
    expected = CPU.scatter_add(wide(array), dim, index, wide(added))
    there = cases.on_device(gpu, rng, added)
    same(gpu.scatter_add(device, dim, places, there), expected, dtype)
    np.testing.assert_array_equal(device.get(), array)


def test_masks_and_slices(gpu):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    mask = x > 2
    device = gpu.asarray(x)
    assert gpu.take(device, (gpu.asarray(mask),)).get().tolist() == [3.0, 4.0, 5.0]
    found = gpu.index_add((2, 3), x.dtype, (gpu.asarray(mask),), gpu.asarray(x[mask]))
    np.testing.assert_array_equal(found.get(), np.where(mask, x, 0))
    found = gpu.index_add((2, 4), x.dtype, (slice(None), slice(0, 3)), device)
    np.testing.assert_array_equal(found.get(), np.pad(x, ((0, 0), (0, 1))))


def test_nothing(gpu):
    index = gpu.asarray(np.zeros(0, np.int64))
    x = gpu.asarray(np.ones((2, 3), np.float32))
    assert gpu.take(x, (index,)).shape == (0, 3)
    none = gpu.asarray(np.zeros((0, 3), np.float32))
    assert gpu.index_add((2, 3), x.dtype, (index,), none).get().tolist() == [[0.0] * 3] * 2
    places = gpu.asarray(np.zeros((0, 3), np.int64))
    assert gpu.gather(x, 0, places).shape == (0, 3)
    np.testing.assert_array_equal(gpu.scatter_add(x, 0, places, none).get(), x.get())


def test_one_place_many_times(gpu):
    """The order of a sum is that of the indices: float32 sums have the bits of a plain loop."""
    rng = np.random.default_rng(0)
    index, added = rng.integers(0, 3, 500), rng.standard_normal(500).astype(np.float32)
    expected = np.zeros(3, np.float32)
    for i, value in zip(index, added, strict=True):
        expected[i] += value
    found = gpu.index_add((3,), np.dtype(np.float32), (gpu.asarray(index),), gpu.asarray(added))
    np.testing.assert_array_equal(found.get(), expected)


OPS = {
    "getitem": lambda x, i: x[i],
    "two indices": lambda x, i: x[i, i],
    "column": lambda x, i: x[:, i],
    "index_select": lambda x, i: lucidlite.index_select(x, 1, i),
    "gather": lambda x, i: lucidlite.gather(x, 1, i.reshape(1, -1).expand(4, 5)),
    "scatter_add": lambda x, i: lucidlite.scatter_add(x, 1, i.expand(3, 5), x[:3] * 2),
    "take_along_dim": lambda x, i: lucidlite.take_along_dim(x, i.reshape(1, -1), 1),
    "max": lambda x, i: x.max(1)[0] + i[0],
    "sort": lambda x, i: x.sort(0)[0] * i,
}


@pytest.mark.parametrize("name", OPS)
def test_the_ops(name, cuda):
    """As on the CPU, with gradients of first and second order."""
    start = np.random.default_rng(1).standard_normal((4, 5))
    results = []
    for device in ("cpu", cuda):
        x = lucidlite.tensor(start, device=device, requires_grad=True)
        index = lucidlite.tensor([3, 0, 3, 2, 1], device=device)
        out = OPS[name](x, index)
        grad = lucidlite.autograd.grad((out * out).sum(), x, create_graph=True)[0]
        second = lucidlite.autograd.grad((grad * grad).sum(), x)[0]
        results.append([t.detach().cpu().numpy() for t in (out, grad, second)])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_step_waits_for_nothing(fake_cupy):
    table = lucidlite.randn(7, 3, device="cuda").requires_grad_()
    words = lucidlite.tensor([1, 6, 1, 0], device="cuda")
    columns = lucidlite.tensor([[1], [0], [2], [0]], device="cuda")
    before = dict(fake_cupy.counts)
    rows = table[words]
    rows = rows + lucidlite.index_select(table, 0, words)
    picked = rows.gather(1, columns)
    hot = lucidlite.nn.functional.one_hot(words, 7)
    (picked.sum() + (hot @ hot.t()).sum()).backward()
    assert {key: fake_cupy.counts[key] - before[key] for key in ("d2h", "sync")} == {
        "d2h": 0, "sync": 0
    }  # fmt: skip
