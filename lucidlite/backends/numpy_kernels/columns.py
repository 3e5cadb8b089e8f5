"""Convolution of images with few channels: a column for each window, and one product.

With three channels or one, a run of a pixel's channels is too short to copy, and a matrix row of a
few of them too thin to multiply. So here the order is turned round. The image is laid out with the
batch innermost, (C, H, W, N), its *planes*; for each tap and channel a plane, shifted, is one row
of the matrix of columns, (taps * C + 1, windows), and rows are copied in runs of OW * N elements.

The last row is ones, and the last row of the weights is the bias: adding it costs nothing, and its
gradient is the last row of the weights' gradient, which is columns @ g.

The gradient of the input, rarely wanted of a first layer, has rows to match: the weights times g
transposed. Each is added to its plane, shifted back ("col2im").

With a stride s, elements s apart are stored next to each other, as s * s planes a channel, so that
these copies and sums, too, run over neighbours.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from lucidlite.backends.kernels import Array, hwnc, nchw
from lucidlite.backends.kernels.conv import Grads, Shape
from lucidlite.backends.numpy_kernels.direct import Block, window_blocks
from lucidlite.backends.numpy_kernels.layout import (
    bias_grad,
    contiguous_image,
    scratch,
    share_blocks,
)
from lucidlite.backends.numpy_kernels.products import multiply, sum_products
from lucidlite.backends.numpy_kernels.transposed import tap_classes
from lucidlite.threads import cut, parallel
from lucidlite.window import Window

# Bytes of planes kept for the backward pass; more are laid out again.
KEPT_PLANES = 1 << 26


class Columns:
    """For any window and few input channels, without groups."""

    def forward(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        window: Window,
        groups: int,
        keep: bool,
        memo: dict[Any, Any] | None = None,
    ) -> tuple[Array, Array | None]:
        """(y, planes): the input's planes, for the gradient of the weights."""
        del groups, memo
        k = w.shape[0]
        plan = _plan(window, x.shape)
        planes = plan.lay_out(x)
        weight = np.empty((1, plan.elements + 1, k), x.dtype)
        weight[0, :-1].reshape(-1, x.shape[1], k)[...] = w.reshape(k, x.shape[1], -1).T
        weight[0, -1] = 0 if bias is None else bias
        y = np.empty((*plan.outputs, x.shape[0], k), x.dtype)

        def work(blocks: Any) -> None:
            for place in blocks:
                columns = plan.columns(planes, place)
                multiply(columns.T[None], weight, y[place].reshape(1, -1, k))

        share_blocks(work, plan.blocks, plan.cost(k))
        return nchw(y), planes if keep and planes.nbytes <= KEPT_PLANES else None

    def backward(
        self,
        g: Array,
        x: Array,
        w: Array,
        state: Array | None,
        window: Window,
        groups: int,
        needs: tuple[bool, ...],
    ) -> Grads:
        del groups
        plan = _plan(window, x.shape)
        grad = contiguous_image(hwnc(g))
        dx = dw = db = None
        if needs[0]:
            dx = _input_grad(plan, grad, w)
        if needs[1]:
            total = _weight_grad(plan, grad, plan.lay_out(x) if state is None else state)
            dw = total[:-1].reshape(-1, x.shape[1], len(w)).transpose(2, 1, 0)
            dw, db = np.ascontiguousarray(dw).reshape(w.shape), total[-1].copy()
        elif needs[2]:
            db = bias_grad(grad)
        return dx, dw, db if needs[2] else None


def _weight_grad(plan: _Plan, grad: Array, planes: Array) -> Array:
    """(taps * C + 1, K): the sum over all windows of column times gradient."""
    k = grad.shape[3]
    # A sum for each block: added up at the end, they don't depend on who made them.
    sums = np.empty((len(plan.blocks), plan.elements + 1, k), grad.dtype)

    def work(blocks: Any) -> None:
        for number, place in blocks:
            columns = plan.columns(planes, place)
            sums[number] = sum_products(columns, grad[place].reshape(-1, k))

    share_blocks(work, list(enumerate(plan.blocks)), plan.cost(k))
    return np.add.reduce(sums, dtype=grad.dtype)


def _input_grad(plan: _Plan, grad: Array, w: Array) -> Array:
    """dx in conv layout, from a contiguous (OH, OW, N, K) gradient."""
    k, c = w.shape[:2]
    weight = np.ascontiguousarray(w.reshape(k, c, -1).transpose(2, 1, 0)).reshape(-1, k)
    planes = np.zeros(plan.shape, grad.dtype)
    beyond: list[Any] = [None] * len(plan.bands)

    def work(bands: Any) -> None:
        for number, rows in bands:
            columns = scratch("columns", plan.band(rows), grad.dtype)
            turned = grad[rows].reshape(-1, k).T
            np.matmul(weight, turned, out=columns.reshape(plan.elements, -1))
            # What these windows read: as many rows of the planes, and some more which the next
            # band's windows read too. Those are added when all bands are done.
            count = rows.stop - rows.start
            shape = (*plan.shape[:3], count + plan.reach, *plan.shape[4:])
            local = scratch("planes", shape, grad.dtype)
            local[...] = 0
            for i, (p, first) in enumerate(plan.taps[0]):
                for j, (q, left) in enumerate(plan.taps[1]):
                    target = local[:, p, q, first : first + count, left : left + plan.outputs[1]]
                    target += columns[i, j]
            planes[:, :, :, rows] = local[:, :, :, :count]
            beyond[number] = local[:, :, :, count:].copy()

    share_blocks(work, list(enumerate(plan.bands)), plan.cost(k))
    for rows, rest in zip(plan.bands, beyond, strict=True):
        planes[:, :, :, rows.stop : rows.stop + plan.reach] += rest
    dx = np.empty((*plan.size, plan.n, c), grad.dtype)
    for (p, rows, to_rows), (q, across, to_across) in product(*plan.places):
        dx[to_rows, to_across] = planes[:, p, q, rows, across].transpose(1, 2, 3, 0)
    return nchw(dx)


