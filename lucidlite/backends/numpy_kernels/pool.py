"""Pooling on NumPy: maxima in ``max_pool``, averages here, by sums of rows and then of columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array, hwnc, in_float32, nchw
from lucidlite.backends.kernels.pool import Shape
from lucidlite.backends.numpy_kernels.blocks import Block, Scratch, Source, blocks, runs, share
from lucidlite.backends.numpy_kernels.max_pool import NumPyMaxPool
from lucidlite.backends.numpy_kernels.pool_plan import (
    Span,
    Spread,
    column_spans,
    column_spread,
    row_plan,
    row_spread,
)
from lucidlite.window import Window


class NumPyPool(NumPyMaxPool):
    """PoolKernels in blocks of rows."""

    @in_float32
    def avg_pool2d(
        self, x: Array, window: Window, count_include_pad: bool, divisor_override: int | None
    ) -> Array:
        image = hwnc(x)
        height, width, n, c = image.shape
        outputs = window.output_size((height, width))
        if x.dtype.kind != "f" or window.covers((height, width)) or not x.size:
            return super().avg_pool2d(x, window, count_include_pad, divisor_override)
        divisor = self._divisors(
            window, (height, width), outputs, count_include_pad, divisor_override, x.dtype
        )
        y = np.empty((*outputs, n, c), x.dtype)
        out = y.reshape(*outputs, n * c)
        columns = column_spans(window, width, outputs[1])

        def work(todo: Sequence[Block]) -> None:
            sums, source = Scratch(x.dtype), Source(image)
            for rows, piece in todo:
                plan = row_plan(window, height, outputs[0], rows.start, rows.stop)
                target = out[rows, :, piece]
                total = sums((target.shape[0], width, target.shape[2]))
                _add_up(source(plan.source, piece), plan.spans, total)
                _add_up(total, columns, target)
                target /= _of_rows(divisor, rows)

        todo = blocks(outputs[0], min(window.stride[0], height) * width, n * c)
        passes = window.kernel_size[0] * width + (window.kernel_size[1] + 1) * outputs[1]
        share(work, todo, outputs[0] * n * c * passes // len(todo))
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
        n, c, height, width = x_shape
        grad = runs(hwnc(g))
        outputs = grad.shape[:2]
        divisor = self._divisors(
            window, (height, width), outputs, count_include_pad, divisor_override, g.dtype
        )
        dx = np.empty((height, width, n, c), g.dtype)
        if not dx.size:
            return nchw(dx)
        if window.covers((height, width)):
            dx[...] = hwnc(g) / divisor + (-0.0 if window.disjoint else 0.0)
            return nchw(dx)
        out = dx.reshape(height, width, n * c)
        columns = column_spread(window, width, outputs[1])

        def work(todo: Sequence[Block]) -> None:
            shares, stacked = Scratch(g.dtype), Scratch(g.dtype)
            for rows, piece in todo:
                windows, down = row_spread(window, height, outputs[0], rows.start, rows.stop)
                block = grad[windows, :, piece]
                part = shares(block.shape)
                np.divide(block, _of_rows(divisor, windows), out=part)
                if not window.disjoint:
                    part += 0.0  # a sum that begins with 0 is never -0.0
                target = out[rows, :, piece]
                tall = stacked((target.shape[0], *part.shape[1:]))
                _spread(part, down, tall)
                _spread(tall, columns, target)

        todo = blocks(height, width, n * c)
        passes = 1 + window.kernel_size[0] * outputs[0] // height
        share(work, todo, (dx.size * passes + grad.size) // len(todo))
        return nchw(dx)


def _of_rows(divisor: Any, rows: slice) -> Any:
    return divisor[rows, :, :, 0] if isinstance(divisor, np.ndarray) else divisor


def _add_up(source: Array, spans: tuple[Span, ...], out: Array) -> None:
    """Into ``out`` the sums of each window's elements along one axis."""
    for windows, taps, _ in spans:
        target, parts = out[windows], [source[elements] for _, elements in taps]
        if len(parts) < 2:
            target[...] = parts[0] if parts else 0
            continue
        np.add(parts[0], parts[1], out=target)
        for part in parts[2:]:
            target += part


def _spread(share: Array, plan: Spread, out: Array) -> None:
    """Into each element of ``out`` the sum of its windows' shares along one axis."""
    for empty in plan.empty:
        out[empty] = 0
    for windows, elements, first in plan.steps:
        if first:
            out[elements] = share[windows]
        else:
            target = out[elements]
            target += share[windows]
