"""A convolution with 1 x 1 windows is one product: every pixel's channels times the weights.

In conv layout the pixels of all images are the rows of one matrix already, (H * W * N, C). With a
stride, the pixels that windows stand on are copied first; the others have a gradient of zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array, hwnc, nchw
from lucidlite.backends.kernels.conv import Grads
from lucidlite.backends.numpy_kernels.layout import (
    bias_grad,
    contiguous_image,
    row_blocks,
    share_blocks,
    total,
)
from lucidlite.backends.numpy_kernels.products import multiply
from lucidlite.window import Window

# Pixels that are multiplied at a time, whatever their channels.
PIXELS = 1 << 12


class Pointwise:
    """For windows of one element, without padding and without groups, of any stride."""

    def forward(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        window: Window,
        groups: int,
        keep: bool,
        memo: dict[Any, Any] | None = None,
    ) -> tuple[Array, None]:
        del groups, keep, memo
        pixels = _pixels(x, window)
        y = np.empty((*pixels.shape[:3], w.shape[0]), x.dtype)
        _rows_times(pixels, _matrix(w).T, y, bias)
        return nchw(y), None

    def backward(
        self,
        g: Array,
        x: Array,
        w: Array,
        state: Any,
        window: Window,
        groups: int,
        needs: tuple[bool, ...],
    ) -> Grads:
        del groups, state
        grad = contiguous_image(hwnc(g))
        dx = dw = None
        if needs[0]:
            dx = _input_grad(grad, _matrix(w), hwnc(x).shape, window)
        if needs[1]:
            dw = _weight_grad(grad, _pixels(x, window)).reshape(w.shape)
        return dx, dw, bias_grad(grad) if needs[2] else None


def _matrix(w: Array) -> Array:
    return np.ascontiguousarray(w).reshape(w.shape[:2])


def _pixels(x: Array, window: Window) -> Array:
    """The pixels windows stand on, contiguous (OH, OW, N, C)."""
    down, across = window.stride
    return contiguous_image(hwnc(x)[::down, ::across])


def _flat(image: Array) -> Array:
    return image.reshape(1, -1, image.shape[3])


def _rows_times(image: Array, matrix: Array, out: Array, bias: Array | None = None) -> None:
    """out = image @ matrix + bias, both contiguous images."""
    a, y, b = _flat(image), _flat(out), np.ascontiguousarray(matrix)[None]

    def work(blocks: Sequence[slice]) -> None:
        for rows in blocks:
            multiply(a[:, rows], b, y[:, rows])
            if bias is not None:
                y[:, rows] += bias

    blocks = list(row_blocks(a.shape[1], 1, PIXELS))
    share_blocks(work, blocks, blocks[0].stop * b.shape[1] * b.shape[2] // 10)


def _input_grad(grad: Array, matrix: Array, shape: tuple[int, ...], window: Window) -> Array:
    if window.stride == (1, 1):
        dx = np.empty(shape, grad.dtype)
        _rows_times(grad, matrix, dx)
        return nchw(dx)
    dx = np.zeros(shape, grad.dtype)
    share = np.empty((*grad.shape[:3], shape[3]), grad.dtype)
    _rows_times(grad, matrix, share)
    dx[:: window.stride[0], :: window.stride[1]] = share
    return nchw(dx)


def _weight_grad(grad: Array, image: Array) -> Array:
    """(K, C): over all pixels, the sum of gradient times input."""
    g, x = _flat(grad)[0], _flat(image)[0]

    def work(blocks: Sequence[slice]) -> Array:
        rows = slice(blocks[0].start, blocks[-1].stop)
        return g[rows].T @ x[rows]

    blocks = list(row_blocks(len(g), 1, PIXELS))
    cost = blocks[0].stop * g.shape[1] * x.shape[1] // 10
    return total(share_blocks(work, blocks, cost))
