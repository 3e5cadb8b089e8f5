"""Direct convolution where windows are few: three products with the weights as they lie.

A weight w (K, C, kH, kW) is a matrix of K rows already. ``direct.py`` puts its taps in another
order, and the gradient's back again, so that runs of channels are copied to the windows' matrix.
Where there are fewer windows than filters, or not many more, that takes longer than it saves: here
the windows' matrix X (windows, C * taps) is written in the weights' order, an element at a time:

    y = X @ w.T      dw = g.T @ X      dX = g @ w, each element added where it came from
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array, hwnc, nchw
from lucidlite.backends.kernels.conv import Grads, Shape
from lucidlite.backends.numpy_kernels.layout import (
    bias_grad,
    contiguous_image,
    padded_image,
    windows,
)
from lucidlite.backends.numpy_kernels.matmul import product
from lucidlite.window import Pair, Window


class FewWindows:
    """For any window, without groups. X is made whole: it must not be large."""

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
        y = product(_matrix(x, window), w.reshape(len(w), -1).T, bias)
        outputs = window.output_size((x.shape[2], x.shape[3]))
        return nchw(y.reshape(*outputs, len(x), len(w))), None

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
        del state, groups
        grad = contiguous_image(hwnc(g))
        rows = grad.reshape(-1, len(w))
        dx = dw = None
        if needs[0]:
            dx = _sum_up(product(rows, w.reshape(len(w), -1)), window, x.shape)
        if needs[1]:
            dw = product(rows.T, _matrix(x, window)).reshape(w.shape)
        return dx, dw, bias_grad(grad) if needs[2] else None


def _matrix(x: Array, window: Window) -> Array:
    """The windows, (OH * OW * N, C * kH * kW)."""
    image = padded_image(hwnc(x), window)
    n, c = image.shape[2:]
    outputs = window.output_size((x.shape[2], x.shape[3]))
    matrix = np.empty((*outputs, n, c, *window.kernel_size), x.dtype)
    source = windows(image, window, outputs)
    for row in range(window.kernel_size[0]):
        for column in range(window.kernel_size[1]):
            matrix[..., row, column] = source[:, :, row, column]
    return matrix.reshape(-1, c * window.taps)


def _sum_up(matrix: Array, window: Window, shape: Shape) -> Array:
    """The sums, in conv layout, of what a matrix like the windows' has of each element."""
    n, c, *size = shape
    dx = np.zeros((*size, n, c), matrix.dtype)
    outputs = window.output_size((size[0], size[1]))
    parts = matrix.reshape(*outputs, n, c, window.taps)
    for tap, (at, elements) in _taps(window, (size[0], size[1])):
        target = dx[elements]
        target += parts[at][..., tap]
    return nchw(dx)


@lru_cache(maxsize=256)
def _taps(window: Window, size: Pair) -> list[tuple[int, Any]]:
    """For each tap that meets elements: which windows', and which elements."""
    outputs = window.output_size(size)
    found = [(tap, window.tap_slices(tap, size, outputs)) for tap in range(window.taps)]
    return [(tap, slices) for tap, slices in found if slices is not None]
