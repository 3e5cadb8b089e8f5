"""Pooling on NumPy: running maxima and sums over strided views, a few output rows at a time.

What is avoided costs 10 to 50 times more than what is used: ``where=``, ``np.where``, boolean
indexing and argmax. A position is a maximum of (won * tap) over the taps, since later taps are
larger numbers; a masked gradient is its bits and-ed with a mask, which also keeps an infinite
gradient from turning its neighbours into NaN, as a product with the mask would.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array, hwnc, in_float32, nchw
from lucidlite.backends.kernels.pool import PoolKernels, Shape
from lucidlite.backends.numpy_kernels.layout import contiguous_image, long_runs, row_blocks
from lucidlite.window import Pair, Window

Tap = tuple[int, tuple[slice, slice], tuple[slice, slice]]


class NumPyPool(PoolKernels):
    """PoolKernels in blocks of output rows."""

    def max_pool2d(self, x: Array, window: Window, keep: bool) -> tuple[Array, Array | None]:
        image = hwnc(x)
        outputs = window.output_size(image.shape[:2])
        y = np.empty((*outputs, *image.shape[2:]), x.dtype)
        offsets = np.empty(y.shape, self._offset_dtype(window)) if keep else None
        if not y.size:
            return nchw(y), None if offsets is None else nchw(offsets)
        lowest = self._lowest(x.dtype)
        first_taps = self._first_taps(window, outputs)
        for rows, part, taps in _blocks(image, window, outputs):
            best = y[rows]
            if offsets is None:
                _maxima(part, taps, best, lowest)
                continue
            found = offsets[rows]
            found[...] = first_taps[rows]
            _maxima(part, taps, best, lowest, found)
            if x.dtype.kind == "f" and np.isnan(best.max()):
                # The last NaN of a window wins: rare enough to be found in a second pass.
                _place_nan(part, taps, found)
        return nchw(y), None if offsets is None else nchw(offsets)

    def max_pool2d_input_grad(
        self, g: Array, offsets: Array, x_shape: Shape, window: Window
    ) -> Array:
        if g.dtype.kind != "f":
            return super().max_pool2d_input_grad(g, offsets, x_shape, window)
        grad, offset = hwnc(g), hwnc(offsets)
        n, c, height, width = x_shape
        dx = np.zeros((height, width, n, c), g.dtype)
        bits = np.dtype(f"i{g.dtype.itemsize}")
        outputs = offset.shape[:2]
        for rows in row_blocks(outputs[0], offset[:1].size):
            block, taken_at = contiguous_image(grad[rows]), offset[rows]
            share = np.empty_like(block)
            taps = list(_taps(window, (height, width), outputs, rows))
            for tap, windows, elements in reversed(taps):
                mask = (taken_at[windows] == tap).view(np.int8)
                np.negative(mask, out=mask)  # 1 becomes -1: all bits set
                target, value = dx[elements], block[windows].view(bits)
                if window.disjoint:
                    np.bitwise_and(value, mask, out=target.view(bits))
                else:
                    part = share[windows]
                    np.bitwise_and(value, mask, out=part.view(bits))
                    target += part
        return nchw(dx)

    @in_float32
    def avg_pool2d(
        self, x: Array, window: Window, count_include_pad: bool, divisor_override: int | None
    ) -> Array:
        image = hwnc(x)
        size, outputs = image.shape[:2], window.output_size(image.shape[:2])
        if x.dtype.kind != "f":
            return super().avg_pool2d(x, window, count_include_pad, divisor_override)
        y = np.empty((*outputs, *image.shape[2:]), x.dtype)
        divisor = self._divisors(
            window, size, outputs, count_include_pad, divisor_override, x.dtype
        )
        if window.covers(size):
            np.sum(image, axis=(0, 1), out=y[0, 0])
            y /= divisor
            return nchw(y)
        for rows, part, taps in _blocks(image, window, outputs):
            total = y[rows]
            _totals(part, taps, total)
            total /= divisor[rows] if isinstance(divisor, np.ndarray) else divisor
        return nchw(y)

    @in_float32
    def avg_pool2d_input_grad(
        self,
        g: Array,
        x_shape: Shape,
        window: Window,
        count_include_pad: bool,
        divisor_override: int | None,
    ) -> Array:
        grad = hwnc(g)
        n, c, height, width = x_shape
        size, outputs = (height, width), grad.shape[:2]
        divisor = self._divisors(
            window, size, outputs, count_include_pad, divisor_override, g.dtype
        )
        if window.covers(size):
            dx = np.empty((*size, n, c), g.dtype)
            dx[...] = grad / divisor
            return nchw(dx)
        dx = np.zeros((*size, n, c), g.dtype)
        for rows in row_blocks(outputs[0], grad[:1].size):
            taps = list(_taps(window, size, outputs, rows))
            share = np.divide(
                contiguous_image(grad[rows]),
                divisor[rows] if isinstance(divisor, np.ndarray) else divisor,
                dtype=g.dtype,
            )
            for _, windows, elements in reversed(taps):
                if window.disjoint:
                    dx[elements] = share[windows]
                else:
                    dx[elements] += share[windows]
        return nchw(dx)


def _blocks(
    image: Array, window: Window, outputs: Pair
) -> Iterator[tuple[slice, Array, list[Tap]]]:
    """(output rows, the input rows they read, their taps), the input with long contiguous runs."""
    height, width = image.shape[:2]
    stride, extent, (before, _) = window.stride[0], window.extent[0], window.padding[0]
    row_size = outputs[1] * image.shape[2] * image.shape[3]
    for rows in row_blocks(outputs[0], row_size):
        first = min(max(0, rows.start * stride - before), height)
        end = max(first, (rows.stop - 1) * stride - before + extent)
        part = long_runs(image[first:end])
        yield rows, part, list(_taps(window, (height, width), outputs, rows, first))


def _taps(window: Window, size: Pair, outputs: Pair, rows: slice, origin: int = 0) -> Iterator[Tap]:
    """(tap, windows, elements): Window.tap_slices cut to some output rows.

    ``windows`` counts from the first of these rows, ``elements`` from input row ``origin``.
    """
    stride = window.stride
    kernel_height, kernel_width = window.kernel_size
    spans = [window.tap_span(1, tap, size[1], outputs[1]) for tap in range(kernel_width)]
    for row in range(kernel_height):
        first, end, at = window.tap_span(0, row, size[0], outputs[0])
        low, high = max(first, rows.start), min(end, rows.stop)
        if low >= high:
            continue
        windows = slice(low - rows.start, high - rows.start)
        top = at + (low - first) * stride[0] - origin
        elements = slice(top, top + (high - low - 1) * stride[0] + 1, stride[0])
        for column, (left, right, start) in enumerate(spans):
            if left < right:
                stop = start + (right - left - 1) * stride[1] + 1
                yield (
                    row * kernel_width + column,
                    (windows, slice(left, right)),
                    (elements, slice(start, stop, stride[1])),
                )


def _started(part: Array, taps: list[Tap], out: Array, start: Any) -> list[Tap]:
    """Begin a running result in ``out``; the taps still to be taken into it."""
    if taps and out[taps[0][1]].shape == out.shape:
        out[...] = part[taps[0][2]]
        return taps[1:]
    out[...] = start
    return taps


def _totals(part: Array, taps: list[Tap], out: Array) -> None:
    for _, windows, elements in _started(part, taps, out, 0):
        target = out[windows]
        target += part[elements]


def _maxima(
    part: Array, taps: list[Tap], out: Array, lowest: Any, found: Array | None = None
) -> None:
    """The running maximum, and in ``found`` the tap of the first element that equals it."""
    wins = np.empty(out.shape, bool)
    won = np.empty(out.shape, np.uint8 if found is None else found.dtype)
    for tap, windows, elements in _started(part, taps, out, lowest):
        best, value = out[windows], part[elements]
        if found is not None:
            np.greater(value, best, out=wins[windows])
            _mark(found[windows], wins[windows], tap, won[windows])
        np.maximum(best, value, out=best)


def _place_nan(part: Array, taps: list[Tap], found: Array) -> None:
    """Point ``found`` at the last NaN of each window that has one.

    Nothing was greater than a NaN, so no tap marked so far comes after one.
    """
    wins, won = np.empty(found.shape, bool), np.empty_like(found)
    for tap, windows, elements in taps:
        np.isnan(part[elements], out=wins[windows])
        _mark(found[windows], wins[windows], tap, won[windows])


def _mark(found: Array, wins: Array, tap: int, won: Array) -> None:
    """found = tap where ``wins``; taps come in ascending order. ``won`` is scratch."""
    np.multiply(wins.view(np.uint8), found.dtype.type(tap), out=won)
    np.maximum(found, won, out=found)
