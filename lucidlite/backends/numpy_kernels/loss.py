"""Softmax and cross entropy on the CPU, in blocks of rows over the threads.

NumPy takes the maximum or sum of each short row slowly and walks long runs fast, so a few classes
are turned to lie outside: (N, C) scores are handled as (C, N).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.loss import LossKernels
from lucidlite.threads import cut, parallel

# Elements in a block: its few arrays should stay in the cache.
BLOCK = 1 << 16
# Rows of no more are turned.
SHORT = 64
BUFFER = 512


class NumPyLoss(LossKernels):
    """What ``LossKernels`` has, for NumPy arrays."""

    def softmax(self, x: Array, axis: int) -> Array:
        if not _rows_last(x, axis):
            return super().softmax(x, axis)
        out = np.empty(x.shape, x.dtype)
        rows, into = x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1])

        def block(first: int, end: int) -> None:
            scores, along = _shifted(rows[first:end], into[first:end])
            np.exp(scores, scores)
            total = np.add.reduce(scores, axis=along, keepdims=True)
            np.divide(scores, total, into[first:end] if along else into[first:end].T)

        _over_blocks(block, *rows.shape)
        return out

    def log_softmax(self, x: Array, axis: int) -> Array:
        if not _rows_last(x, axis):
            return super().log_softmax(x, axis)
        out = np.empty(x.shape, x.dtype)
        rows, into = x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1])

        def block(first: int, end: int) -> None:
            scores, along = _shifted(rows[first:end], into[first:end])
            total = np.add.reduce(np.exp(scores), axis=along, keepdims=True)
            np.log(total, total)
            np.subtract(scores, total, into[first:end] if along else into[first:end].T)

        _over_blocks(block, *rows.shape)
        return out

    def cross_entropy(
        self, x: Array, target: Array, ignore_index: int | None, mean: bool, keep: bool
    ) -> tuple[Array, Array | None]:
        n, classes = x.shape
        if ignore_index is not None or not _rows_last(x, 1):
            return super().cross_entropy(x, target, ignore_index, mean, keep)
        losses = np.empty(n, x.dtype)
        grad = np.empty(x.shape, x.dtype) if keep else None
        share = x.dtype.type(1 / n if mean else 1)

        def block(first: int, end: int) -> None:
            into = None if grad is None else grad[first:end]
            scores, along = _shifted(x[first:end], into)
            flat, at = scores.reshape(-1), target[first:end]
            if along:
                at = at + np.arange(0, flat.size, classes)
            else:
                at = at * np.int64(end - first) + np.arange(end - first)
            picked = flat.take(at)
            np.exp(scores, scores)
            total = np.add.reduce(scores, axis=along)
            np.subtract(np.log(total), picked, losses[first:end])
            if into is None:
                return
            np.divide(share, total, total)
            np.multiply(scores, total.reshape(-1, 1) if along else total, scores)
            flat[at] = flat.take(at) - share
            if not along:
                into[...] = scores.T

        _over_blocks(block, n, classes)
        return np.asarray(np.add.reduce(losses) * share), grad


def _rows_last(x: Array, axis: int) -> bool:
    """Whether the kernels of this file take it: rows along the last axis, of BLAS's dtypes."""
    return x.ndim > 0 and axis == x.ndim - 1 and x.size > 0 and x.dtype.char in "fd"


def _shifted(rows: Array, out: Array | None) -> tuple[Array, int]:
    """The rows less their largest values, and the axis they lie along now.

    Rows that are short lie turned, in an array of their own; the others are in ``out``.
    """
    if rows.shape[1] > SHORT:
        return np.subtract(rows, np.maximum.reduce(rows, axis=1, keepdims=True), out), 1
    turned = rows.T.copy()
    return np.subtract(turned, np.maximum.reduce(turned, axis=0), turned), 0


def _over_blocks(block: Callable[[int, int], None], rows: int, row: int) -> None:
    """``block(first, end)`` for rows 0..rows of ``row`` elements, over the threads."""
    step = max(1, BLOCK // row)
    if rows <= step:
        block(0, rows)
        return
    count = -(-rows // step)

    def some(part: tuple[int, int]) -> None:
        with np.errstate():
            # NumPy copies values that are spread over runs shorter than its buffers.
            np.setbufsize(BUFFER if row > SHORT else 8192)
            for number in range(*part):
                block(number * step, min((number + 1) * step, rows))

    # exp and log take as long as several passes
    parallel(some, cut(count, 6 * step * row))
