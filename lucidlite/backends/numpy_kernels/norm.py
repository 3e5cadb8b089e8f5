"""Batch normalization on the CPU: a few passes over blocks that stay in the cache.

Images in conv layout, and (N, C), are walked as rows of whole pixels, a few thousand elements long,
with the values of the channels repeated along a row; those in row-major order plane by plane.
Sums are taken a block at a time, whoever takes them, and added up in float64 in the blocks' order:
no result depends on the number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array, hwnc, nchw
from lucidlite.backends.kernels.norm import NormKernels
from lucidlite.backends.numpy_kernels.layout import contiguous_image
from lucidlite.threads import cut, parallel

# Elements in a block: a pass over one takes a thread a tenth of a millisecond.
BLOCK = 1 << 18
# Elements in a row of pixels: a pass costs little a row, and a row of values stays in the cache.
RUN = 1 << 12
# Planes shorter than this are many small calls' worth of work inside NumPy.
SHORTEST_PLANE = 16
# Rows shorter than this are better copied.
SHORTEST_BUFFER = 512
# So few elements are one block, for which no buffer is worth setting.
LITTLE = 1 << 14
# Where mean^2 is more than so many variances, sums of squares would lose digits: the mean is
# taken off the elements first, for one more pass.
FAR = 16.0


class _Scratch(threading.local):
    """A block of memory for each thread and dtype."""

    def __init__(self) -> None:
        self.held: dict[Any, Array] = {}

    def like(self, array: Array) -> Array:
        held = self.held.get(array.dtype)
        if held is None or held.size < array.size:
            held = np.empty(max(array.size, BLOCK), array.dtype)
            if array.size <= 2 * BLOCK:
                self.held[array.dtype] = held
        return held[: array.size].reshape(array.shape)


_scratch = _Scratch()


class _Channels:
    """How the values of an (N, C, ...) array are walked: ``flat``, two-dimensional, in blocks."""

    def __init__(self, shape: tuple[int, ...], row_major: bool) -> None:
        self.shape = shape
        n, c = shape[:2]
        size = prod(shape)
        length = size // (n * c)
        self.image = len(shape) == 4 and not (row_major and length >= SHORTEST_PLANE)
        self.planes = not self.image and length > 1
        self.pieces = 1  # rows to a plane
        if self.planes:
            piece = repeats(length, 1)
            self.pieces = length // piece if piece >= SHORTEST_PLANE else 1
            self.flat_shape = n * c * self.pieces, length // self.pieces
            self.repeats = n
        else:
            self.repeats = repeats(size // c, c)
            self.flat_shape = size // c // self.repeats, self.repeats * c
        rows, row = self.flat_shape
        # NumPy copies values that are spread over rows shorter than its buffers: one more pass.
        self.buffer = min(1 << (row.bit_length() - 1), 1024) if row >= SHORTEST_BUFFER else 8192
        step = max(1, BLOCK // row)
        self.blocks = [slice(i, min(i + step, rows)) for i in range(0, rows, step)]

    def flat(self, x: Array) -> Array:
        """``x`` (of this shape, in any memory order) as ``flat_shape``, a copy where it must be."""
        if self.image:
            return contiguous_image(hwnc(x)).reshape(self.flat_shape)
        return np.ascontiguousarray(x).reshape(self.flat_shape)

    def result(self, flat: Array) -> Array:
        """What ``flat`` is of the shape ``x`` had."""
        if self.image:
            n, c, height, width = self.shape
            return nchw(flat.reshape(height, width, n, c))
        return flat.reshape(self.shape)

    def spread(self, values: Array, dtype: Any) -> Array:
        """One value a channel, to broadcast over ``flat``."""
        out = np.empty((self.repeats, self.shape[1], self.pieces), dtype)
        out[...] = values.reshape(-1, 1)
        return out.reshape(-1, 1) if self.planes else out.reshape(1, -1)

    def run(self, work: Callable[[int, slice, slice], None], passes: int) -> None:
        """``work(number, block, block of spread values)`` for every block, over the threads."""
        blocks, everything = self.blocks, slice(None)
        rows, row = self.flat_shape
        if rows * row <= LITTLE:
            work(0, blocks[0], everything)
            return

        def part(span: tuple[int, int]) -> None:
            with np.errstate():
                np.setbufsize(self.buffer)
                for number in range(*span):
                    rows = blocks[number]
                    work(number, rows, rows if self.planes else everything)

        parallel(part, cut(len(blocks), -(-rows * row // len(blocks)) * passes))

    def sums(self, x: Array, y: Array | None = None, off: Array | None = None) -> Array:
        """The sums over each channel of x and of x * (y - off), (2, C) in float64.

        Without y: of x and of (x - off)^2.
        """
        rows, row = self.flat_shape
        found = np.empty((2, rows) if self.planes else (2, len(self.blocks), row), x.dtype)
        axis, spec = (1, "ij,ij->i") if self.planes else (0, "ij,ij->j")

        def block(number: int, rows: slice, channels: slice) -> None:
            at = rows if self.planes else number
            a = x[rows]
            b = a if y is None else y[rows]
            np.add.reduce(a, axis=axis, out=found[0, at])
            if off is not None:
                b = np.subtract(b, off[channels], out=_scratch.like(b))
                a = b if y is None else a
            np.einsum(spec, a, b, out=found[1, at])

        self.run(block, 2 if off is None else 3)
        if self.planes:
            found = found.reshape(2, self.repeats, -1, self.pieces)
            return np.add.reduce(found, axis=(1, 3), dtype=np.float64)
        total = np.add.reduce(found, axis=1, dtype=np.float64)
        return np.add.reduce(total.reshape(2, self.repeats, -1), axis=1)


@lru_cache(256)
def repeats(pixels: int, channels: int) -> int:
    """How many whole pixels make a row: the largest divisor that keeps it within RUN."""
    most = max(1, RUN // channels)
    if pixels <= most:
        return pixels
    # The divisor's power of two alone is nearly always enough.
    best = min(pixels & -pixels, 1 << (most.bit_length() - 1))
    if best * channels * 4 >= RUN:
        return best
    return max(k for k in range(best, most + 1) if pixels % k == 0)


_channels_of = lru_cache(256)(_Channels)


def _walk(x: Array) -> _Channels | None:
    """How ``x`` is walked; None where planes are short or hold nothing."""
    if not x.size or (x.ndim not in (2, 4) and prod(x.shape[2:]) < SHORTEST_PLANE):
        return None
    return _channels_of(x.shape, x.flags.c_contiguous)


class NumPyNorm(NormKernels):
    """What ``NormKernels`` has, for NumPy arrays."""

    def batch_norm_train(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        running: tuple[Array | None, Array | None],
        momentum: float,
        eps: float,
    ) -> tuple[Array, Array, Array]:
        channels = _walk(x)
        if channels is None:
            return super().batch_norm_train(x, weight, bias, running, momentum, eps)
        flat = channels.flat(x)
        count = x.size // x.shape[1]
        total, squares = channels.sums(flat)
        mean = total / count
        var = squares / count - mean * mean
        if (mean * mean > FAR * var).any():
            off = channels.spread(mean, x.dtype)
            _, squares = channels.sums(flat, off=off)
            # The rounded mean is a little off: what that adds is taken out again.
            rest = mean - mean.astype(x.dtype)
            var = np.maximum(squares / count - rest * rest, 0)
        invstd = 1 / np.sqrt(var + eps)
        for held, now in zip(running, (mean, var * (count / max(count - 1, 1))), strict=True):
            if held is not None:
                held *= 1.0 - momentum
                held += now * momentum
        scale = invstd if weight is None else invstd * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        out = _scale_shift(channels, flat, scale, shift)
        return out, mean.astype(x.dtype), invstd.astype(x.dtype)

    def batch_norm(
        self, x: Array, mean: Array, invstd: Array, weight: Array | None, bias: Array | None
    ) -> Array:
        channels = _walk(x)
        if channels is None:
            return super().batch_norm(x, mean, invstd, weight, bias)
        scale = invstd if weight is None else invstd * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        return _scale_shift(channels, channels.flat(x), scale, shift)

    def batch_norm_backward(
        self, g: Array, x: Array, mean: Array, invstd: Array, weight: Array | None, training: bool
    ) -> tuple[Array, Array, Array]:
        channels = _walk(x)
        if channels is None:
            return super().batch_norm_backward(g, x, mean, invstd, weight, training)
        flat, grad = channels.flat(x), channels.flat(g)
        count, kind = x.size // x.shape[1], x.dtype
        wide_mean, wide_invstd = mean.astype(np.float64), invstd.astype(np.float64)
        far = bool(((wide_mean * wide_invstd) ** 2 > FAR).any())
        off = channels.spread(mean, kind) if far else None
        db, dw = channels.sums(grad, flat, off)
        if off is None:
            dw -= wide_mean * db
        dw *= wide_invstd
        scale = wide_invstd if weight is None else wide_invstd * weight
        dx = np.empty(channels.flat_shape, kind)
        by_g = channels.spread(scale, kind)
        if not training:

            def scaled(_: int, rows: slice, at: slice) -> None:
                np.multiply(grad[rows], by_g[at], out=dx[rows])

            channels.run(scaled, 1)
            return channels.result(dx), dw.astype(kind), db.astype(kind)
        # dx = scale * (g - db / n - xhat * dw / n), as g * by_g + x * by_x + rest
        slope = -scale * wide_invstd * dw / count
        level = -scale * db / count
        by_x = channels.spread(slope, kind)
        rest = channels.spread(level if far else level - slope * wide_mean, kind)

        def block(_: int, rows: slice, at: slice) -> None:
            a, into = flat[rows], dx[rows]
            work = _scratch.like(a)
            if off is not None:
                a = np.subtract(a, off[at], out=work)
            np.multiply(a, by_x[at], out=work)
            np.add(work, rest[at], out=work)
            np.multiply(grad[rows], by_g[at], out=into)
            np.add(into, work, out=into)

        channels.run(block, 4)
        return channels.result(dx), dw.astype(kind), db.astype(kind)


def _scale_shift(channels: _Channels, flat: Array, scale: Array, shift: Array) -> Array:
    """``x * scale + shift``, one of each a channel."""
    out = np.empty(channels.flat_shape, flat.dtype)
    by, plus = channels.spread(scale, flat.dtype), channels.spread(shift, flat.dtype)

    def block(_: int, rows: slice, at: slice) -> None:
        into = out[rows]
        np.multiply(flat[rows], by[at], out=into)
        np.add(into, plus[at], out=into)

    channels.run(block, 2)
    return channels.result(out)
