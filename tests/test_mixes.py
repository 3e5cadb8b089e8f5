"""The tables that resize and pad an axis: weights, and transposes that are matrices' transposes."""

import numpy as np
import pytest

from lucidlite.backends import cpu
from lucidlite.mixes import Mix, bins, resizing

TABLES = {
    "reflect": Mix(4, ((2, 1, 0, 1, 2, 3, 2),)),
    "crop": Mix(5, ((1, 2),)),
    "nearest": resizing("nearest", 3, 8, None, False, False, True),
    "exact": resizing("nearest-exact", 8, 3, None, False, False, True),
    "linear": resizing("linear", 4, 7, None, False, False, True),
    "corners": resizing("linear", 4, 9, None, True, False, True),
    "cubic": resizing("cubic", 5, 11, 2.2, False, False, True),
    "smooth": resizing("lanczos", 12, 5, None, False, True, True),
    "bins": bins(7, 3),
    "one": resizing("linear", 1, 6, None, False, False, True),
}


def matrix(table):
    """(outputs, inputs): what the table does to a vector."""
    dense = np.zeros((len(table.places[0]), table.inputs))
    for places, weights in zip(table.places, table.weights, strict=True):
        for i, at in enumerate(places):
            dense[i, at] += 1.0 if weights is None else weights[i]
    return dense


@pytest.mark.parametrize("name", TABLES)
def test_the_transpose_is_the_matrix_transposed(name):
    dense = matrix(TABLES[name])
    np.testing.assert_array_equal(matrix(TABLES[name].transposed()), dense.T)
    np.testing.assert_array_equal(matrix(TABLES[name].transposed().transposed()), dense)
    if name != "crop":
        np.testing.assert_allclose(dense.sum(axis=1), 1.0)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5), (1, 2, 3, 2, 2)])
def test_the_kernel_multiplies_by_the_matrix(name, shape):
    table = TABLES[name]
    for axis in range(len(shape)):
        sizes = list(shape)
        sizes[axis] = table.inputs
        x = np.random.default_rng(axis).standard_normal(sizes)
        expected = np.moveaxis(np.tensordot(matrix(table), x, (1, axis)), 0, axis)
        np.testing.assert_allclose(cpu.mix(x, table, axis), expected, rtol=1e-12, atol=1e-12)


def test_a_size_that_stays_is_no_work():
    assert resizing("linear", 5, 5, None, False, False, True).same
    assert resizing("nearest", 5, 5, None, False, False, True).same
    assert resizing("cubic", 5, 5, None, False, True, True).same
    assert not TABLES["reflect"].same
