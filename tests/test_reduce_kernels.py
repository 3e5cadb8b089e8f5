"""The CPU's sums of many elements: against float64, in any memory order, for any thread count."""

import kernel_cases as cases
import numpy as np
import pytest

from lucidlite import threads
from lucidlite.backends.numpy_kernels import reduce


@pytest.fixture
def small_rows(monkeypatch):
    """Rows and blocks that cut even small arrays, worth sharing; the thread count is put back."""
    before = threads.get_num_threads()
    for name, value in {"ROW": 8, "ROWS": 3, "LEAST": 1}.items():
        monkeypatch.setattr(reduce, name, value)
    monkeypatch.setattr(threads, "WORTH_SHARING", 1)
    yield
    threads.set_num_threads(before)


def check(array, axis, count):
    wide = array.astype(np.float64)
    limit = 2e-6 if array.dtype == np.float32 else 1e-14
    size = np.abs(wide).sum(axis, keepdims=True)
    for keepdims in (False, True):
        for kernel, want in ((cases.CPU.mean, wide.mean), (None, wide.sum)):
            if kernel is None:
                found = cases.CPU.reduce("sum", array, axis, keepdims)
                scale = size
            else:
                found, scale = kernel(array, axis, keepdims), size / count
            expected = want(axis, keepdims=keepdims)
            assert isinstance(found, np.ndarray)
            assert (found.shape, found.dtype) == (expected.shape, array.dtype)
            scale = scale if keepdims else scale.reshape(expected.shape)
            assert (np.abs(found - expected) <= limit * scale).all()


@pytest.mark.usefixtures("small_rows")
@pytest.mark.parametrize("axis", [(0, 1, 2, 3), (0, 2, 3), (2, 3), (3, 0, 2), (1,), (0,)])
@pytest.mark.parametrize("seed", cases.SEEDS)
def test_sums_and_means(seed, axis):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 9, 4))
    array = cases.values(rng, shape, (np.float32, np.float64)[rng.integers(2)])
    check(array, axis, int(np.prod([shape[d] for d in axis])))


@pytest.mark.usefixtures("small_rows")
@pytest.mark.parametrize("shape", [(1,), (7,), (8,), (100,), (5, 31), (3, 4, 5)])
def test_all_of_any_shape(shape):
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for seen in (array, array.T, array[::-1]):
        check(seen, tuple(range(array.ndim)), array.size)


@pytest.mark.usefixtures("small_rows")
def test_any_number_of_threads_gives_the_same_bits():
    rng = np.random.default_rng(1)
    image = cases.CPU.to_conv_layout(rng.standard_normal((6, 5, 9, 8)).astype(np.float32))
    results = set()
    for count in (1, 2, 3, 4):
        threads.set_num_threads(count)
        found = [cases.CPU.reduce("sum", image, axis) for axis in ((0, 1, 2, 3), (0, 2, 3))]
        results.add(tuple(a.tobytes() for a in found))
    assert len(results) == 1


def test_many_elements_lose_few_digits():
    rng = np.random.default_rng(2)
    array = rng.random((64, 16, 40, 40), np.float32)
    for seen in (array, cases.CPU.to_conv_layout(array)):
        for axis in ((0, 1, 2, 3), (0, 2, 3)):
            found = cases.CPU.reduce("sum", seen, axis)
            np.testing.assert_allclose(found, array.astype(np.float64).sum(axis), rtol=5e-7)


def test_not_numbers_and_other_reductions():
    array = np.ones((64, 16, 40, 40), np.float32)
    array[3, 4, 5, 6] = np.nan
    assert np.isnan(cases.CPU.reduce("sum", array, (0, 1, 2, 3)))
    assert np.isnan(cases.CPU.reduce("sum", array, (0, 2, 3))).tolist() == [
        c == 4 for c in range(16)
    ]
    assert cases.CPU.reduce("max", array[:2], (0, 1, 2, 3)) == 1
    whole = np.full((300, 300), 2**60, np.int64)
    assert cases.CPU.reduce("sum", whole, (0, 1)) == whole.sum()
