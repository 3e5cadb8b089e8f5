"""Pooling on a GPU: one launch each, every element written by one thread from what it needs."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.cupy_kernels.packs import pack_of
from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.pool import PoolKernels, Shape
from lucidlite.window import Pair, Window

# Threads there is room for at once, several times over: those of more go through several rows.
_THREADS = 1 << 21
_MOST_ROWS = 65535  # that a grid has

# Elements of a window that is the whole plane, up to which one thread may add them up.
_MOST_ADDED = 64

# The kernels multiply such numbers as 32-bit integers.
_LARGEST = 1 << 28


class CuPyPool(PoolKernels):
    """Pools of floating-point images, (N, H, W, C) in memory; others are the base kernels'."""

    if TYPE_CHECKING:
        launch: Any

        def images(self, array: Array) -> Array: ...
        def seen(self, image: Array) -> Array: ...
        def mean(self, array: Array, axis: tuple[int, ...], keepdims: bool) -> Array: ...
        def cast(self, array: Array, dtype: np.dtype[Any]) -> Array: ...

    def max_pool2d(self, x: Array, window: Window, keep: bool) -> tuple[Array, Array | None]:
        numbers = _numbers(window, x.shape[2:])
        if x.dtype.kind != "f" or numbers is None:
            return super().max_pool2d(x, window, keep)
        image = self.images(x)
        n, height, width, c = image.shape
        shape = (n, *window.output_size((height, width)), c)
        y = self.xp.empty(shape, x.dtype)
        taps = self.xp.empty(shape, self._offset_dtype(window)) if keep else None
        self._pooled("max_pool", y, (image, y, taps), (height, width, shape[1], *numbers), taps)
        return self.seen(y), None if taps is None else self.seen(taps)

    def max_pool2d_input_grad(
        self, g: Array, offsets: Array, x_shape: Shape, window: Window
    ) -> Array:
        numbers = _numbers(window, x_shape[2:])
        if g.dtype.kind != "f" or numbers is None:
            return super().max_pool2d_input_grad(g, offsets, x_shape, window)
        grad, taps = self.images(g), self.images(offsets)
        n, c, height, width = x_shape
        dx = self.xp.empty((n, height, width, c), g.dtype)
        sizes = (height, *grad.shape[1:3], *numbers, window.disjoint)
        self._pooled("max_pool_grad", dx, (grad, taps, dx), sizes, taps)
        return self.seen(dx)

    def max_pool2d_gather(self, x: Array, offsets: Array, window: Window) -> Array:
        numbers = _numbers(window, x.shape[2:])
        if x.dtype.kind != "f" or numbers is None:
            return super().max_pool2d_gather(x, offsets, window)
        image, taps = self.images(x), self.images(offsets)
        y = self.xp.empty(taps.shape, x.dtype)
        sizes = (*image.shape[1:3], y.shape[1], *numbers[1:])
        self._pooled("max_pool_gather", y, (image, taps, y), sizes, taps)
        return self.seen(y)

    def max_pool2d_indices(self, offsets: Array, x_shape: Shape, window: Window) -> Array:
        numbers = _numbers(window, x_shape[2:])
        if numbers is None:
            return super().max_pool2d_indices(offsets, x_shape, window)
        taps = self.images(offsets)
        places = self.xp.empty(taps.shape, self.xp.int64)
        _, *outputs, c = taps.shape
        self.launch(
            "pool", "max_pool_places", taps.size,
            taps, places, taps.size, c, x_shape[3], *outputs, *numbers[1:],
            defines=(("VEC", 1), ("TAP_BYTES", taps.itemsize)),
        )  # fmt: skip
        return self.seen(places)

    def avg_pool2d(
        self, x: Array, window: Window, count_include_pad: bool, divisor_override: int | None
    ) -> Array:
        numbers = _average_numbers(window, x.shape[2:], count_include_pad, divisor_override)
        if x.dtype.kind != "f" or numbers is None:
            return super().avg_pool2d(x, window, count_include_pad, divisor_override)
        if window.taps > _MOST_ADDED and divisor_override is None and window.covers(x.shape[2:]):
            return self.mean(x, (2, 3), True)
        image = self.images(x)
        n, height, width, c = image.shape
        y = self.xp.empty((n, *window.output_size((height, width)), c), x.dtype)
        self._pooled("avg_pool", y, (image, y), (height, width, y.shape[1], *numbers))
        return self.seen(y)

    def avg_pool2d_input_grad(
        self,
        g: Array,
        x_shape: Shape,
        window: Window,
        count_include_pad: bool,
        divisor_override: int | None,
    ) -> Array:
        numbers = _average_numbers(window, x_shape[2:], count_include_pad, divisor_override)
        if g.dtype.kind != "f" or numbers is None:
            return super().avg_pool2d_input_grad(
                g, x_shape, window, count_include_pad, divisor_override
            )
        grad = self.images(g)
        n, c, height, width = x_shape
        dx = self.xp.empty((n, height, width, c), g.dtype)
        self._pooled("avg_pool_grad", dx, (grad, dx), (height, width, *grad.shape[1:3], *numbers))
        return self.seen(dx)

    def adaptive_max_pool2d(self, x: Array, output_size: Pair) -> tuple[Array, Array]:
        if x.dtype.kind != "f" or _large_bins(x.shape[2:], output_size):
            return super().adaptive_max_pool2d(x, output_size)
        image = self.images(x)
        n, height, width, c = image.shape
        y = self.xp.empty((n, *output_size, c), x.dtype)
        places = self.xp.empty(y.shape, self.xp.int64)
        self._pooled("adaptive_max_pool", y, (image, y, places), (height, width, *output_size))
        return self.seen(y), self.seen(places)

    def adaptive_avg_pool2d(self, x: Array, output_size: Pair) -> Array:
        if x.dtype.kind != "f" or _large_bins(x.shape[2:], output_size):
            return super().adaptive_avg_pool2d(x, output_size)
        image = self.images(x)
        n, height, width, c = image.shape
        y = self.xp.empty((n, *output_size, c), x.dtype)
        self._pooled("adaptive_avg_pool", y, (image, y), (height, width, *output_size))
        return self.seen(y)

    def adaptive_avg_pool2d_input_grad(self, g: Array, x_shape: Shape) -> Array:
        if g.dtype.kind != "f" or _large_bins(x_shape[2:], g.shape[2:]):
            return super().adaptive_avg_pool2d_input_grad(g, x_shape)
        grad = self.images(g)
        n, c, height, width = x_shape
        dx = self.xp.empty((n, height, width, c), g.dtype)
        sizes = (height, width, *grad.shape[1:3])
        self._pooled("adaptive_avg_pool_grad", dx, (grad, dx), sizes)
        return self.seen(dx)

    def plane_gather(self, x: Array, indices: Array) -> Array:
        if x.dtype.kind != "f":
            return super().plane_gather(x, indices)
        image, places = self.images(x), self.images(indices)
        y = self.xp.empty(places.shape, x.dtype)
        _, height, width, c = image.shape
        outputs = y.shape[1] * y.shape[2]
        self.launch(
            "pool", "plane_gather", y.size, image, places, y, y.size, c, height * width, outputs,
            dtype=x.dtype,
        )  # fmt: skip
        return self.seen(y)

    def plane_scatter(self, g: Array, indices: Array, x_shape: Shape) -> Array:
        if g.dtype.kind != "f":
            return super().plane_scatter(g, indices, x_shape)
        grad, places = self.images(g), self.images(indices)
        n, c, height, width = x_shape
        wide = np.float64 if g.dtype.char == "d" else np.float32
        dx = self.xp.empty((n, height, width, c), wide)
        outputs = grad.shape[1] * grad.shape[2]
        self.launch(
            "pool", "plane_scatter", n * c, grad, places, dx, n * c, c, height * width, outputs,
            dtype=g.dtype, block=64,
        )  # fmt: skip
        return self.seen(dx if g.dtype == wide else self.cast(dx, g.dtype))

    def _pooled(
        self,
        name: str,
        out: Array,
        arrays: tuple[Array | None, ...],
        numbers: tuple[int, ...],
        taps: Array | None = None,
    ) -> None:
        """Launch for every pack of ``out``, the (N, H, W, C) image that is written."""
        n, height, width, c = out.shape
        # Of the widest taps, a pack would be more than a thread loads at once.
        narrow = taps is None or taps.itemsize < 4
        pack = pack_of(out, *[a for a in arrays if a is not None], run=c) if narrow else 1
        rows, columns = n * height, width * (c // pack)
        block = min(256, -(-columns // 32) * 32)
        across = -(-columns // block) if columns else 0
        down = min(rows, _MOST_ROWS, max(1, _THREADS // max(1, across * block)))
        defines = ("VEC", pack), ("TAP_BYTES", 1 if taps is None else taps.itemsize)
        self.launch(
            "pool", name, out.size, *arrays, rows, columns, c // pack, *numbers,
            dtype=out.dtype, block=block, grid=(across, down), defines=defines,
        )  # fmt: skip


@lru_cache(maxsize=512)
def _numbers(window: Window, size: Pair) -> tuple[int, ...] | None:
    """Kernel size, stride, padding before and dilation; None of any too large for the kernels."""
    (top, bottom), (left, right) = window.padding
    found = (*window.kernel_size, *window.stride, top, left, *window.dilation)
    largest = max(*found, *window.extent, *size, bottom, right, window.taps)
    return found if largest < _LARGEST else None


@lru_cache(maxsize=512)
def _average_numbers(
    window: Window, size: Pair, include_pad: bool, divisor: int | None
) -> tuple[int, ...] | None:
    """As ``_numbers``, but for dilation padding after, whether it counts, and the divisor or 0."""
    found = _numbers(window, size)
    if found is None or abs(divisor or 0) >= _LARGEST:
        return None
    (_, bottom), (_, right) = window.padding
    return (*found[:6], bottom, right, int(include_pad), divisor or 0)


def _large_bins(size: tuple[int, ...], output_size: tuple[int, ...]) -> bool:
    """Whether the kernels can't multiply a place by the number of bins."""
    return any((n + 1) * (o + 1) >= 8 * _LARGEST for n, o in zip(size, output_size, strict=True))
