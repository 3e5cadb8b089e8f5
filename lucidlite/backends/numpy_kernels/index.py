"""Taking and adding at indices on the CPU: by the number of each element in memory.

NumPy adds at one vector of places several times faster than at rows, or at several arrays of
indices, and one after another as there: to the same bits.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.index import IndexKernels

_SMALL = 256  # elements below which one call beats several
_BLOCK = 1 << 15  # places worked out at a time, so that they stay in the cache


class NumPyIndex(IndexKernels):
    """IndexKernels by places, and where a ufunc has ``at`` for every dtype."""

    def take(self, array: Array, key: tuple[Any, ...]) -> Array:
        found = _span(key, array.shape)
        if found is None or found[1] - found[0] != 1 or not array.flags.c_contiguous:
            return super().take(array, key)
        return np.asarray(array.take(key[found[0]], found[0]))

    def _add_at(self, out: Array, key: Any, values: Array) -> None:
        span = _span(key, out.shape) if values.size >= _SMALL else None
        if span is None:
            super()._add_at(out, key, values)
        else:
            _add_rows(out, key, span, values)

    def gather(self, array: Array, dim: int, index: Array) -> Array:
        if index.size < _SMALL or not array.flags.c_contiguous:
            return super().gather(array, dim, index)
        return np.asarray(array.reshape(-1).take(_places(array.shape, dim, index)))

    def scatter_add(self, array: Array, dim: int, index: Array, values: Array) -> Array:
        if index.size < _SMALL:
            return super().scatter_add(array, dim, index, values)
        out, places = array.copy(), _places(array.shape, dim, index)
        np.add.at(out.reshape(-1), places.reshape(-1), values.reshape(-1))
        return out

    def scatter_put(self, array: Array, dim: int, index: Array, values: Array) -> Array:
        if index.size < _SMALL:
            return super().scatter_put(array, dim, index, values)
        out = array.copy()
        out.reshape(-1)[_places(array.shape, dim, index)] = values
        return out

    def fold_at(self, name: str, array: Array, dim: int, index: Array, values: Array) -> Array:
        half = array.dtype == np.float16
        out = array.astype(np.float32, order="C") if half else array.copy()
        places, values = _places(array.shape, dim, index), values.astype(out.dtype, copy=False)
        getattr(np, name).at(out.reshape(-1), places.reshape(-1), values.reshape(-1))
        return out.astype(array.dtype) if half else out


def _span(key: Any, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """From which dim to which an index is arrays of integers, everything along the others.

    None where it is anything else.
    """
    if not isinstance(key, tuple) or len(key) > len(shape):
        return None
    dims = []
    for dim, item in enumerate(key):
        if hasattr(item, "dtype"):
            if item.dtype.kind not in "iu" or not hasattr(item, "reshape"):
                return None
            dims.append(dim)
        elif not isinstance(item, slice) or item.indices(shape[dim]) != (0, shape[dim], 1):
            return None
    if not dims or dims[-1] - dims[0] != len(dims) - 1:
        return None
    return dims[0], dims[-1] + 1


def _add_rows(out: Array, key: Any, span: tuple[int, int], values: Array) -> None:
    """Add ``values`` to the rows that arrays name in consecutive dims of a C-contiguous array."""
    first, end = span
    shape = out.shape
    outer, rows, inner = (prod(part) for part in (shape[:first], shape[first:end], shape[end:]))
    row: Any = 0
    for item, size in zip(key[first:end], shape[first:end], strict=True):
        item = item.astype(np.int64, copy=False)
        if item.size and item.min() < 0:
            item = np.where(item < 0, item + size, item)
        row = row * size + item
    wanted = (*shape[:first], *row.shape, *shape[end:])
    if values.shape != wanted:
        values = np.broadcast_to(values, wanted)
    row = row.reshape(-1)
    if outer > 1:
        row = (np.arange(0, outer * rows, rows)[:, None] + row).reshape(-1)
    flat, values = out.reshape(-1), values.reshape(row.size, inner)
    if inner == 1:
        np.add.at(flat, row, values.reshape(-1))
        return
    within, step = np.arange(inner), max(1, _BLOCK // max(inner, 1))
    row *= inner
    for begin in range(0, row.size, step):
        places = row[begin : begin + step, None] + within
        np.add.at(flat, places.reshape(-1), values[begin : begin + step].reshape(-1))


def _places(shape: tuple[int, ...], dim: int, index: Array) -> Array:
    """The number, in C order of ``shape``, of each element that ``index`` names along ``dim``."""
    places: Any = None
    step = 1
    for d in reversed(range(len(shape))):
        if d == dim:
            part = index.astype(np.int64, copy=False) * step if step > 1 else index
        else:
            ones = [1] * len(shape)
            ones[d] = index.shape[d]
            part = np.arange(0, index.shape[d] * step, step).reshape(ones)
        places = part if places is None else places + part
        step *= shape[d]
    return places
