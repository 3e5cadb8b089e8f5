"""Memory order, blocking and scratch memory, shared by the NumPy kernels of images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from lucidlite.backends.kernels import Array, hwnc, nchw
from lucidlite.threads import cut, parallel
from lucidlite.window import Window

# Elements in a block of an elementwise pass: its few arrays should stay in the cache.
BLOCK = 1 << 17
# Rows and columns of what is transposed at a time.
TILE = 128
# Elements below which the way to NumPy counts more than what it does.
SMALL = 1 << 14
# Bytes of scratch memory a thread keeps for one use; more is taken anew every time.
KEPT_SCRATCH = 1 << 24


def row_blocks(rows: int, row_size: int, block: int = BLOCK) -> Iterator[slice]:
    """Cut 0..rows into slices of about ``block`` elements, of one row at least."""
    step = max(1, block // max(1, row_size))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


def share_blocks(
    work: Callable[[Sequence[Any]], Any], blocks: Sequence[Any], cost: int
) -> list[Any]:
    """``work(some of the blocks)`` on each thread; returns what each found, from first to last.

    Neighbours stay together. Blocks are cut before anybody asks for threads, so that the numbers a
    block makes are the same however many there are. ``cost`` of a block: see ``threads.cut``.
    """
    parts = cut(len(blocks), cost) if len(blocks) > 1 else [(0, len(blocks))]
    if len(parts) == 1:
        return [work(blocks)]
    found: list[Any] = [None] * len(parts)

    def do(part: int) -> None:
        first, end = parts[part]
        found[part] = work(blocks[first:end])

    parallel(do, range(len(parts)))
    return found


def total(sums: list[Array]) -> Array:
    """The sum of arrays, in their order, in the first one."""
    for other in sums[1:]:
        sums[0] += other
    return sums[0]


class _Room(threading.local):
    def __init__(self) -> None:
        self.held: dict[str, Array] = {}


_room = _Room()


def scratch(use: str, shape: tuple[int, ...], dtype: Any) -> Array:
    """An array with anything in it, this thread's until it asks again for the same ``use``."""
    size = prod(shape) * dtype.itemsize
    held = _room.held.get(use)
    if held is None or held.size < size:
        held = np.empty(size, np.uint8)
        if size <= KEPT_SCRATCH:
            _room.held[use] = held
    return held[:size].view(dtype).reshape(shape)


def transpose_into(out: Array, source: Array) -> None:
    """out (columns, rows) = source (rows, columns) transposed, a tile at a time.

    One of the two is walked with a step of a whole row for each element, and rows whose size is
    near a power of two share a few cache lines: a tile first goes where its rows don't.
    """
    rows, columns = source.shape

    def copy(part: tuple[int, int]) -> None:
        room = np.empty((TILE, TILE + 16), source.dtype)
        for i in range(part[0] * TILE, min(part[1] * TILE, rows), TILE):
            for j in range(0, columns, TILE):
                tile = source[i : i + TILE, j : j + TILE]
                held = room[: tile.shape[0], : tile.shape[1]]
                held[...] = tile
                out[j : j + TILE, i : i + TILE] = held.T

    parallel(copy, cut(-(-rows // TILE), 8 * TILE * columns))


def row_major(array: Array) -> Array | None:
    """A copy in C order of an (N, C, H, W) array in gapless conv layout; None of any other."""
    image = hwnc(array)
    if array.size < SMALL or not image.flags.c_contiguous or array.flags.c_contiguous:
        return None
    channels = array.shape[0] * array.shape[1]
    out = np.empty(array.shape, array.dtype)
    transpose_into(out.reshape(channels, -1), image.reshape(-1, channels))
    return out


def copy_image(out: Array, image: Array) -> None:
    """out[...] = image, both (H, W, N, C), quickly where ``image`` comes from (N, C, H, W) memory.

    Walking (N, C) rows there takes a step of a whole plane for each element. A block is first
    gathered in its own order.
    """
    height, width, n, c = image.shape
    near = image.strides[3] == image.itemsize
    if near and image.size < SMALL:
        out[...] = image
        return
    planes = nchw(image)
    if image.size >= SMALL and planes.flags.c_contiguous and out.flags.c_contiguous:
        transpose_into(out.reshape(-1, n * c), planes.reshape(n * c, -1))
        return

    def copy(part: tuple[int, int]) -> None:
        if near:
            out[slice(*part)] = image[slice(*part)]
            return
        for rows in row_blocks(part[1] - part[0], width * n * c):
            rows = slice(part[0] + rows.start, part[0] + rows.stop)
            block = np.ascontiguousarray(image[rows].transpose(2, 3, 0, 1))
            out[rows] = block.transpose(2, 3, 0, 1)

    parallel(copy, cut(height, width * n * c * (1 if near else 8)))


def long_runs(image: Array) -> Array:
    """An (H, W, N, C) array itself if its (N, C) rows are contiguous, else a contiguous copy."""
    _, _, n, c = image.shape
    _, _, stride_n, stride_c = image.strides
    if (c == 1 or stride_c == image.itemsize) and (n == 1 or stride_n == c * image.itemsize):
        return image
    return contiguous_image(image)


def contiguous_image(image: Array) -> Array:
    """An (H, W, N, C) array itself if it is contiguous, else a contiguous copy."""
    if image.flags.c_contiguous:
        return image
    out = np.empty(image.shape, image.dtype)
    copy_image(out, image)
    return out


def padded_image(image: Array, window: Window) -> Array:
    """An (H, W, N, C) image inside its border of zeros, with contiguous (N, C) rows."""
    if not window.padded:
        return long_runs(image)
    height, width, n, c = image.shape
    (top, bottom), (left, right) = window.padding
    padded = np.empty((height + top + bottom, width + left + right, n, c), image.dtype)
    inside = padded[top : top + height]
    if padded.size < SMALL:
        padded[...] = 0
    else:
        padded[:top] = padded[top + height :] = 0
        inside[:, :left] = inside[:, left + width :] = 0
    copy_image(inside[:, left : left + width], image)
    return padded


def windows(planes: Array, window: Window, outputs: tuple[int, int]) -> Array:
    """A padded (H, W, ...) array seen as (OH, OW, kH, kW, ...): each window's taps; no copy."""
    (down, across), rest = planes.strides[:2], planes.strides[2:]
    (sh, sw), (dh, dw) = window.stride, window.dilation
    shape = (*outputs, *window.kernel_size, *planes.shape[2:])
    strides = (down * sh, across * sw, down * dh, across * dw, *rest)
    if planes.flags.c_contiguous:  # as as_strided, which takes several times as long
        return np.ndarray(shape, planes.dtype, planes, 0, strides)
    return as_strided(planes, shape, strides)


def bias_grad(grad: Array) -> Array:
    """The sum over all but the channels of (OH, OW, N, K), contiguous: BLAS is quick at it."""
    height, width, n, k = grad.shape
    rows = grad.reshape(height * width, n * k)
    sums = np.ones(len(rows), grad.dtype) @ rows
    return sums.reshape(n, k).sum(0, dtype=grad.dtype)
