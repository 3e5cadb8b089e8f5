"""Products of long matrices, in the pieces that NumPy's OpenBLAS is quick at.

OpenBLAS first packs its operands. Where M * N * K is small, and the processor has AVX512, it leaves
that out, which for long matrices that are thin nearly doubles the speed. A stack of small matrices
costs little more than one call. Other processors are about as quick either way.
"""

from __future__ import annotations

import numpy as np

from lucidlite.backends.kernels import Array

# OpenBLAS multiplies matrices up to this M * N * K without packing them first.
SMALL_PRODUCT = 1_000_000
# Not in pieces of fewer rows: where it packs after all, it packs the other factor for each of them.
LEAST_PIECE = 48


def multiply(a: Array, b: Array, out: Array) -> None:
    """out (B, P, K) = a (B, P, R) @ b (B, R, K), for a large P."""
    batch, rows, inner = a.shape
    columns = b.shape[2]
    step = SMALL_PRODUCT // (inner * columns)
    if step < LEAST_PIECE or rows <= step:
        np.matmul(a, b, out=out)
        return
    whole = rows - rows % step
    pieces = a[:, :whole].reshape(batch, -1, step, inner)
    np.matmul(pieces, b[:, None], out=out[:, :whole].reshape(batch, -1, step, columns))
    if whole < rows:
        np.matmul(a[:, whole:], b, out=out[:, whole:])


def sum_products(a: Array, b: Array) -> Array:
    """a (R, P) @ b (P, K), for a large P."""
    rows, inner = a.shape
    columns = b.shape[1]
    step = SMALL_PRODUCT // (rows * columns)
    if step < 2 * LEAST_PIECE or inner < 2 * step:
        return a @ b
    whole = inner - inner % step
    left = a[:, :whole].reshape(rows, -1, step).transpose(1, 0, 2)
    total: Array = np.add.reduce(left @ b[:whole].reshape(-1, step, columns), dtype=a.dtype)
    if whole < inner:
        total += a[:, whole:] @ b[whole:]
    return total
