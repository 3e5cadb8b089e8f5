"""Kernels of the CPU that take and add at indices, and running extremes: those of the reference."""

import kernel_cases as cases
import numpy as np
import pytest

import lucidlite.backends.numpy_kernels.index as index
import lucidlite.backends.numpy_kernels.scan as scan

seeds = pytest.mark.parametrize("seed", range(200 if cases.ALL else 40))
CPU, REFERENCE = cases.CPU, cases.REFERENCE
DTYPES = (np.float32, np.float64, np.float16, np.int64, np.uint8)


@pytest.fixture(params=[0, 256], autouse=True)
def small(request, monkeypatch):
    """Small arrays are worked on as large ones, or left to the reference; in small blocks."""
    monkeypatch.setattr(index, "_SMALL", request.param)
    monkeypatch.setattr(index, "_BLOCK", 7)
    monkeypatch.setattr(scan, "_WIDE", 4)


def an_array(rng):
    shape = tuple(int(n) for n in rng.integers(1, 7, rng.integers(1, 5)))
    array = (rng.standard_normal(shape) * 4).astype(DTYPES[rng.integers(len(DTYPES))])
    return array.T if rng.random() < 0.3 else array


def a_key(rng, shape):
    """Arrays of integers in consecutive dims, of shapes that broadcast, some counted from behind"""
    first = int(rng.integers(len(shape)))
    key = [slice(None)] * first
    sizes = tuple(int(n) for n in rng.integers(1, 6, rng.integers(0, 3)))
    for dim in range(first, int(rng.integers(first + 1, len(shape) + 1))):
        item = np.asarray(rng.integers(-shape[dim], shape[dim], sizes))
        item = item.astype(np.int32) if rng.random() < 0.2 else item
        key.append(item[:1] if sizes and rng.random() < 0.2 else item)
    if first and rng.random() < 0.1:
        key[0] = slice(0, 1)
    return tuple(key)


def alike(ours, theirs):
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@seeds
def test_at_an_index(seed):
    rng = np.random.default_rng(seed)
    array = an_array(rng)
    key = a_key(rng, array.shape)
    taken = np.asarray(REFERENCE.take(array, key))
    alike(CPU.take(array, key), taken)
    sizes = taken.shape if rng.random() < 0.8 else (1,) * taken.ndim
    values = (rng.standard_normal(sizes) * 4).astype(array.dtype)
    args = array.shape, array.dtype, key, values
    alike(CPU.index_add(*args), REFERENCE.index_add(*args))
    alike(CPU.index_add_to(array, key, values), REFERENCE.index_add_to(array, key, values))


@seeds
def test_along_a_dim(seed):
    rng = np.random.default_rng(seed)
    array = an_array(rng)
    dim = int(rng.integers(array.ndim))
    sizes = [int(rng.integers(1, n + 1)) for n in array.shape]
    sizes[dim] = int(rng.integers(1, 8))
    places = rng.integers(0, array.shape[dim], sizes)
    places = places.astype(np.int32) if rng.random() < 0.2 else places
    values = (rng.standard_normal(sizes) * 4).astype(array.dtype)
    alike(CPU.gather(array, dim, places), REFERENCE.gather(array, dim, places))
    for put in (values, np.asarray(3, array.dtype)):
        args = array, dim, places, put
        alike(CPU.scatter_put(*args), REFERENCE.scatter_put(*args))
    args = array, dim, places, values
    alike(CPU.scatter_add(*args), REFERENCE.scatter_add(*args))
    with np.errstate(all="ignore"):
        for name in ("add", "multiply", "maximum", "minimum"):
            alike(CPU.fold_at(name, *args), REFERENCE.fold_at(name, *args))


@seeds
@pytest.mark.parametrize("larger", [True, False])
def test_running_extremes(seed, larger):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 9, rng.integers(1, 4)))
    array = rng.integers(0, 4, shape).astype([*DTYPES, np.bool_][rng.integers(6)])
    if array.dtype.kind == "f":
        for value in (np.nan, -0.0, np.inf, -np.inf):
            array[rng.random(shape) < 0.05] = value
    axis = int(rng.integers(len(shape)))
    found = CPU.running_extreme(array, axis, larger)
    alike(found, REFERENCE.running_extreme(array, axis, larger))
    empty = CPU.running_extreme(array[:0], axis, larger)
    assert (empty.shape, empty.dtype) == (array[:0].shape, np.int64)
