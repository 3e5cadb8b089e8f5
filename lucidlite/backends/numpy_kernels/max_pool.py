"""Max pooling on NumPy: running maxima along rows, then along columns, a block at a time.

What is avoided costs 10 to 50 times more than what is used: ``where=``, ``np.where``, boolean
indexing and argmax. A position is a maximum of (won * tap) over the taps, since later taps are
larger numbers; a masked gradient is its bits and-ed with a mask, which also keeps an infinite
gradient from turning its neighbours into NaN, as a product with the mask would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array, hwnc, nchw
from lucidlite.backends.kernels.pool import PoolKernels, Shape
from lucidlite.backends.numpy_kernels.blocks import Block, Scratch, Source, blocks, runs, share
from lucidlite.backends.numpy_kernels.pool_plan import (
    RowPlan,
    Span,
    bin_columns,
    bin_rows,
    column_spans,
    row_plan,
    scatter_plan,
)
from lucidlite.window import Pair, Window, adaptive_bins

# Rows of windows in a block, where windows overlap and blocks read some rows twice.
_TOGETHER = 8

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
        if y.size:
            maxima = _Maxima(
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
        maxima = _Maxima(
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


class _Room:
    """The temporary arrays of a thread."""

    def __init__(self, dtype: Any, places: Any) -> None:
        self.values, self.places = Scratch(dtype), Scratch(places)
        self.wins, self.won = Scratch(np.bool_), Scratch(places)


# (values, places, number): an element is tap place + number of its window; None stands for zeros.
Candidate = tuple[Array, "Array | None", int]


class _Maxima:
    """The maxima of blocks of windows and, in ``found``, the first tap of each that has it."""

    def __init__(
        self,
        image: Array,
        y: Array,
        found: Array | None,
        lowest: Any,
        columns: tuple[Span, ...],
        plan: Callable[[int, int], RowPlan],
        kernel_width: int,
    ) -> None:
        self.image, self.lowest = image, lowest
        self.columns, self.plan, self.kernel_width = columns, plan, kernel_width
        self.y = y.reshape(*y.shape[:2], y.shape[2] * y.shape[3])
        self.found = None if found is None else found.reshape(self.y.shape)

    def work(self, todo: Sequence[Block]) -> None:
        room = _Room(self.y.dtype, np.uint8 if self.found is None else self.found.dtype)
        source = Source(self.image)
        for rows, piece in todo:
            plan = self.plan(rows.start, rows.stop)
            part, best = source(plan.source, piece), self.y[rows, :, piece]
            found = None if self.found is None else self.found[rows, :, piece]
            take = self._rows_once if plan.overlap else self._rows_in_turn
            take(part, plan, best, found, room)
            for span in plan.spans:
                if not span.taps:
                    self._on_padding(span, best, found)
            if found is not None and best.dtype.kind == "f" and np.isnan(best.max()):
                # The last NaN of a window wins: rare enough to be found in a second pass.
                self._place_nan(part, plan, found, room)

    def _rows_once(
        self, part: Array, plan: RowPlan, best: Array, found: Array | None, room: _Room
    ) -> None:
        """The maxima within each row are worked out once, for all windows it belongs to."""
        shape = (len(part), *best.shape[1:])
        values, places = room.values(shape), None if found is None else room.places(shape)
        self._within_rows(part, values, places, room)
        for windows, taps, _ in plan.spans:
            if taps:
                candidates = [
                    (values[rows], None if places is None else places[rows], self._number(tap))
                    for tap, rows in taps
                ]
                mark = None if found is None else found[windows]
                _first_largest(candidates, best[windows], mark, room)

    def _rows_in_turn(
        self, part: Array, plan: RowPlan, best: Array, found: Array | None, room: _Room
    ) -> None:
        """Windows share no rows: each is taken in as soon as its maxima are known."""
        for windows, taps, _ in plan.spans:
            target, mark = best[windows], None if found is None else found[windows]
            for turn, (tap, rows) in enumerate(taps):
                if not turn:
                    self._within_rows(part[rows], target, mark, room)
                    so_far = self._number(tap)
                    continue
                values = room.values(target.shape)
                places = None if mark is None else room.places(target.shape)
                self._within_rows(part[rows], values, places, room)
                candidates = [(target, mark, so_far), (values, places, self._number(tap))]
                _first_largest(candidates, target, mark, room)
                so_far = 0
            if len(taps) == 1 and so_far and mark is not None:
                mark += mark.dtype.type(so_far)

    def _within_rows(self, part: Array, best: Array, found: Array | None, room: _Room) -> None:
        """The maxima of each row for itself; ``found`` counts along it."""
        for windows, taps, lone in self.columns:
            target, mark = best[windows], None if found is None else found[windows]
            if taps:
                _first_largest([(part[at], None, tap) for tap, at in taps], target, mark, room)
                continue
            target[...] = self.lowest
            if mark is not None:
                mark[...] = lone

    def _on_padding(self, span: Span, best: Array, found: Array | None) -> None:
        """Windows all of whose rows step over the plane."""
        best[span.windows] = self.lowest
        if found is not None:
            for windows, taps, lone in self.columns:
                column = taps[0][0] if taps else lone
                found[span.windows][windows] = self._number(span.lone) + column

    def _number(self, row: int) -> int:
        """The first tap of a row of the window."""
        return row * self.kernel_width

    def _place_nan(self, part: Array, plan: RowPlan, found: Array, room: _Room) -> None:
        """Point ``found`` at the last NaN of each window that has one.

        Nothing was greater than a NaN, so no tap found so far comes after one.
        """
        for windows, taps, _ in plan.spans:
            for row, rows in taps:
                for across, columns, _ in self.columns:
                    mark = found[windows][across]
                    wins, won = room.wins(mark.shape), room.won(mark.shape)
                    for column, at in columns:
                        np.isnan(part[rows][at], out=wins)
                        tap = mark.dtype.type(self._number(row) + column)
                        np.multiply(wins.view(np.uint8), tap, out=won)
                        np.maximum(mark, won, out=mark)


def _first_largest(
    candidates: list[Candidate], target: Array, mark: Array | None, room: _Room
) -> None:
    """The largest of the candidates into ``target``, the tap of the first such into ``mark``.

    Their taps ascend, and those of the first may be in ``target`` and ``mark`` already.
    """
    best, places, number = candidates[0]
    if len(candidates) == 1:
        target[...] = best
    if mark is not None and (number or len(candidates) == 1):
        if places is None:
            mark[...] = number
        else:
            np.add(places, mark.dtype.type(number), out=mark)
        places = mark
    for value, others, tap in candidates[1:]:
        if mark is not None and tap == 1 and places is others is None and mark.itemsize == 1:
            np.greater(value, best, out=mark.view(np.bool_))  # True is tap 1
            places = mark
        elif mark is not None:
            wins = np.greater(value, best, out=room.wins(target.shape)).view(np.uint8)
            first = mark.dtype.type(tap)
            # All is zeros before the first mark: no need to look for the larger.
            won = mark if places is None else room.won(target.shape)
            if others is None:
                np.multiply(wins, first, out=won)
            else:
                np.multiply(np.add(others, first, out=room.won(target.shape)), wins, out=won)
            if places is not None:
                np.maximum(places, won, out=mark)
            places = mark
        # Of zeros that differ in sign the second is taken on most machines: the first element.
        np.maximum(value, best, out=target)
        best = target
