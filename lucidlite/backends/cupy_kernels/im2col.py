"""Convolution through matrix products, where cuDNN isn't there or has no plan: any float, any GPU.

Every window becomes a row, (rows, taps, C / groups), in chunks of images that fit ``CHUNK``.
Float16 is multiplied in float32 (with TF32, which holds every float16 exactly) and rounded once.
Groups of one channel need no rows: their kernels sum directly. Images here are C-contiguous
(N, H, W, C).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends import cudnn as switches
from lucidlite.backends.cupy_kernels.matmul import GRID, product_slices, wide
from lucidlite.backends.kernels import Array
from lucidlite.window import Window

CHUNK = 256 << 20  # bytes of rows at a time
DIRECT_PARTS = 64  # into which the rows of a direct weight gradient are cut


def factor(dtype: np.dtype[Any], channels: int) -> np.dtype[Any]:
    """The dtype a packed weight of so many channels a group is wanted in."""
    return dtype if channels == 1 else wide(dtype)


class Columns:
    """The three convolutions on images in their memory's order."""

    xp: Any

    if TYPE_CHECKING:
        capturing: bool

        launch: Any
        def ours(self, multiplications: int) -> bool: ...
        def gemm(self, a: Array, b: Array, out: Array, *form: Any) -> None: ...
        def cublas(self, a: Array, b: Array, tf32: bool, out: Array | None = None) -> Array: ...

    def packed_weight(self, w: Array) -> Array:
        """(K, C / groups, kH, kW) as C-contiguous (K, kH, kW, C / groups)."""
        k, c, kh, kw = w.shape
        w = self.xp.ascontiguousarray(w)
        if c == 1 or kh * kw == 1:
            return w.reshape(k, kh, kw, c)
        packed = self.xp.empty((k, kh, kw, c), w.dtype)
        self.launch("conv", "pack_weight", w.size, w, packed, w.size, c, kh * kw, dtype=w.dtype)
        return packed

    def columns_forward(
        self, x: Array, packed: Array, bias: Array | None, y: Array, window: Window, groups: int
    ) -> None:
        """Write the convolution of x with a packed weight of ``factor`` dtype to ``y``."""
        k, c = packed.shape[0], packed.shape[3]
        if bias is not None:
            bias = self.xp.ascontiguousarray(bias)
        if c == 1:
            self.launch("conv", "depthwise", y.size, x, packed, bias, y, y.size, x.shape[3],
                        k // x.shape[3], *_places(x, y, window), dtype=x.dtype)  # fmt: skip
            return
        half = x.dtype != packed.dtype
        for images in self._image_chunks(x, y, window, packed.dtype):
            part = y[images]
            rows = part.size // k
            columns = self._window_rows(x[images], part, window, groups, packed.dtype)
            out = self.xp.empty((rows, k), packed.dtype) if half else part.reshape(rows, k)
            fused = self._rows_by_weight(columns, packed, out, groups, half, bias)
            if half or (bias is not None and not fused):
                self.add_bias(out, bias, part)

    def add_bias(self, sums: Array, bias: Array | None, y: Array) -> None:
        """Write ``sums``, which may be ``y`` itself, plus the bias of the last axis."""
        narrow = (("NARROW", 1),) if sums.dtype.char == "e" else ()
        self.launch("conv", "add_bias", y.size, sums, bias, y, y.size, y.shape[-1],
                    dtype=y.dtype, defines=narrow)  # fmt: skip

    def _rows_by_weight(
        self, columns: Array, packed: Array, out: Array, groups: int, half: bool, bias: Array | None
    ) -> bool:
        """``columns @ weight.T`` for every group; whether the bias was added, too."""
        rows, k = out.shape
        depth = packed.size // k
        if groups == 1 and not self.ours(rows * packed.size):
            weight = packed.reshape(k, depth).T
            self.cublas(columns.reshape(rows, depth), weight, half or switches.allow_tf32, out)
            return False
        bias, each = None if half else bias, k // groups
        self.gemm(
            columns, packed, out, (rows, each, depth), (depth, depth, k),
            (rows * depth, each * depth, each), (False, True), groups, 1, bias, 0, 1, each,
        )  # fmt: skip
        return True

    def columns_input_grad(
        self, g: Array, packed: Array, dx: Array, window: Window, groups: int
    ) -> None:
        """Write the gradient of the input to ``dx``; the packed weight is of ``factor`` dtype."""
        k, c = packed.shape[0], packed.shape[3]
        if c == 1:
            self.launch(
                "conv", "depthwise_input_grad", dx.size, g, packed, dx, dx.size, dx.shape[3],
                k // dx.shape[3], *_places(dx, g, window), dtype=g.dtype,
            )  # fmt: skip
            return
        depth, each = packed.size // k, k // groups
        direct = _is_pointwise(window, groups) and g.dtype == packed.dtype
        for images in self._image_chunks(dx, g, window, packed.dtype):
            g_part, dx_part = g[images], dx[images]
            wide_g = g_part.astype(packed.dtype, copy=False)
            rows = g_part.size // k
            columns = (
                dx_part.reshape(rows, depth)
                if direct
                else self.xp.empty((groups, rows, depth), packed.dtype)
            )
            if groups == 1 and not self.ours(rows * packed.size):
                a, b = wide_g.reshape(rows, k), packed.reshape(k, depth)
                tf32 = switches.allow_tf32 or g.dtype != packed.dtype
                self.cublas(a, b, tf32, columns.reshape(rows, depth))
            else:
                self.gemm(
                    wide_g, packed, columns, (rows, depth, each), (k, depth, depth),
                    (each, each * depth, rows * depth), (False, False), groups,
                )  # fmt: skip
            if not direct:
                self.launch(
                    "conv", "col2im", dx_part.size, columns, dx_part, dx_part.size,
                    *_geometry(dx_part, g_part, window), groups, rows, dtype=g.dtype,
                )  # fmt: skip

    def columns_weight_grad(
        self, g: Array, x: Array, k: int, c: int, window: Window, groups: int
    ) -> Array:
        """The packed gradient of the weight in slices, (slices, K * taps * C / groups)."""
        if c == 1:
            return self._direct_weight_grad(g, x, window)
        dtype = wide(g.dtype)
        depth, each = window.taps * c, k // groups
        chunks = self._image_chunks(x, g, window, dtype)
        rows = g[chunks[0]].size // k
        ours = groups > 1 or self.ours(rows * k * depth)
        slices = product_slices(each, depth, rows, groups) if ours else 1
        parts = self.xp.empty((len(chunks), slices, k * depth), dtype)
        for images, part in zip(chunks, parts, strict=True):
            g_part = g[images].astype(dtype, copy=False)
            rows = g_part.size // k
            columns = self._window_rows(x[images], g_part, window, groups, dtype)
            if ours:
                self.gemm(
                    g_part, columns, part, (each, depth, rows), (k, depth, depth),
                    (each, rows * depth, each * depth), (True, False), groups, slices,
                )  # fmt: skip
            else:
                a, b = g_part.reshape(rows, k).T, columns.reshape(rows, depth)
                tf32 = switches.allow_tf32 or g.dtype != dtype
                self.cublas(a, b, tf32, part.reshape(k, depth))
        return parts.reshape(-1, k * depth)

    def _direct_weight_grad(self, g: Array, x: Array, window: Window) -> Array:
        k = g.shape[3]
        rows, size = g.size // k, k * window.taps
        share = -(-rows // DIRECT_PARTS)
        blocks = -(-rows // share)
        parts = self.xp.empty((blocks, size), wide(g.dtype))
        self.launch(
            "conv", "depthwise_weight_parts", 0, g, x, parts, rows, share, x.shape[3],
            k // x.shape[3], *_places(x, g, window), dtype=g.dtype,
            grid=(blocks, min(-(-size // 256), GRID)),
        )  # fmt: skip
        return parts

    def _image_chunks(
        self, x: Array, y: Array, window: Window, dtype: np.dtype[Any]
    ) -> list[slice]:
        """Images at a time, so that their windows fit."""
        windows = y.shape[1] * y.shape[2]
        bytes_each = windows * window.taps * x.shape[3] * dtype.itemsize
        most = max(1, CHUNK // max(1, bytes_each))
        return [slice(i, i + most) for i in range(0, len(x), most)]

    def _window_rows(
        self, x: Array, y: Array, window: Window, groups: int, dtype: np.dtype[Any]
    ) -> Array:
        """The rows: (groups, windows, taps * C / groups). The image itself where windows are."""
        c, rows = x.shape[3], y.size // y.shape[3]
        if _is_pointwise(window, groups):
            return x.astype(dtype, copy=False)
        columns = self.xp.empty((groups, rows, window.taps * (c // groups)), dtype)
        self.launch("conv", "im2col", rows * c, x, columns, rows * c, *_geometry(x, y, window),
                    groups, dtype=x.dtype)  # fmt: skip
        return columns


def _is_pointwise(window: Window, groups: int) -> bool:
    """Whether every element is a window."""
    return groups == window.taps == 1 == max(window.stride) and not window.padded


def _geometry(x: Array, y: Array, window: Window) -> tuple[int, ...]:
    """What the kernels are told: channels, sizes of x and y, the window's numbers."""
    return x.shape[3], *_places(x, y, window)


def _places(x: Array, y: Array, window: Window) -> tuple[int, ...]:
    (top, _), (left, _) = window.padding
    return (
        x.shape[1], x.shape[2], y.shape[1], y.shape[2], *window.kernel_size, *window.stride,
        *window.dilation, top, left,
    )  # fmt: skip
