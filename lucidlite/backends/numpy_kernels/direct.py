"""Direct convolution on NumPy: the elements of each window side by side, and one large product.

Side by side they are a matrix with a row for each window ("im2col"), taps * C long; times a matrix
(taps * C, K) of the weights it is the output. Why this is quick where im2col is known to be slow:

- The rows of a few lines of windows are written, multiplied and forgotten while in the cache.
- Images lie in memory as (H, W, N, C), so what is copied is runs of C elements, moved at once.
- The product is written where the output lies; OpenBLAS gets pieces it needn't pack first.

The gradients are products with the same matrices: of the input, a convolution of g with the weights
turned round (``transposed.py``); of the weights, the windows' matrix transposed, times g.

``convolve`` and ``weight_grad`` know groups, for ``grouped.py``: their matrices are a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array, hwnc, nchw
from lucidlite.backends.kernels.conv import Grads, Shape
from lucidlite.backends.numpy_kernels.layout import (
    bias_grad,
    contiguous_image,
    padded_image,
    row_blocks,
    scratch,
    share_blocks,
    total,
    windows,
)
from lucidlite.backends.numpy_kernels.products import multiply
from lucidlite.backends.numpy_kernels.transposed import input_shares, shares_cover
from lucidlite.window import Window

# Elements of windows in a block: few enough for the caches, many enough for a call of NumPy.
COLUMN_BLOCK = 1 << 19
# A block has so many windows at least, or a product would be done before it is under way.
LEAST_WINDOWS = 256
# Work cut in blocks has so many at least, for as many threads.
LEAST_BLOCKS = 8
# From this many images on, a tap is copied for all of them in one inner loop.
MANY_IMAGES = 16


# Rows and columns of a plane.
Block = tuple[slice, slice]


class Direct:
    """The convolution for any window, without groups."""

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
        del keep  # the windows' matrix is large and quickly built again
        y = np.empty((*window.output_size(x.shape[2:]), x.shape[0], w.shape[0]), x.dtype)
        key = "direct", groups
        weight = None if memo is None else memo.get(key)
        if weight is None:
            weight = window_weight(w, groups)
            if memo is not None:
                memo[key] = weight
        convolve(hwnc(x), window, weight, y, bias)
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
        del state
        grad = contiguous_image(hwnc(g))
        dx = dw = None
        if needs[0]:
            dx = input_grad(grad, w, x.shape, window, groups)
        if needs[1]:
            dw = weight_grad(hwnc(x), window, grad, groups)
            dw = dw.reshape(groups, *window.kernel_size, w.shape[1], -1).transpose(0, 4, 3, 1, 2)
            dw = np.ascontiguousarray(dw).reshape(w.shape)
        return dx, dw, bias_grad(grad) if needs[2] else None


def window_weight(w: Array, groups: int) -> Array:
    """w (K, C / groups, kH, kW) as (groups, taps * C / groups, K / groups): windows' factor."""
    k, c, *kernel = w.shape
    w = w.reshape(groups, k // groups, c, prod(kernel)).transpose(0, 3, 2, 1)
    return np.ascontiguousarray(w).reshape(groups, -1, k // groups)


def convolve(
    image: Array, window: Window, weight: Array, out: Array, bias: Array | None = None
) -> None:
    """out (OH, OW, N, K), perhaps a strided view, = the windows of (H, W, N, C) times ``weight``.

    ``weight`` is (groups, taps * C / groups, K / groups).
    """
    groups, _, per_group = weight.shape
    columns = _Columns(image, window, groups, out.shape[:2])
    n, k = out.shape[2:]
    if bias is not None and n > 1:
        bias = np.tile(bias, n)  # a run of K would be short for a ufunc

    def work(blocks: Sequence[Block]) -> None:
        for place in blocks:
            target = out[place]
            straight = target.flags.c_contiguous
            block = target if straight else scratch("product", target.shape, out.dtype)
            multiply(columns.fill(place), weight, _by_group(block, groups))
            if bias is not None:
                flat = block.reshape(-1, n * k)
                flat += bias
            if not straight:
                target[...] = block

    share_blocks(work, columns.blocks, columns.cost(per_group))


def weight_grad(image: Array, window: Window, grad: Array, groups: int) -> Array:
    """(groups, taps * C / groups, K / groups): over all windows, the sum of elements times grad."""
    columns = _Columns(image, window, groups, grad.shape[:2])
    per_group = grad.shape[3] // groups

    def products(place: Block) -> Array:
        block = columns.fill(place).transpose(0, 2, 1)
        return np.matmul(block, _by_group(grad[place], groups))

    def work(blocks: Sequence[Block]) -> Array:
        found = products(blocks[0])
        for place in blocks[1:]:
            found += products(place)
        return found

    return total(share_blocks(work, columns.blocks, columns.cost(per_group)))


def input_grad(grad: Array, w: Array, x_shape: Shape, window: Window, groups: int) -> Array:
    """dx in conv layout, from a contiguous (OH, OW, N, K) gradient."""
    n, c, *size = x_shape
    new = np.empty if shares_cover(window) else np.zeros
    dx = new((*size, n, c), grad.dtype)
    k, channels = w.shape[:2]
    turned = w.reshape(groups, k // groups, channels, *w.shape[2:]).transpose(0, 3, 4, 1, 2)
    for share in input_shares(window, (size[0], size[1])):
        weight = turned[:, share.taps[0], share.taps[1]][:, ::-1, ::-1]
        weight = np.ascontiguousarray(weight).reshape(groups, -1, channels)
        convolve(grad[share.crop], share.window, weight, dx[share.place])
    return nchw(dx)


@lru_cache(maxsize=1024)
def window_blocks(outputs: tuple[int, int], n: int, elements: int) -> tuple[Block, ...]:
    """Cut an (OH, OW) plane of windows of ``elements``, n images each, into (rows, columns).

    Whole rows, or else pieces of one: either lies together in an output.
    """
    height, width = outputs
    block = max(COLUMN_BLOCK // elements, LEAST_WINDOWS)
    if height * width * n > block:
        block = min(block, max(-(-height * width * n // LEAST_BLOCKS), LEAST_WINDOWS))
    if width * n <= block or width == 1:
        whole = slice(0, width)
        return tuple((rows, whole) for rows in row_blocks(height, width * n, block))
    pieces = list(row_blocks(width, n, block))
    return tuple((slice(row, row + 1), piece) for row in range(height) for piece in pieces)


def _by_group(block: Array, groups: int) -> Array:
    """Output rows (R, OW, N, K) as (groups, R * OW * N, K / groups), a view."""
    k = block.shape[3]
    return block.reshape(-1, groups, k // groups).transpose(1, 0, 2)


class _Columns:
    """An image's windows as matrices (groups, windows, taps * C / groups), some rows at a time."""

    def __init__(self, image: Array, window: Window, groups: int, outputs: tuple[int, int]) -> None:
        image = padded_image(image, window)
        _, _, n, c = image.shape
        self.dtype, self.groups = image.dtype, groups
        self.channels: int = c // groups
        self.elements = window.taps * self.channels
        self.blocks = window_blocks(outputs, n, groups * self.elements)
        # One tap a window, at every element: the image is its own matrix.
        self.plain = window.taps == 1 and window.stride == (1, 1) and image.flags.c_contiguous
        self.image = image
        # A group's channels as one element of so many bytes: NumPy then moves them at once.
        self.run = np.dtype((np.void, self.channels * image.itemsize))
        runs = windows(image.view(self.run), window, outputs)
        self.windows = runs.transpose(5, 0, 1, 4, 2, 3)  # (groups, OH, OW, N, kH, kW)

    def cost(self, columns: int) -> int:
        """Of a block whose windows are multiplied with so many columns: see ``threads.cut``."""
        rows, across = self.blocks[0]
        windows: int = rows.stop * across.stop * self.image.shape[2]
        elements: int = self.groups * self.elements
        return windows * elements * (10 + columns) // 10

    def fill(self, place: Block) -> Array:
        if self.plain:
            return _by_group(self.image[place], self.groups)
        source = self.windows[:, place[0], place[1]]
        buffer = scratch("columns", (*source.shape, self.channels), self.dtype)
        runs = buffer.view(self.run)[..., 0]
        if source.shape[3] < MANY_IMAGES:
            runs[...] = source
        else:
            for row, column in np.ndindex(*source.shape[4:]):
                runs[..., row, column] = source[..., row, column]
        return buffer.reshape(self.groups, -1, self.elements)
