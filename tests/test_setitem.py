"""What may be written where: values by kind of index, conversions and refusals, against PyTorch."""

from __future__ import annotations

import pytest
from agreement import agree

import lucidlite

KEYS = {
    "index": lambda T: T.tensor([0, 2]),
    "mask": lambda T: T.tensor([True, False, True]),
    "slice": lambda _: slice(0, 2),
    "int": lambda _: 1,
}
VALUES = {
    "number": lambda _: 7,
    "float": lambda _: 7.5,
    "int tensor": lambda T: T.tensor(1),
    "int vector": lambda T: T.tensor([1, 2]),
    "float64 tensor": lambda T: T.tensor(1.5, dtype=T.float64),
    "float64 vector": lambda T: T.tensor([1.5, 2.0], dtype=T.float64),
    "text": lambda _: "x",
    "list": lambda _: [1.0, 2.0],
    "None": lambda _: None,
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", VALUES)
def test_values_by_index(key, value):
    def script(T):
        x = T.zeros(3)
        x[KEYS[key](T)] = VALUES[value](T)
        return x

    agree(script)


@pytest.mark.parametrize("number", [300, -1, 2.7, float("nan"), True])
def test_numbers_into_uint8(number):
    def script(T):
        x = T.zeros(3, dtype=T.uint8)
        x[0] = number
        return x

    agree(script)


@pytest.mark.parametrize("number", [1, 1.7, "x"])
@pytest.mark.parametrize("method", ["fill_", "copy_"])
def test_numbers_everywhere(number, method):
    agree(lambda T: getattr(T.zeros(2, dtype=T.int64), method)(number))


def test_an_empty_tensor_takes_anything():
    x = lucidlite.zeros(0, 3)
    x += 1
    x[:] = 2.0
    assert x.shape == (0, 3)
    assert x._version == 2
