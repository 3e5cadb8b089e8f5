"""Sums and means on a GPU, in whatever order the array lies in memory; the same bits each time."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.reduce import ReduceKernels

BLOCK = 256
# Blocks that keep a GPU busy; elements that a thread should have before there are more of them.
BLOCKS, EACH = 512, 8


class CuPyReduce(ReduceKernels):
    """What ``ReduceKernels`` has, for CuPy arrays."""

    sums_float16 = True

    if TYPE_CHECKING:
        launch: Any

        def adaptive_avg_pool2d_input_grad(self, g: Array, x_shape: tuple[int, ...]) -> Array: ...

    def in_memory_order(self, array: Array) -> tuple[Array, tuple[int, ...]]:
        """The array with its axes in memory's order, contiguous, and which axes they are.

        A copy in C order where no order of axes is contiguous.
        """
        order = tuple(range(array.ndim))
        if array.flags.c_contiguous:
            return array, order
        turned = tuple(sorted(order, key=lambda axis: -array.strides[axis]))
        flat = array.transpose(turned)
        if flat.flags.c_contiguous:
            return flat, turned
        return self.xp.ascontiguousarray(array), order

    def reduce(
        self, name: str, array: Array, axis: tuple[int, ...] | int | None, keepdims: bool = False
    ) -> Array:
        if name != "sum" or array.dtype.kind != "f" or not array.size:
            return super().reduce(name, array, axis, keepdims)
        axes = range(array.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        return self._folded(array, tuple(axes), keepdims, 1.0)

    def mean(self, array: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        if array.dtype.kind != "f" or not array.size:
            return super().mean(array, axis, keepdims)
        count = prod([array.shape[d] for d in axis])
        return self._folded(array, axis, keepdims, 1.0 / count)

    def mean_grad(self, g: Array, shape: tuple[int, ...], axis: tuple[int, ...]) -> Array:
        if len(shape) == 4 and sorted(axis) == [2, 3]:  # what convolutions and pools can read
            return self.adaptive_avg_pool2d_input_grad(g, shape)
        return super().mean_grad(g, shape, axis)

    def _folded(self, array: Array, axes: tuple[int, ...], keepdims: bool, scale: float) -> Array:
        """``scale`` times the sum over axes; float16 adds up in float32."""
        flat, order = self.in_memory_order(array)
        away = {axis % array.ndim for axis in axes} if array.ndim else set()
        sizes = _runs([(flat.shape[i], order[i] in away) for i in range(array.ndim)])
        for outer, size, inner, last in reversed(sizes):
            flat = self._fold(flat, outer, size, inner, scale if last else 1.0, array.dtype, last)
        if not sizes:  # axes of size 1 only, or none
            flat = self.xp.array(flat, copy=True)
        flat = flat.astype(array.dtype, copy=False)
        shape = [1 if axis in away else array.shape[axis] for axis in order]
        back = [order.index(axis) for axis in range(array.ndim)]
        out = flat.reshape(tuple(shape)).transpose(tuple(back))
        if not keepdims:
            out = out.reshape(tuple([n for axis, n in enumerate(out.shape) if axis not in away]))
        return out if out.ndim == 4 else self.xp.ascontiguousarray(out)

    def _fold(
        self, x: Array, outer: int, size: int, inner: int, scale: float, kind: Any, last: bool
    ) -> Array:
        """The sum over the middle of (outer, size, inner), in one launch or two."""
        wide = np.dtype(np.float64 if kind == np.float64 else np.float32)
        lanes = lanes_for(inner)
        tiles = -(-inner // lanes)
        block = min(BLOCK, max(32, 1 << (lanes * -(-size // EACH) - 1).bit_length()))
        blocks, chunk = cut(size, block // lanes, outer * tiles)
        final = last and blocks == 1 and x.dtype == kind
        out = self.xp.empty(outer * blocks * inner, kind if final else wide)
        self.launch(
            "reduce", "fold", x.size, x, out, size, inner, lanes, tiles, chunk,
            scale if blocks == 1 else 1.0, grid=(outer * tiles, blocks), block=block,
            dtype=x.dtype, defines=(("FINAL", 1),) if out.dtype != wide else (),
        )  # fmt: skip
        if blocks == 1:
            return out
        return self._fold(out, outer, blocks, inner, scale, kind, last)


def lanes_for(channels: int) -> int:
    """How many neighbours a block's threads lie along: a power of two, a warp's width at most."""
    return int(min(32, 1 << (channels - 1).bit_length()))


def cut(rows: int, at_once: int, others: int) -> tuple[int, int]:
    """Into how many blocks of how many rows: enough blocks, with something to do for each.

    A block takes ``at_once`` rows at a time, and ``others`` blocks there are anyway.
    """
    blocks = max(1, min(BLOCKS // others, rows // (at_once * EACH)))
    chunk = -(-rows // blocks)
    return -(-rows // chunk), chunk


def _runs(sizes: list[tuple[int, bool]]) -> list[tuple[int, int, int, bool]]:
    """Neighbouring axes to sum over as one: (outer, size, inner, whether it is summed last).

    ``sizes`` are the axes in memory's order, each with whether to sum over it. The list is in that
    order too: the last run is summed first, so ``outer`` counts what earlier runs still have.
    """
    found: list[tuple[int, int, int, bool]] = []
    at = 0
    while at < len(sizes):
        end = at + 1
        if sizes[at][1]:
            while end < len(sizes) and (sizes[end][1] or sizes[end][0] == 1):
                end += 1
            size = prod([n for n, _ in sizes[at:end]])
            outer = prod([n for n, _ in sizes[:at]])
            inner = prod([n for n, away in sizes[end:] if not away])
            if size > 1:
                found.append((outer, size, inner, not found))
        at = end
    return found
