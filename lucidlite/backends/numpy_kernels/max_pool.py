"""Max pooling on NumPy and its gradient; how maxima are found is in ``maxima.py``.

A masked gradient is its bits and-ed with a mask, several times faster than ``np.where``; that also
keeps an infinite gradient from turning its neighbours into NaN, as a product with the mask would.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array, hwnc, nchw
from lucidlite.backends.kernels.pool import PoolKernels, Shape
from lucidlite.backends.numpy_kernels.blocks import Block, Scratch, blocks, runs, share
from lucidlite.backends.numpy_kernels.maxima import Maxima, Room, first_largest
from lucidlite.backends.numpy_kernels.pool_plan import (
    bin_columns,
    bin_rows,
    column_spans,
    row_plan,
    scatter_plan,
)
from lucidlite.window import Pair, Window, adaptive_bins

# Rows of windows in a block, where windows overlap and blocks read some rows twice.
_TOGETHER = 8

# Small windows, up to so many maxima of them, are soon compared tap by tap, without blocks.
_SMALL, _SMALL_TAPS = 1 << 14, 4

# With more taps than these, placing gradients one by one is faster than a pass for each tap.
_FEW_TAPS, _FEW_TAPS_TO_ADD = 16, 9


class NumPyMaxPool(PoolKernels):
    """Max pooling and its gradient, as PoolKernels."""

    def max_pool2d(self, x: Array, window: Window, keep: bool) -> tuple[Array, Array | None]:
        image = hwnc(x)
        height, width, n, c = image.shape
        outputs = window.output_size((height, width))
        y = np.empty((*outputs, n, c), x.dtype)
        offsets = np.empty(y.shape, self._offset_dtype(window)) if keep else None
        small = y.size <= _SMALL and window.taps <= _SMALL_TAPS
        if y.size and not (small and _tap_by_tap(image, window, y, offsets)):
            maxima = Maxima(
                image,
                y,
                offsets,
                self._lowest(x.dtype),
                column_spans(window, width, outputs[1]),
                partial(row_plan, window, height, outputs[0]),
                window.kernel_size[1],
            )
            together = _TOGETHER if window.extent[0] > window.stride[0] else 1
            todo = blocks(outputs[0], min(window.stride[0], height) * width, n * c, together)
            passes = sum(window.kernel_size) * (3 if keep else 1)
            share(maxima.work, todo, y.size * passes // len(todo))
        return nchw(y), None if offsets is None else nchw(offsets)

    def max_pool2d_input_grad(
        self, g: Array, offsets: Array, x_shape: Shape, window: Window
    ) -> Array:
        if g.dtype.kind != "f":
            return super().max_pool2d_input_grad(g, offsets, x_shape, window)
        n, c, height, width = x_shape
        dx = np.empty((height, width, n, c), g.dtype)
        if not dx.size:
            return nchw(dx)
        out, grad, offset = dx.reshape(height, width, n * c), runs(hwnc(g)), runs(hwnc(offsets))
        outputs = grad.shape[:2]
        if grad.size <= _SMALL and window.taps <= _SMALL_TAPS and window.disjoint:
            taps = _inner_taps(window, (height, width))
            if taps is not None:
                _spread_tap_by_tap(grad, offset, taps, out)
                return nchw(dx)
        if window.taps > (_FEW_TAPS if window.disjoint else _FEW_TAPS_TO_ADD):
            spans = row_plan(window, height, outputs[0], 0, outputs[0]).spans
            if all(span.taps for span in (*spans, *column_spans(window, width, outputs[1]))):
                at = runs(hwnc(self.max_pool2d_indices(offsets, x_shape, window)))
                _place(grad, at, out, window.disjoint)
                return nchw(dx)

        def work(todo: Sequence[Block]) -> None:
            masks, shares, blank = Scratch(np.int8), Scratch(g.dtype), Scratch(g.dtype)
            bits = np.dtype(f"i{g.dtype.itemsize}")
            for rows, piece in todo:
                plan = scatter_plan(window, (height, width), outputs, rows.start, rows.stop)
                target = out[rows, :, piece]
                for part in plan.empty:
                    target[part] = 0
                block, taken = grad[plan.windows, :, piece], offset[plan.windows, :, piece]
                if not window.disjoint:
                    # Sums that begin with 0 have no -0.0; here the first of them isn't added.
                    block = np.add(block, 0.0, out=blank(block.shape))
                block = block.view(bits)
                for tap, windows, elements, first in plan.steps:
                    found = taken[windows]
                    mask = masks(found.shape)
                    np.equal(found, tap, out=mask.view(np.bool_))
                    np.negative(mask, out=mask)  # 1 becomes -1: all bits set
                    if first:
                        np.bitwise_and(block[windows], mask, out=target[elements].view(bits))
                    else:
                        value = shares(found.shape)
                        np.bitwise_and(block[windows], mask, out=value.view(bits))
                        target[elements] += value

        todo = blocks(height, width, n * c)
        share(work, todo, (dx.size + 2 * grad.size * window.taps) // len(todo))
        return nchw(dx)

    def max_pool2d_gather(self, x: Array, offsets: Array, window: Window) -> Array:
        image, offset = hwnc(x), hwnc(offsets)
        y = np.zeros(offset.shape, x.dtype)
        bits = np.dtype(f"i{x.dtype.itemsize}")
        source, taken = runs(image).view(bits), runs(offset)
        out = y.reshape(taken.shape).view(bits)
        for tap in range(window.taps):
            slices = window.tap_slices(tap, image.shape[:2], offset.shape[:2])
            if slices is not None:
                windows, elements = slices
                mask = np.equal(taken[windows], tap).view(np.int8)
                np.negative(mask, out=mask)
                out[windows] |= np.bitwise_and(source[elements], mask)
        return nchw(y)

    def max_pool2d_indices(self, offsets: Array, x_shape: Shape, window: Window) -> Array:
        offset = hwnc(offsets)
        kernel_width, width = window.kernel_size[1], x_shape[3]
        (sh, sw), (dh, dw) = window.stride, window.dilation
        top, left = (np.arange(n, dtype=np.int64) for n in offset.shape[:2])
        starts = (top * sh - window.padding[0][0])[:, None] * width
        starts = starts + (left * sw - window.padding[1][0])
        # With tap = row * kernel_width + column, column * dw is tap * dw less a part of the row's.
        found: Array = np.multiply(offset, np.int64(dw), dtype=np.int64)
        found += starts[:, :, None, None]
        step = dh * width - dw * kernel_width
        if step:
            found += np.floor_divide(offset, kernel_width) * np.int64(step)
        return nchw(found)

    def adaptive_max_pool2d(self, x: Array, output_size: Pair) -> tuple[Array, Array]:
        image = hwnc(x)
        height, width, n, c = image.shape
        if x.size == 0 or 0 in output_size:
            return super().adaptive_max_pool2d(x, output_size)
        tops, lefts = adaptive_bins(height, output_size[0]), adaptive_bins(width, output_size[1])
        tallest, widest = (max(end - start for start, end in bins) for bins in (tops, lefts))
        y = np.empty((*output_size, n, c), x.dtype)
        found = np.empty(y.shape, np.uint8 if tallest * widest <= 256 else np.uint32)
        maxima = Maxima(
            image,
            y,
            found,
            self._lowest(x.dtype),
            bin_columns(width, output_size[1]),
            partial(bin_rows, height, output_size[0]),
            widest,
        )
        todo = blocks(output_size[0], -(-height // output_size[0]) * width, n * c)
        share(maxima.work, todo, 4 * x.size // len(todo))
        # From places in bins to places in the plane.
        top, left = (np.array(bins, np.int64)[:, 0] for bins in (tops, lefts))
        positions: Array = np.add((top[:, None] * width + left)[:, :, None, None], found)
        if width > widest:
            rows = np.floor_divide(found, found.dtype.type(widest))
            positions += np.multiply(rows, np.int64(width - widest))
        return nchw(y), nchw(positions)


def _tap_by_tap(image: Array, window: Window, y: Array, found: Array | None) -> bool:
    """The maxima, each over all taps in turn; False where it takes more than that."""
    taps = _inner_taps(window, image.shape[:2])
    if taps is None:
        return False
    flat = runs(image)
    best = y.reshape(*y.shape[:2], flat.shape[2])
    mark = None if found is None else found.reshape(best.shape)
    room = Room(y.dtype, np.uint8 if mark is None else mark.dtype)
    first_largest([(flat[at], None, tap) for tap, at in taps], best, mark, room)
    return mark is None or y.dtype.kind != "f" or not np.isnan(best.max())


def _spread_tap_by_tap(grad: Array, found: Array, taps: list[tuple[int, Any]], out: Array) -> None:
    """The gradients into ``out`` at the taps found, zeros at the others."""
    bits = np.dtype(f"i{grad.itemsize}")
    grad, target = grad.view(bits), out.view(bits)
    if out.size > len(taps) * grad.size:
        out[...] = 0  # some elements are in no window
    for tap, at in taps:
        mask = np.equal(found, tap).view(np.int8)
        np.bitwise_and(grad, np.negative(mask, mask), target[at])


@lru_cache(maxsize=256)
def _inner_taps(window: Window, size: Pair) -> list[tuple[int, Any]] | None:
    """What each tap reads, for windows that lie within the plane; None for others."""
    if window.padded or window.ceil_mode:
        return None
    outputs = window.output_size(size)
    slices = [window.tap_slices(tap, size, outputs) for tap in range(window.taps)]
    return [(tap, found[1]) for tap, found in enumerate(slices) if found is not None]


def _place(grad: Array, at: Array, out: Array, disjoint: bool) -> None:
    """Zeros in ``out``, and gradients added at positions in planes; (rows, columns, run) each."""
    out[...] = 0
    run = out.shape[2]
    at *= run
    at += np.arange(run)
    elements = out.reshape(-1)
    if disjoint:
        elements[at.ravel()] = grad.ravel()
    else:
        np.add.at(elements, at.ravel(), grad.ravel())
