"""Softmax and cross-entropy on a GPU: a launch each, whatever axis the scores lie along."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.loss import LossKernels

if TYPE_CHECKING:
    from lucidlite.backends.cupy_kernels.alarms import Alarms

BLOCK = 256
# Longer rows are a whole block's work, shorter ones a warp's.
LONG_ROW = 1024
MOST_BLOCKS = 1024


class CuPyLoss(LossKernels):
    """What ``LossKernels`` has, for CuPy arrays."""

    alarms: Alarms

    if TYPE_CHECKING:
        launch: Any

        def contiguous(self, array: Array) -> Array: ...
        def check_alarms(self) -> None: ...
        def in_memory_order(self, array: Array) -> tuple[Array, tuple[int, ...]]: ...

    def softmax(self, x: Array, axis: int) -> Array:
        return self._softmax(x, axis, False)

    def log_softmax(self, x: Array, axis: int) -> Array:
        return self._softmax(x, axis, True)

    def _softmax(self, x: Array, axis: int, logarithm: bool) -> Array:
        flat, order = self.in_memory_order(x)
        return self._along("softmax", order, axis, logarithm, flat)

    def softmax_grad(self, g: Array, y: Array, axis: int, logarithm: bool) -> Array:
        flat, order = self.in_memory_order(y)
        g = self.contiguous(g.transpose(order))
        return self._along("softmax_grad", order, axis, logarithm, g, flat)

    def _along(
        self, name: str, order: tuple[int, ...], axis: int, logarithm: bool, *arrays: Array
    ) -> Array:
        """A kernel's result along an axis; ``arrays`` are contiguous, their axes in ``order``."""
        x = arrays[0]
        out = self.xp.empty(x.shape, x.dtype)
        at = order.index(axis) if x.ndim else 0
        size, inner = x.shape[at] if x.ndim else 1, prod(x.shape[at + 1 :])
        if x.size:
            rows = x.size // size
            args = *arrays, out, rows, size
            if inner == 1:
                self._over_rows(name, rows, size, x.dtype, *args, logarithm)
            else:
                name += "_columns"
                self.launch("loss", name, rows, *args, inner, logarithm, dtype=x.dtype)
        return out.transpose(tuple([order.index(d) for d in range(x.ndim)])) if x.ndim else out

    def logsumexp(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        away = [axis % x.ndim for axis in axes] if x.ndim else []
        kept = [axis for axis in range(x.ndim) if axis not in away]
        rows, size = prod([x.shape[d] for d in kept]), prod([x.shape[d] for d in away])
        out = self.xp.empty(tuple([x.shape[d] for d in kept]), x.dtype)
        if not size:
            out.fill(-np.inf)
        elif rows:
            flat = self.xp.ascontiguousarray(x.transpose((*kept, *away)))
            self._over_rows("logsumexp", rows, size, x.dtype, flat, out, rows, size)
        if keepdims:
            out = out.reshape(tuple([1 if d in away else n for d, n in enumerate(x.shape)]))
        return out

    def cross_entropy(
        self,
        x: Array,
        target: Array,
        ignore_index: int | None,
        mean: bool,
        keep: bool,
        alarm: int = 0,
    ) -> tuple[Array, Any]:
        rows, classes = x.shape
        wide = np.float64 if x.dtype == np.float64 else np.float32
        x, target = self.contiguous(x), self._classes(target)
        rowwise = self.xp.empty((2, rows), wide)
        per_block = BLOCK // _threads(classes)
        blocks = max(1, min(-(-rows // per_block), MOST_BLOCKS))
        partial = self.xp.empty((blocks, 2), wide)
        loss, scale = self.xp.empty((), x.dtype), self.xp.empty((), wide)
        self._over_rows(
            "cross_entropy", max(rows, 1), classes, x.dtype, x, target, rowwise, partial, rows,
            classes, *_ignored(ignore_index), self.alarms.flag, alarm,
        )  # fmt: skip
        args = partial, loss, scale, blocks, mean
        self.launch("loss", "cross_entropy_sum", 1, *args, dtype=x.dtype, block=BLOCK, grid=(1,))
        if self.alarms.at_once:
            self.check_alarms()
        return loss, (rowwise, scale) if keep else None

    def cross_entropy_backward(
        self, g: Array, state: Any, x: Array, target: Array, ignore_index: int | None
    ) -> Array:
        rows, classes = x.shape
        x, out = self.contiguous(x), self.xp.empty(x.shape, x.dtype)
        self.launch(
            "loss", "cross_entropy_grad", x.size, g, x, self._classes(target), *state, out, x.size,
            rows, classes, *_ignored(ignore_index), dtype=x.dtype,
        )  # fmt: skip
        return out

    def _classes(self, target: Array) -> Array:
        return self.contiguous(target).astype(np.int64, copy=False)

    def _over_rows(self, name: str, rows: int, size: int, kind: Any, *args: Any) -> None:
        """Launch a kernel that handles rows by warps or by blocks."""
        threads = _threads(size)
        grid = min(-(-rows // (BLOCK // threads)), MOST_BLOCKS)
        self.launch(
            "loss", name, rows, *args, dtype=kind, block=BLOCK, grid=(grid,),
            defines=(("THREADS", threads),),
        )  # fmt: skip


def _threads(size: int) -> int:
    return 32 if size <= LONG_ROW else BLOCK


def _ignored(ignore_index: int | None) -> tuple[int, int]:
    return (0, 0) if ignore_index is None else (ignore_index, 1)
