"""Convolution on NumPy: conv layout in memory, im2col a few output rows at a time, large products.

Why this is quick where im2col is known to be slow: the columns of a few output rows are written,
multiplied and forgotten while they are in the cache; images lie in memory as (H, W, N, C), so that
each copy moves long contiguous runs; and a product is written where the output lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array, hwnc, in_float32, nchw
from lucidlite.backends.kernels.conv import ConvKernels, Grads, Shape
from lucidlite.backends.numpy_kernels.depthwise import depthwise, depthwise_grads
from lucidlite.backends.numpy_kernels.layout import contiguous_image, padded_image, row_blocks
from lucidlite.window import Window

# Elements in a block of columns: with its product it should stay in the second-level cache.
COLUMN_BLOCK = 1 << 18
# Below this many input channels a group, a run of them is too short to copy: columns go tap by tap.
FEW_CHANNELS = 16


class NumPyConv(ConvKernels):
    """ConvKernels in blocks of output rows; depthwise ones as multiply-adds of shifted images."""

    @in_float32
    def conv2d(
        self, x: Array, w: Array, bias: Array | None, window: Window, groups: int, keep: bool
    ) -> tuple[Array, Any]:
        del keep
        n, k = x.shape[0], w.shape[0]
        y = np.empty((*window.output_size(x.shape[2:]), n, k), x.dtype)
        if not y.size:
            return nchw(y), None
        if not w.size:  # no channels: only the bias is left
            y[...] = 0
        elif _is_depthwise(w.shape, groups):
            depthwise(padded_image(hwnc(x), window), w, window, y)
        else:
            columns = _Columns(x, window, groups)
            weight = columns.weight(w)
            for rows in columns.blocks():
                _multiply(columns.fill(rows), weight, y[rows])
        if bias is not None:
            # Rows of N * K elements: one of K would be a short run for a ufunc.
            flat = y.reshape(-1, n * k)
            flat += np.tile(bias, n)
        return nchw(y), None

    @in_float32
    def conv2d_input_grad(
        self, g: Array, w: Array, x_shape: Shape, window: Window, groups: int
    ) -> Array:
        return _gradients(g, None, w, x_shape, w.shape, window, groups)[0]

    @in_float32
    def conv2d_weight_grad(
        self, g: Array, x: Array, w_shape: Shape, window: Window, groups: int
    ) -> Array:
        return _gradients(g, x, None, x.shape, w_shape, window, groups)[1]

    @in_float32
    def conv2d_backward(
        self,
        g: Array,
        x: Array,
        w: Array,
        state: Any,
        window: Window,
        groups: int,
        needs: tuple[bool, ...],
    ) -> Grads:
        del state
        # Once for both gradients: the image of a broadcast or NCHW gradient is a copy.
        g = nchw(contiguous_image(hwnc(g)))
        dx, dw = _gradients(
            g, x if needs[1] else None, w if needs[0] else None, x.shape, w.shape, window, groups
        )
        return dx, dw, _bias_grad(g) if needs[2] else None


def _is_depthwise(w_shape: Shape, groups: int) -> bool:
    return groups > 1 and w_shape[1] == 1


def _bias_grad(g: Array) -> Array:
    n, k, height, width = g.shape
    # Summing rows of N * K elements first runs at the speed of memory.
    rows = hwnc(g).reshape(height * width, n * k)
    return rows.sum(0, dtype=g.dtype).reshape(n, k).sum(0, dtype=g.dtype)


def _gradients(
    g: Array,
    x: Array | None,
    w: Array | None,
    x_shape: Shape,
    w_shape: Shape,
    window: Window,
    groups: int,
) -> tuple[Array | None, Array | None]:
    """(dx, dw): dw where ``x`` is given, dx where ``w`` is."""
    grad = contiguous_image(hwnc(g))
    if not grad.size or 0 in w_shape:
        return (
            None if w is None else nchw(np.zeros((*x_shape[2:], *x_shape[:2]), g.dtype)),
            None if x is None else np.zeros(w_shape, g.dtype),
        )
    if _is_depthwise(w_shape, groups):
        image = None if x is None else padded_image(hwnc(x), window)
        return depthwise_grads(grad, image, w, x_shape, w_shape, window)
    return (
        None if w is None else _input_grad(grad, w, x_shape, window, groups),
        None if x is None else _weight_grad(grad, x, w_shape, window, groups),
    )


def _weight_grad(grad: Array, x: Array, w_shape: Shape, window: Window, groups: int) -> Array:
    columns = _Columns(x, window, groups)
    per_group = w_shape[0] // groups
    dw = np.zeros((groups, w_shape[1] * window.taps, per_group), grad.dtype)
    part = np.empty_like(dw)
    for rows in columns.blocks():
        block = columns.fill(rows).transpose(0, 2, 1)
        dw += np.matmul(block, _by_group(grad[rows], groups), out=part)
    dw = dw.reshape(groups, window.taps, w_shape[1], per_group).transpose(0, 3, 2, 1)
    return np.ascontiguousarray(dw).reshape(w_shape)


def _input_grad(grad: Array, w: Array, x_shape: Shape, window: Window, groups: int) -> Array:
    n, c, height, width = x_shape
    (top, bottom), (left, right) = window.padding
    padded = np.zeros((height + top + bottom, width + left + right, n, c), grad.dtype)
    # Seen with the groups first: (groups, rows, columns, N, channels of a group).
    image = padded.reshape(*padded.shape[:3], groups, -1).transpose(3, 0, 1, 2, 4)
    weight = w.reshape(groups, w.shape[0] // groups, w.shape[1], window.taps)
    weight = np.ascontiguousarray(weight.transpose(3, 0, 1, 2))
    columns = grad.shape[1]
    for rows in row_blocks(grad.shape[0], columns * n * c * window.taps, COLUMN_BLOCK):
        shares = np.matmul(_by_group(grad[rows], groups), weight)
        shares = shares.reshape(window.taps, groups, -1, columns, n, w.shape[1])
        for tap, share in enumerate(shares):
            place = window.padded_slices(tap, rows.start, rows.stop, columns)
            target = image[:, place[0], place[1]]
            target += share
    return nchw(padded[top : top + height, left : left + width])


def _by_group(block: Array, groups: int) -> Array:
    """Output rows (R, OW, N, K) as (groups, R * OW * N, K / groups)."""
    rows, columns, n, k = block.shape
    return block.reshape(rows * columns * n, groups, k // groups).transpose(1, 0, 2)


def _multiply(columns: Array, weight: Array, out: Array) -> None:
    """out (R, OW, N, K) = the products of all groups."""
    if len(weight) == 1:
        np.matmul(columns[0], weight[0], out=out.reshape(-1, weight.shape[2]))
    else:
        _by_group(out, len(weight))[...] = np.matmul(columns, weight)


class _Columns:
    """The columns of an image, a block of output rows at a time, in one buffer that is reused.

    ``fill(rows)`` is (groups, windows, taps * C / groups). In memory a window's elements lie side
    by side; with few channels a tap's elements of all windows do, and the matrix is a transpose.
    """

    def __init__(self, x: Array, window: Window, groups: int) -> None:
        n, c, height, width = x.shape
        self.window, self.groups, self.n, self.channels = window, groups, n, c // groups
        self.outputs = window.output_size((height, width))
        # One tap a window, at every element: the image is its own matrix of columns.
        self.plain = window.taps == 1 and window.stride == (1, 1) and not window.padded
        self.few = self.channels < FEW_CHANNELS and not self.plain
        image = padded_image(hwnc(x), window, channels_first=self.few)
        # (groups, rows, columns, N, channels of a group), whatever the order in memory.
        self.image = image.reshape(*image.shape[:3], groups, -1).transpose(3, 0, 1, 2, 4)
        row = self.outputs[1] * n * c * window.taps
        self._blocks = list(row_blocks(self.outputs[0], row, COLUMN_BLOCK))
        rows = self._blocks[0].stop
        if self.few:
            shape = (groups, window.taps, self.channels, rows, self.outputs[1], n)
            self.buffer = np.empty(shape, x.dtype)
        elif not self.plain:
            shape = (groups, rows, self.outputs[1], n, window.taps, self.channels)
            self.buffer = np.empty(shape, x.dtype)

    def weight(self, w: Array) -> Array:
        """w as (groups, taps * C / groups, K / groups), to multiply columns with."""
        k = w.shape[0] // self.groups
        w = w.reshape(self.groups, k, self.channels, self.window.taps).transpose(0, 3, 2, 1)
        return np.ascontiguousarray(w).reshape(self.groups, -1, k)

    def blocks(self) -> Iterator[slice]:
        return iter(self._blocks)

    def fill(self, rows: slice) -> Array:
        count, width = rows.stop - rows.start, self.outputs[1]
        windows = count * width * self.n
        if self.plain:
            return self.image[:, rows].reshape(self.groups, windows, self.channels)
        for tap in range(self.window.taps):
            place = self.window.padded_slices(tap, rows.start, rows.stop, width)
            source = self.image[:, place[0], place[1]]
            if self.few:
                self.buffer[:, tap, :, :count] = source.transpose(0, 4, 1, 2, 3)
            else:
                self.buffer[:, :count, :, :, tap] = source
        elements = self.window.taps * self.channels
        if self.few:
            taps_first = self.buffer.reshape(self.groups, elements, -1)[:, :, :windows]
            return taps_first.transpose(0, 2, 1)
        return self.buffer[:, :count].reshape(self.groups, windows, elements)