# Which plane, which elements of it, which elements of the image.
Place = tuple[int, slice, slice]


class _Plan:
    """What depends on shapes alone: where the planes are, and how the work is cut."""

    def __init__(self, window: Window, shape: Shape) -> None:
        self.n, self.c, *size = shape
        self.window, self.size = window, (size[0], size[1])
        self.outputs = window.output_size(self.size)
        self.elements = window.taps * self.c
        self.blocks = window_blocks(self.outputs, self.n, self.elements + 1)
        rows = window_blocks((self.outputs[0], 1), self.n * self.outputs[1], self.elements)
        self.bands = tuple(band for band, _ in rows)
        # Of a padded axis the elements p, p + s, p + 2 s, ... are plane p of s.
        lengths = [
            (n + sum(padding) - 1) // stride + 1
            for n, padding, stride in zip(self.size, window.padding, window.stride, strict=True)
        ]
        self.shape = (self.c, *window.stride, *lengths, self.n)
        self.places = [
            _places(self.size[axis], window.padding[axis], window.stride[axis]) for axis in (0, 1)
        ]
        # For each tap the plane it reads, and which element of it the first window reads.
        self.taps = [
            [(tap * dilation % stride, tap * dilation // stride) for tap in range(taps)]
            for taps, dilation, stride in zip(
                window.kernel_size, window.dilation, window.stride, strict=True
            )
        ]
        self.reach = max(first for _, first in self.taps[0])
        self.classes = [
            [_class(plane, taps, self.taps[axis]) for plane, taps in tap_classes(window, axis)]
            for axis in (0, 1)
        ]

    def cost(self, columns: int) -> int:
        """Of a block, as ``threads.cut`` counts."""
        rows, across = self.blocks[0]
        windows: int = rows.stop * across.stop * self.n
        return windows * self.elements * (10 + columns) // 10

    def band(self, rows: slice) -> Shape:
        """The columns of whole rows of windows: (kH, kW, C, rows, OW, N)."""
        count = rows.stop - rows.start
        return (*self.window.kernel_size, self.c, count, self.outputs[1], self.n)

    def lay_out(self, x: Array) -> Array:
        """The planes of x, (C, sH, sW, rows, columns, N), inside a border of zeros."""
        planes = np.empty(self.shape, x.dtype)
        image = _batch_last(x)

        def work(part: tuple[int, int]) -> None:
            planes[:, :, :, part[0] : part[1]] = 0
            for (p, rows, from_rows), (q, across, from_across) in product(*self.places):
                first, end = max(rows.start, part[0]), min(rows.stop, part[1])
                if first < end:
                    source = image[:, from_rows, from_across]
                    source = source[:, first - rows.start : end - rows.start]
                    planes[:, p, q, first:end, across] = source

        parallel(work, cut(self.shape[3], 4 * planes.size // self.shape[3]))
        return planes

    def columns(self, planes: Array, place: Block) -> Array:
        """The columns of some windows, (taps * C + 1, windows); the last row is ones."""
        rows, across = place
        count, width = rows.stop - rows.start, across.stop - across.start
        buffer = scratch("columns", (self.elements + 1, count * width * self.n), planes.dtype)
        buffer[-1] = 1
        columns = buffer[:-1].reshape(*self.window.kernel_size, self.c, count, width, self.n)
        for (p, i, top, down), (q, j, left, right) in product(*self.classes):
            plane = planes[:, p, q, top + rows.start :, left + across.start :]
            channel, row, column, image = plane.strides
            taps = columns[i, j]
            taps[...] = as_strided(
                plane, taps.shape, (down * row, right * column, channel, row, column, image)
            )
        return buffer


def _places(n: int, padding: tuple[int, int], stride: int) -> list[Place]:
    """Where the elements of an axis are in its planes."""
    found = []
    for plane in range(stride):
        start = (plane - padding[0]) % stride
        if start < n:
            first = (start + padding[0]) // stride
            end = first + (n - 1 - start) // stride + 1
            found.append((plane, slice(first, end), slice(start, n, stride)))
    return found


def _class(plane: int, taps: range, at: list[tuple[int, int]]) -> tuple[int, slice, int, int]:
    """(plane, the taps that read it, what the first of them reads first, steps between them)."""
    first = at[taps[0]][1]
    step = at[taps[1]][1] - first if len(taps) > 1 else 0
    return plane, slice(taps.start, taps.stop, taps.step), first, step


def _batch_last(x: Array) -> Array:
    """x (N, C, H, W) seen as (C, H, W, N).

    Images a multiple of 512 bytes apart share a few cache lines when one element of each is read;
    a copy with a little room between them is soon made.
    """
    n, size = x.shape[0], x[0].size
    if n >= 16 and x.flags.c_contiguous and size * x.itemsize % 512 == 0:
        room = 64 // x.itemsize
        apart = scratch("apart", (n, size + room), x.dtype)[:, :size]
        apart[...] = x.reshape(n, size)
        x = apart.reshape(x.shape)
    return x.transpose(1, 2, 3, 0)


_plan = lru_cache(maxsize=256)(_Plan)
