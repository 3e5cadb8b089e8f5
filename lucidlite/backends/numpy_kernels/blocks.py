"""Passes over images cut into blocks that stay in the cache, and the blocks over the threads.

Images are seen here as (rows, columns, run): a run is all that lies at one place of the plane,
batch and channels, contiguous in memory. What is cut where depends on the shape alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.numpy_kernels.elementwise import BUFFER
from lucidlite.backends.numpy_kernels.layout import BLOCK, long_runs
from lucidlite.threads import cut, parallel

# Rows of the plane and a piece of the run.
Block = tuple[slice, slice]

# A piece of a run is not made shorter: loops over fewer elements cost up to twice as much.
_LEAST_RUN = 4096


def runs(image: Array) -> Array:
    """An (H, W, N, C) array as (H, W, N * C) with contiguous runs, copied only if it has none."""
    height, width, n, c = image.shape
    return long_runs(image).reshape(height, width, n * c)


class Source:
    """Blocks of an (H, W, N, C) array, as (rows, columns, run).

    An array without contiguous runs is copied some rows at a time, never as a whole. It belongs to
    one thread.
    """

    def __init__(self, image: Array) -> None:
        self._image = image
        self._held: tuple[slice, Array] | None = None

    def __call__(self, rows: slice, piece: slice) -> Array:
        if self._held is None or self._held[0] != rows:
            self._held = rows, runs(self._image[rows])
        return self._held[1][:, :, piece]


def blocks(
    rows: int, row_size: int, run: int, together: int = 1, block: int = 8 * BLOCK
) -> tuple[Block, ...]:
    """Cut rows 0..``rows`` of ``row_size * run`` elements into blocks of about ``block`` elements.

    Runs are cut too, where ``together`` rows are larger than a block.
    """
    fits = max(block // (max(1, row_size) * min(rows, together)), min(block, _LEAST_RUN))
    pieces = -(-run // fits)
    step = max(1, block * pieces // max(1, row_size * run))
    return tuple(
        (slice(first, min(first + step, rows)), slice(run * i // pieces, run * (i + 1) // pieces))
        for first in range(0, rows, step)
        for i in range(pieces)
    )


def share(work: Callable[[Sequence[Block]], None], todo: Sequence[Block], cost: int) -> None:
    """``work`` on all blocks, some of them on each thread; ``cost`` as in ``threads.cut``."""
    parts = cut(len(todo), cost)
    if len(parts) == 1:
        _small_buffers(work, todo)
    else:
        parallel(lambda part: _small_buffers(work, todo[part[0] : part[1]]), parts)


def _small_buffers(work: Callable[[Sequence[Block]], None], todo: Sequence[Block]) -> None:
    with np.errstate():
        np.setbufsize(BUFFER)  # errstate puts back the size too
        work(todo)


class Scratch:
    """Room for one temporary array at a time: each call may hand out the memory of the last."""

    def __init__(self, dtype: Any) -> None:
        self._dtype = dtype
        self._room: Array | None = None

    def __call__(self, shape: tuple[int, ...]) -> Array:
        size = prod(shape)
        if self._room is None or size > self._room.size:
            self._room = np.empty(size, self._dtype)
        return self._room[:size].reshape(shape)
