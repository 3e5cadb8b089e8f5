"""How a Winograd convolution is cut in blocks, and the scratch memory a block is computed in.

Images lie in memory as (H, W, N, C) and are seen here as (H, W, N * C): rows of pixels, each a run
of all its images' channels. A block is some images times some rows of tiles. All of it depends on
shapes alone, so it is worked out once for a shape, and is the same for any number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from lucidlite.backends.kernels import Array
from lucidlite.backends.numpy_kernels.winograd_transforms import transform

Pair = tuple[int, int]

# A block should have long runs of memory and long products, and yet stay in a core's cache. It has
# so many images at most, fewer where a row has many tiles; but a pixel is a RUN of elements.
IMAGES, RUN = 32, 512
# So many tiles, and more where channels are few: as long as a point's V and products have POINT
# elements. A small convolution is cut in two, for two threads, down to FEWEST_TILES.
TILES, MOST_TILES, FEWEST_TILES, POINT = 128, 512, 16, 1 << 14
# Elements of V and products above which a block is computed one row of points at a time.
AT_ONCE = 1 << 19
# OpenBLAS multiplies matrices up to this M * N * K without packing them first, which is quicker;
# but shorter chunks than this don't pay, least of all where it always packs (AVX2).
SMALL_PRODUCT, SHORTEST = 1_000_000, 48
# Scratch memory a thread keeps between calls, in elements (32 MiB), and for how many shapes.
KEPT, KEPT_SHAPES = 1 << 23, 64


class TileRow(NamedTuple):
    """What one row of tiles reads and writes: tiles reach past the edges, these slices don't."""

    inputs: slice  # rows of x
    evaluate: Array  # BT without the columns that would meet padding
    outputs: slice  # rows of y
    interpolate: Array  # AT without the rows that would fall below y
    collect: Array  # A without the columns that would
    shared: slice  # rows of x which the tile row above reaches as well
    spread_shared: Array  # the rows of B for them
    fresh: slice  # rows of x which it doesn't
    spread_fresh: Array


class Block(NamedTuple):
    images: int
    ins: slice  # where a pixel of x has its images
    outs: slice  # where a pixel of y has them
    rows: slice  # its tile rows


