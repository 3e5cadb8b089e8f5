"""Sums of many elements on the CPU, along long runs of memory and over the threads.

Each block of rows is added up by itself, whoever does it, and the blocks in their order: the digits
do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array, hwnc
from lucidlite.backends.kernels.reduce import ReduceKernels
from lucidlite.backends.numpy_kernels.norm import repeats
from lucidlite.threads import cut, parallel

# Elements in a row of sums, and rows in a block.
ROW = 1 << 12
ROWS = 64
# Fewer elements are NumPy's.
LEAST = 1 << 15

# What NumPy's functions of these names come down to.
_REDUCTIONS: dict[str, Any] = {
    "sum": np.add.reduce,
    "prod": np.multiply.reduce,
    "max": np.maximum.reduce,
    "min": np.minimum.reduce,
    "all": np.logical_and.reduce,
    "any": np.logical_or.reduce,
}


class NumPyReduce(ReduceKernels):
    """What ``ReduceKernels`` has, for NumPy arrays."""

    def reduce(
        self, name: str, array: Array, axis: tuple[int, ...] | int | None, keepdims: bool = False
    ) -> Array:
        if name == "sum" and array.size >= LEAST and isinstance(axis, tuple):
            total = _total(array, axis)
            if total is not None:
                return total.reshape(_kept(array, axis)) if keepdims else total
        function = _REDUCTIONS.get(name)
        if function is None:
            return super().reduce(name, array, axis, keepdims)
        return np.asarray(function(array, axis=axis, keepdims=keepdims))

    def mean(self, array: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        if array.size >= LEAST and array.dtype.char in "fd":
            total = self.reduce("sum", array, axis, keepdims)
            return np.asarray(total / array.dtype.type(array.size // total.size))
        return super().mean(array, axis, keepdims)


def _kept(array: Array, axis: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([1 if d in axis else n for d, n in enumerate(array.shape)])


def _total(array: Array, axis: tuple[int, ...]) -> Array | None:
    """The sum over all axes, or over an image's but the channels'; None where NumPy is as fast."""
    if array.dtype.char not in "fd":
        return None
    if len(axis) == array.ndim:
        flat = _memory(array)
        if flat is None:
            return None
        even = flat.size // ROW * ROW
        sums = _sum_rows(flat[:even].reshape(-1, ROW))
        return np.asarray(np.add.reduce(sums, axis=None) + np.add.reduce(flat[even:]))
    if array.ndim == 4 and sorted(axis) == [0, 2, 3] and hwnc(array).flags.c_contiguous:
        c = array.shape[1]
        many = repeats(array.size // c, c)
        sums = _sum_rows(hwnc(array).reshape(-1, many * c))
        return np.add.reduce(sums.reshape(-1, c), axis=0, dtype=np.float64).astype(array.dtype)
    return None


def _memory(array: Array) -> Array | None:
    """All elements in the order of the memory they fill, None where that has gaps."""
    for seen in (array, array.T, hwnc(array) if array.ndim == 4 else array):
        if seen.flags.c_contiguous:
            return seen.reshape(-1)
    return None


def _sum_rows(rows: Array) -> Array:
    """The sum of every block of rows, one block a row."""
    count = -(-rows.shape[0] // ROWS)
    sums = np.empty((count, rows.shape[1]), rows.dtype)

    def part(span: tuple[int, int]) -> None:
        for number in range(*span):
            own = rows[number * ROWS : (number + 1) * ROWS]
            np.add.reduce(own, axis=0, out=sums[number])

    parallel(part, cut(count, ROWS * rows.shape[1]))
    return sums
