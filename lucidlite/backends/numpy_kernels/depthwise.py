"""Depthwise convolution on NumPy: each tap is one multiply-add of a shifted image, no products.

All arrays are (H, W, N, C) images; output channel k reads input channel k // (K / C).
"""

from __future__ import annotations

import numpy as np

from lucidlite.backends.kernels import Array, nchw
from lucidlite.backends.kernels.conv import Shape
from lucidlite.backends.numpy_kernels.layout import row_blocks
from lucidlite.window import Window


def depthwise(image: Array, w: Array, window: Window, y: Array) -> None:
    """y = the convolution of a padded image with w (K, 1, kH, kW)."""
    rows_of, columns, n, k = y.shape
    image = _repeated(image, k)
    weight = _tap_rows(w, n)
    out = y.reshape(rows_of, columns, n * k)
    for rows in row_blocks(rows_of, columns * n * k):
        block = out[rows]
        product = np.empty_like(block)
        for tap in range(window.taps):
            source = image[window.padded_slices(tap, rows.start, rows.stop, columns)]
            np.multiply(source, weight[tap], out=product if tap else block)
            if tap:
                block += product


def depthwise_grads(
    grad: Array,
    image: Array | None,
    w: Array | None,
    x_shape: Shape,
    w_shape: Shape,
    window: Window,
) -> tuple[Array | None, Array | None]:
    """(dx, dw): dw where the padded image is given, dx where w is."""
    rows_of, columns, n, k = grad.shape
    _, c, height, width = x_shape
    (top, bottom), (left, right) = window.padding
    flat = grad.reshape(rows_of, columns, n * k)
    dx = dw = None
    if w is not None:
        weight = _tap_rows(w, n)
        dx = np.zeros((height + top + bottom, width + left + right, n * k), grad.dtype)
    if image is not None:
        image = _repeated(image, k)
        dw = np.zeros((window.taps, n * k), grad.dtype)
    for rows in row_blocks(rows_of, columns * n * k):
        block = flat[rows]
        product = np.empty_like(block)
        for tap in range(window.taps):
            place = window.padded_slices(tap, rows.start, rows.stop, columns)
            if dx is not None:
                target = dx[place]
                target += np.multiply(block, weight[tap], out=product)
            if image is not None and dw is not None:
                np.multiply(block, image[place], out=product)
                dw[tap] += product.sum((0, 1), dtype=grad.dtype)
    if dx is not None:
        dx = dx.reshape(*dx.shape[:2], n, k)
        if k != c:
            dx = dx.reshape(*dx.shape[:2], n, c, k // c).sum(4, dtype=grad.dtype)
        dx = nchw(dx[top : top + height, left : left + width])
    if dw is not None:
        dw = dw.reshape(window.taps, n, k).sum(1, dtype=grad.dtype)
        dw = np.ascontiguousarray(dw.T).reshape(w_shape)
    return dx, dw


def _repeated(image: Array, k: int) -> Array:
    """The image with a channel for each output channel, as rows of N * K elements."""
    height, width, n, c = image.shape
    if k != c:
        image = np.repeat(image, k // c, axis=3)
    return image.reshape(height, width, n * k)


def _tap_rows(w: Array, n: int) -> Array:
    """(taps, N * K): each tap's weights, repeated for every image of the batch."""
    return np.tile(w.reshape(w.shape[0], -1).T, n)