class Plan:
    """The cuts for x (N, C, H, W), K filters, a window's padding and tiles of m x m outputs."""

    def __init__(self, m: int, x: tuple[int, ...], k: int, padding: tuple[Pair, Pair]) -> None:
        self.transform = transform(m)
        self.points = self.transform.points
        self.n, self.c, self.height, self.width = x
        self.k = k
        (self.top, bottom), (self.left, right) = padding
        self.out = self.height + self.top + bottom - 2, self.width + self.left + right - 2
        self.tile_rows, self.columns = (-(-size // m) for size in self.out)
        self.rows = [self._tile_row(row) for row in range(self.tile_rows)]
        self.blocks = list(self._blocks())
        # About how many elements a block passes over, for ``threads.cut``.
        tiles = self.n * self.tile_rows * self.columns // len(self.blocks)
        self.cost = self.points**2 * tiles * (2 * self.c + 2 * k + self.c * k // 10)

    def _tile_row(self, row: int) -> TileRow:
        t = self.transform
        start = row * t.m - self.top
        first, end = max(start, 0), min(start + t.points, self.height)
        # The first two rows of a tile are the last two of the tile above.
        middle = max(first, min(start + 2, end)) if row else first
        outputs = slice(row * t.m, min(row * t.m + t.m, self.out[0]))
        count = outputs.stop - outputs.start
        return TileRow(
            slice(first, end),
            np.ascontiguousarray(t.evaluate[:, first - start : end - start]),
            outputs,
            t.interpolate[:count],
            np.ascontiguousarray(t.collect[:, :count]),
            slice(first, middle),
            t.spread[first - start : middle - start],
            slice(middle, end),
            t.spread[middle - start : end - start],
        )

    def _blocks(self) -> Iterator[Block]:
        images = min(IMAGES, max(MOST_TILES // self.columns, -(-RUN // min(self.c, self.k))))
        pieces = -(-self.n // images)
        tiles = min(max(POINT // (self.c + self.k), TILES), MOST_TILES)
        tiles = min(tiles, max(self.n * self.tile_rows * self.columns // 2, FEWEST_TILES))
        step = max(1, tiles * pieces // (self.columns * self.n))
        for piece in range(pieces):
            first, end = self.n * piece // pieces, self.n * (piece + 1) // pieces
            ins, outs = slice(first * self.c, end * self.c), slice(first * self.k, end * self.k)
            for row in range(0, self.tile_rows, step):
                yield Block(end - first, ins, outs, slice(row, min(row + step, self.tile_rows)))


@lru_cache(maxsize=64)
def plan_of(m: int, x: tuple[int, ...], k: int, padding: tuple[Pair, Pair]) -> Plan:
    return Plan(m, x, k, padding)


class Workspace:
    """Scratch arrays for blocks of one shape, in the views that the steps of a block need.

    i and j are the points of a tile on its two axes. A block works on a group of ``step`` rows i
    at a time, all of them or one. In memory:

        t (i, tile row, column, image, C)      inputs, evaluated along the vertical axis
        v (i, j, tile row, tile, image, C)     V, a group
        p (i, j, tile row, tile, image, K)     products, a group
        s (i, tile row, column, image, K)      products, interpolated along the horizontal axis

    and the gradients of v and t in the place of v and t.
    """

    def __init__(self, plan: Plan, images: int, rows: int, take: Any) -> None:
        m, points, columns, c, k = plan.transform.m, plan.points, plan.columns, plan.c, plan.k
        xs, ys, tiles = images * c, images * k, rows * columns * images
        step = points if points**2 * tiles * (c + k) <= AT_ONCE else 1
        self.groups = range(points // step)
        self.planes = [slice(g * step * points, (g + 1) * step * points) for g in self.groups]
        # The point (1, 1) of all tiles: which group has it, and where.
        self.center_group = 1 // step

        size = (
            points * rows * (columns * m + 2) * xs,
            step * points * tiles * c,
            step * points * tiles * k,
            points * rows * columns * m * ys,
            2 * step * tiles * c,
            step * points * c * k,
            2 * plan.width * xs,
        )
        # Each begins at a cache line.
        at = np.cumsum([0, *(-(-s // 16) * 16 for s in size)])
        self.size = int(at[-1])
        buffer = take(self.size)
        t, v, p, s, edge, du, row_edge = (buffer[a : a + s] for a, s in zip(at, size, strict=False))

        chunks = step * points, *_chunks(tiles, c * k)
        self.v_tiles = v.reshape(step, points, rows, columns, xs).transpose(0, 2, 3, 1, 4)
        self.v_products = v.reshape(*chunks, c)
        self.channels = _chunks(c, k * tiles)
        self.v_channels = v.reshape(-1, tiles, *self.channels).transpose(0, 2, 1, 3)
        t = t.reshape(points, rows, columns * m + 2, xs)
        inner = slice(plan.left, plan.left + plan.width)
        borders = [t[:, :, : inner.start], t[:, :, inner.stop :]]
        self.t_borders = [border for border in borders if border.size]
        self.t_rows = [t[:, row, inner].transpose(1, 0, 2) for row in range(rows)]
        t_groups = t.reshape(-1, step, *t.shape[1:])
        _, _, s1, s2, s3 = t_groups.strides
        shape, strides = (step, rows, columns, points, xs), (t.strides[0], s1, m * s2, s2, s3)
        self.t_tiles = [as_strided(group, shape, strides) for group in t_groups]
        shape = (step, rows, columns, m, xs)
        self.t_first = [group[:, :, :2] for group in t_groups]
        self.t_fresh = [group[:, :, 2:].reshape(shape) for group in t_groups]
        self.t_shared = [group[:, :, :-2].reshape(shape)[:, :, :, :2] for group in t_groups]
        self.edge = edge.reshape(step, rows, columns, 2, xs)

        p = p.reshape(step, points, rows, columns, ys)
        self.p_tiles = p.transpose(0, 2, 3, 1, 4)
        self.p_products = p.reshape(*chunks, k)
        self.p_center = p[1 % step, 1].reshape(tiles, k)
        self.p_turned = p.reshape(-1, 1, tiles, k).transpose(0, 1, 3, 2)
        self.du = du.reshape(-1, k, c)

        s = s.reshape(points, rows, columns * m, ys)
        width = plan.out[1]
        self.s_border = s[:, :, width:]
        self.s_rows = [s[:, row, :width].transpose(1, 0, 2) for row in range(rows)]
        self.s_tiles = list(s.reshape(-1, step, rows, columns, m, ys))

        self.row_edge = row_edge.reshape(2, plan.width, xs)


def _chunks(total: int, others: int) -> Pair:
    """(count, length) of equal chunks of ``total`` whose products with ``others`` are small."""
    limit = SMALL_PRODUCT // others
    for length in range(min(limit, total), SHORTEST - 1, -1):
        if total % length == 0:
            return total // length, length
    return 1, total


class Scratch(threading.local):
    """Each thread's scratch memory: one buffer, in which all its workspaces lie."""

    def __init__(self) -> None:
        self.buffer = np.empty(0, np.float32)
        self.workspaces: dict[Any, Workspace] = {}

    def take(self, size: int) -> Array:
        if size > KEPT:
            return np.empty(size, np.float32)
        if size > len(self.buffer):
            self.workspaces.clear()
            self.buffer = np.empty(size, np.float32)
        return self.buffer


_scratch = Scratch()


def workspace(plan: Plan, block: Block) -> Workspace:
    """This thread's scratch arrays for such blocks; they hold nothing from call to call."""
    rows = block.rows.stop - block.rows.start
    key = (plan, block.images, rows)
    found = _scratch.workspaces.get(key)
    if found is None:
        if len(_scratch.workspaces) >= KEPT_SHAPES:
            _scratch.workspaces.clear()
        found = Workspace(plan, block.images, rows, _scratch.take)
        if found.size <= KEPT:
            _scratch.workspaces[key] = found
    return found
