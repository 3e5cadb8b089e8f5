"""Matrix products on the CPU: large ones in tiles, over the threads.

OpenBLAS's digits depend on the shape it is given, so the tiles are cut by the shape alone: a result
is the same for any number of threads.
"""

from __future__ import annotations

from math import prod

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.matmul import Gradients, MatmulKernels
from lucidlite.threads import cut, parallel, take_blas

# Multiply-adds in a tile: about 0.1 ms of work.
TILE = 6 << 20
# Products of fewer are one call, whatever their operands' memory is like.
SMALL = 1 << 18
# The least rows or columns of a tile, and what they should be where there are plenty: narrow tiles
# read the other operand too often.
NARROWEST, WIDE = 64, 128
MOST_TILES = 8
# With no more rows a product with a transposed matrix is made turned round, (b.T @ a.T).T: where
# OpenBLAS packs the factors, above PACKED multiply-adds, it is slow at packing that one.
FEW_ROWS, PACKED = 64, 1_000_000
# A multiply-add takes about a tenth of the time of an element passed over.
COST = 10


def product(a: Array, b: Array, bias: Array | None = None) -> Array:
    """``a @ b`` (+ ``bias``, a value a column) of two matrices."""
    rows, inner = a.shape
    columns = b.shape[1]
    work = rows * columns * inner
    if work < 2 * TILE:
        if work > SMALL:
            take_blas()
            a, b = readable(a), readable(b)
        out = _times(a, b)
        return out if bias is None else np.add(out, bias, out)
    a, b = readable(a), readable(b)
    out = np.empty((rows, columns), a.dtype)
    across = columns >= rows
    spans = _spans(max(rows, columns), work)

    def some(part: tuple[int, int]) -> None:
        for first, end in spans[part[0] : part[1]]:
            own = slice(first, end)
            into = out[:, own] if across else out[own]
            _times(a if across else a[own], b[:, own] if across else b, into)
            if bias is not None:
                np.add(into, bias[own] if across and bias.size > 1 else bias, into)

    take_blas()
    parallel(some, cut(len(spans), TILE // COST))
    return out


def _times(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a @ b``, into ``out`` if there is one."""
    if a.shape[1] == 1:  # NumPy doesn't hand it to BLAS
        return np.multiply(a, b, out, order="C")
    if _turned(a, b):
        found = np.matmul(b.T, a.T).T
        if out is None:
            return np.ascontiguousarray(found)
        out[...] = found
        return out
    return np.matmul(a, b, out)


def _turned(a: Array, b: Array) -> bool:
    few = len(a) <= FEW_ROWS and a.size * b.shape[1] > PACKED
    return few and b.flags.f_contiguous and not b.flags.c_contiguous


def _spans(size: int, work: int) -> list[tuple[int, int]]:
    """The longer side of a product in tiles."""
    count = min(MOST_TILES, work // TILE, max(size // WIDE, min(2, size // NARROWEST)))
    if count < 2:
        return [(0, size)]
    step = -(-size // count // 16) * 16  # whole steps of BLAS's inner kernels
    return [(i, min(i + step, size)) for i in range(0, size, step)]


def readable(matrix: Array) -> Array:
    """A matrix as BLAS reads it, rows or columns contiguous: other loops are slow."""
    (rows, columns), (row, column) = matrix.shape, matrix.strides
    item = matrix.itemsize
    if (column == item and row >= columns * item) or (row == item and column >= rows * item):
        return matrix
    return np.ascontiguousarray(matrix)


class NumPyMatmul(MatmulKernels):
    """What ``MatmulKernels`` has, for NumPy arrays."""

    def matmul(self, a: Array, b: Array) -> Array:
        if not _multiplied_here(a) or a.ndim < 2 or b.ndim < 2:
            return super().matmul(a, b)
        if a.ndim == 2 and b.ndim == 2:
            return product(a, b) if a.shape[1] == b.shape[0] else np.matmul(a, b)
        if b.ndim == 2 and a.size and a.flags.c_contiguous and a.shape[-1] == b.shape[0]:
            return product(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
        return _batched(a, b)

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        if not _multiplied_here(x) or not weight.size:
            return super().linear(x, weight, bias)
        if x.ndim == 2:
            return product(x, weight.T, bias)
        rows = x.reshape(-1, weight.shape[1])
        return product(rows, weight.T, bias).reshape(*x.shape[:-1], weight.shape[0])

    def linear_backward(
        self, g: Array, x: Array | None, weight: Array | None, needs: tuple[bool, ...]
    ) -> Gradients:
        if not _multiplied_here(g) or not g.size:
            return super().linear_backward(g, x, weight, needs)
        rows = readable(g if g.ndim == 2 else g.reshape(-1, g.shape[-1]))
        dx = dw = db = None
        if weight is not None and needs[0]:
            dx = product(rows, weight)
            dx = dx if g.ndim == 2 else dx.reshape(*g.shape[:-1], dx.shape[1])
        if x is not None and needs[1]:
            dw = product(rows.T, x if x.ndim == 2 else x.reshape(rows.shape[0], -1))
        if needs[2]:
            db = np.matmul(np.ones(rows.shape[0], rows.dtype), rows)
        return dx, dw, db


def _multiplied_here(array: Array) -> bool:
    """Whether BLAS has this dtype."""
    return array.dtype.char in "fd"


def _batched(a: Array, b: Array) -> Array:
    """A product for each index of the leading dims; which thread takes it changes nothing."""
    rows, inner, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    take_blas()
    try:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        return np.matmul(a, b)  # which raises
    work = prod(lead) * rows * inner * columns
    if work < 2 * TILE or inner != b.shape[-2] or lead[0] < 2:
        return np.matmul(a, b)
    out = np.empty((*lead, rows, columns), a.dtype)
    a = np.broadcast_to(a, (*lead, *a.shape[-2:]))
    b = np.broadcast_to(b, (*lead, *b.shape[-2:]))

    def some(part: tuple[int, int]) -> None:
        own = slice(*part)
        np.matmul(a[own], b[own], out[own])

    parallel(some, cut(lead[0], work // COST // lead[0]))
    return out
