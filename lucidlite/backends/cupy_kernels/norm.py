"""Batch normalization on a GPU: three launches forward, three backward.

An image's pixels are rows of channels in memory, so statistics are sums down columns. Anything
else but (N, C) is turned so that channels lie last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.cupy_kernels.reduce import cut, lanes_for
from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.norm import NormKernels

BLOCK = 256


class CuPyNorm(NormKernels):
    """What ``NormKernels`` has, for CuPy arrays. Statistics of float16 are float32."""

    norms_float16 = True

    if TYPE_CHECKING:
        launch: Any

        def images(self, array: Array) -> Array: ...
        def seen(self, image: Array) -> Array: ...

    def batch_norm_train(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        running: tuple[Array | None, Array | None],
        momentum: float,
        eps: float,
    ) -> tuple[Array, Array, Array]:
        if not x.size:
            return super().batch_norm_train(x, weight, bias, running, momentum, eps)
        wide = _wide(x)
        direct = all(a is not None and a.dtype == wide and a.flags.c_contiguous for a in running)
        moving = running if direct else (None, None)
        rows = self._rows(x)
        stats = self._statistics(rows, moving, momentum, eps)
        if running[0] is not None and not direct:  # float16, or strided: by the base's rule
            count = x.size // x.shape[1]
            for held, now in zip(running, (stats[0], stats[1] * (count / max(count - 1, 1))),
                                 strict=True):  # fmt: skip
                self.blend(held, now, momentum)
        return self._normalized(x, rows, stats[0], stats[2], weight, bias), stats[0], stats[2]

    def _statistics(self, rows: Array, running: Any, momentum: float, eps: float) -> Array:
        """Mean, variance and ``1 / sqrt(var + eps)`` a channel of (..., C)."""
        channels = rows.shape[-1]
        count, wide = rows.size // channels, _wide(rows)
        lanes = lanes_for(channels)
        tiles = -(-channels // lanes)
        blocks, chunk = cut(count, BLOCK // lanes, tiles)
        partial = self.xp.empty((blocks, 2, channels), wide)
        stats = self.xp.empty((3, channels), wide)
        args: tuple[Any, ...] = (rows, partial, count, channels, lanes, chunk)
        self.launch(
            "norm", "moments", count, *args, dtype=rows.dtype, block=BLOCK, grid=(tiles, blocks)
        )
        args = (partial, stats, *running, count, channels, lanes, chunk, blocks, momentum, eps)
        self.launch("norm", "statistics", count, *args, dtype=wide, block=BLOCK, grid=(tiles,))
        return stats

    def channel_stats(self, x: Array) -> tuple[Array, Array]:
        if not x.size:
            return super().channel_stats(x)
        stats = self._statistics(self._rows(x), (None, None), 0.0, 0.0)
        return stats[0], stats[1]

    def inverse_std(self, var: Array, eps: float) -> Array:
        if var.dtype == np.float16:
            return super().inverse_std(var, eps)
        out = self.xp.empty(var.shape, var.dtype)
        var = self.xp.ascontiguousarray(var)
        self.launch("norm", "inverse_std", var.size, var, out, var.size, eps, dtype=var.dtype)
        return out

    def batch_norm(
        self, x: Array, mean: Array, invstd: Array, weight: Array | None, bias: Array | None
    ) -> Array:
        return self._normalized(x, self._rows(x), mean, invstd, weight, bias)

    def _normalized(
        self, x: Array, rows: Array, mean: Array, invstd: Array, weight: Any, bias: Any
    ) -> Array:
        out = self.xp.empty(rows.shape, x.dtype)
        values = [_as(a, _wide(x)) for a in (mean, invstd, weight, bias)]
        args = rows, *values, out, rows.size, rows.shape[-1]
        self.launch("norm", "normalize", rows.size, *args, dtype=x.dtype)
        return self._back(out, x)

    def batch_norm_backward(
        self, g: Array, x: Array, mean: Array, invstd: Array, weight: Array | None, training: bool
    ) -> tuple[Array, Array, Array]:
        if not x.size:
            return super().batch_norm_backward(g, x, mean, invstd, weight, training)
        channels, wide = x.shape[1], _wide(x)
        count = x.size // channels
        g_rows, rows = self._rows(g), self._rows(x)
        mean, invstd, weight = (_as(a, wide) for a in (mean, invstd, weight))
        lanes = lanes_for(channels)
        tiles = -(-channels // lanes)
        blocks, chunk = cut(count, BLOCK // lanes, tiles)
        partial = self.xp.empty((blocks, 2, channels), wide)
        grads = self.xp.empty((2, channels), wide)
        args: tuple[Any, ...] = (g_rows, rows, mean, invstd, partial, count, channels, lanes, chunk)
        self.launch(
            "norm", "gradient_sums", count, *args, dtype=x.dtype, block=BLOCK, grid=(tiles, blocks)
        )
        args = partial, grads, channels, lanes, blocks
        self.launch("norm", "gradient_totals", count, *args, dtype=wide, block=BLOCK, grid=(tiles,))
        out = self.xp.empty(rows.shape, x.dtype)
        share = 1.0 / count if training else 0.0
        args = g_rows, rows, mean, invstd, weight, grads, out, rows.size, channels, share
        self.launch("norm", "normalize_grad", rows.size, *args, dtype=x.dtype)
        return self._back(out, x), grads[0], grads[1]

    def _rows(self, x: Array) -> Array:
        """(N, C, ...) with the channels last, contiguous."""
        if x.ndim == 4:
            return self.images(x)
        return self.xp.ascontiguousarray(self.xp.moveaxis(x, 1, -1))

    def _back(self, rows: Array, x: Array) -> Array:
        if x.ndim == 4:
            return self.seen(rows)
        return self.xp.ascontiguousarray(self.xp.moveaxis(rows, -1, 1))


def _wide(x: Array) -> Any:
    return np.dtype(np.float64 if x.dtype == np.float64 else np.float32)


def _as(array: Array | None, kind: Any) -> Array | None:
    if array is None:
        return None
    array = array.astype(kind, copy=False)
    return array if array.flags.c_contiguous else array.copy(order="C")
