"""What tensor(), as_tensor() and their kin read: values, dtypes, and what they refuse."""

from __future__ import annotations

import array
import collections

import numpy as np
import pytest
from agreement import agree

import lucidlite

DATA = {
    "int": 1,
    "float": 1.5,
    "bool": True,
    "nan": float("nan"),
    "empty": [],
    "empty rows": [[], []],
    "deep empty": [[[]]],
    "ints": [1, 2],
    "ints and floats": [1, 2.0],
    "bools": [True, False],
    "bools and ints": [True, 2],
    "bools and floats": [True, 2.5],
    "rows": [[1, 2], [3, 4]],
    "tuples": ((1, 2), [3, 4]),
    "range": range(3),
    "ranges": [range(2), range(2)],
    "deque": collections.deque([1, 2]),
    "array": array.array("f", [1, 2]),
    "wide": 2**40,
    "too wide": 2**63,
    "ragged": [[1, 2], [3]],
    "ragged first": [[1], [2, 3]],
    "string": "abc",
    "strings": ["a"],
    "string later": [1, "a"],
    "bytes": b"x",
    "none": None,
    "nones": [1, None],
    "set": {1},
    "dict": {1: 2},
    "class": float,
    "generator": iter([1, 2]),
    "float32 scalar": np.float32(1.5),
    "float64 scalar": np.float64(1.5),
    "int8 scalar": np.int8(3),
    "bool scalar": np.bool_(True),
    "float64 scalars": [np.float64(1), np.float64(2)],
    "mixed scalars": [np.float32(1), np.float64(2)],
    "int32 scalar and int": [np.int32(1), 2],
    "int16 array": np.array([1, 2], np.int16),
    "float32 array": np.ones((2, 0), np.float32),
    "zero-dim array": np.array(1.5),
    "rows that are arrays": [np.array([1, 2]), np.array([3, 4])],
    "arrays of two dtypes": [np.array([1, 2]), np.array([3.5, 4])],
    "array beside a list": [np.array([1.5]), [2]],
    "string array": np.array(["a"]),
}
DTYPES = [None, "float32", "float16", "float64", "int64", "uint8", "bool"]
# PyTorch reads NumPy scalars as integers only where they are; here they convert as arrays do.
CONVERTED = {"float32 scalar", "bool scalar", "mixed scalars", "float64 scalars"}


@pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", DATA)
def test_read_as_in_pytorch(name, dtype):
    if name in CONVERTED and dtype in ("int64", "uint8", "bool"):
        pytest.skip("NumPy scalars convert here")

    def script(T):
        kind = None if dtype is None else getattr(T, dtype)
        return T.tensor(DATA[name], dtype=kind)

    agree(script)


@pytest.mark.parametrize("value", [256, -1, -300, 1e10, 300.7, -1.5, float("inf"), 2**40])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "float16"])
def test_numbers_that_do_not_fit_as_in_pytorch(value, dtype):
    agree(lambda T: T.tensor([value], dtype=getattr(T, dtype)))
    agree(lambda T: T.full((2,), value, dtype=getattr(T, dtype)))


def test_dtypes_inferred():
    kinds = {name: lucidlite.tensor(DATA[name]).dtype for name in ("ints", "bools", "empty")}
    assert kinds == {
        "ints": lucidlite.int64,
        "bools": lucidlite.bool,
        "empty": lucidlite.float32,
    }
    assert lucidlite.tensor([np.float32(1), 2]).dtype is lucidlite.float32
    assert lucidlite.tensor(1.5, dtype=float).dtype is lucidlite.float64


def test_tensor_copies_and_as_tensor_shares():
    host = np.zeros(2)
    copied, shared = lucidlite.tensor(host), lucidlite.as_tensor(host)
    host[0] = 5
    assert copied.tolist() == [0.0, 0.0]
    assert shared.tolist() == [5.0, 0.0]
    assert lucidlite.as_tensor(shared) is shared


def test_a_sequence_that_holds_itself():
    data: list[object] = []
    data.append(data)
    with pytest.raises(ValueError, match="a sequence that holds itself"):
        lucidlite.tensor(data)


def test_complex_numbers_are_refused():
    for data in (1j, [1j], np.array([1j])):
        with pytest.raises(TypeError, match="complex"):
            lucidlite.tensor(data)


RANGES = [
    (5,), (0,), (2, 5), (5, 2, -1), (0, 1, 0.1), (0, 1, 0.3), (1, 1.3, 0.1), (0, 1, 1 / 3), (2.5,),
    (0.5, 3), (10, 0, -3), (0, 5, 0), (0, -5), (float("nan"),), (0, float("inf")), (3, 3), (-3,),
    (0, 10, 0.7), (-1, 1, 0.2),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [None, "float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("limits", RANGES)
def test_arange_as_in_pytorch(limits, dtype):
    if dtype == "int64" and limits[2:] and 0 < limits[2] < 1:
        pytest.skip("PyTorch raises ValueError for a step that becomes 0")
    agree(lambda T: T.arange(*limits, dtype=None if dtype is None else getattr(T, dtype)))


@pytest.mark.parametrize("ends", [(0, 1), (1, 0), (-3, 7), (0.5, 0.5), (0, float("inf"))])
@pytest.mark.parametrize("steps", [0, 1, 2, 5, 11, -1])
def test_linspace_as_in_pytorch(ends, steps):
    agree(lambda T: T.linspace(*ends, steps))
    if ends[1] != float("inf"):
        agree(lambda T: T.linspace(*ends, steps, dtype=T.int64))
