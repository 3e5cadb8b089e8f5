"""Depthwise convolution on NumPy: each tap is a multiply-add of a shifted image; no products.

A pixel's N * C elements each meet a weight of their own, so nothing is shared that a product could
use. ``np.einsum`` multiplies and adds up in one pass, a run of a pixel (or of a row of pixels,
where a pixel's is short) at a time, all taps of a run while its sum is in the nearest cache.

Output channel k reads input channel k // (K / C). The gradient of the input is a depthwise
convolution of g (``transposed.py``); that of the weights sums the same products over pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from lucidlite.backends.kernels import Array, hwnc, nchw
from lucidlite.backends.kernels.conv import Grads, Shape
from lucidlite.backends.numpy_kernels.layout import (
    bias_grad,
    contiguous_image,
    padded_image,
    row_blocks,
    share_blocks,
    windows,
)
from lucidlite.backends.numpy_kernels.transposed import input_shares, shares_cover
from lucidlite.threads import cut, parallel
from lucidlite.window import Window

# Below so many elements a pixel, rows of pixels are passed over as one run.
SHORT_RUN = 1024
# Elements of a gradient that are summed up at a time.
BLOCK = 1 << 19


class Depthwise:
    """For as many groups as channels, any window."""

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
        n, k = x.shape[0], w.shape[0]
        y = np.empty((*window.output_size(x.shape[2:]), n, k), x.dtype)
        _convolve(_repeated(hwnc(x), k), _by_tap(w), window, y)
        if bias is not None:
            flat = y.reshape(-1, n * k)
            flat += np.tile(bias, n)
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
            dx = _input_grad(grad, _by_tap(w), x.shape, window)
        if needs[1]:
            dw = _weight_grad(_repeated(hwnc(x), len(w)), window, grad).reshape(w.shape)
        return dx, dw, bias_grad(grad) if needs[2] else None


def _by_tap(w: Array) -> Array:
    """w (K, 1, kH, kW) as (kH, kW, K)."""
    return w[:, 0].transpose(1, 2, 0)


def _repeated(image: Array, k: int) -> Array:
    """An (H, W, N, C) image with a channel for each output channel."""
    c = image.shape[3]
    return image if k == c else np.repeat(image, k // c, axis=3)


def _runs(image: Array, window: Window, outputs: Shape) -> Array:
    """The windows of an image, (OH, runs, kH, kW, length): a run is one pixel's, or a row's."""
    image = padded_image(image, window)
    height, width, n, c = image.shape
    found = windows(image.reshape(height, width, n * c), window, (outputs[0], outputs[1]))
    down, across, *taps, item = found.strides
    if n * c < SHORT_RUN and across == n * c * item:  # windows side by side, and contiguous
        shape = (outputs[0], 1, *window.kernel_size, outputs[1] * n * c)
        found = as_strided(found, shape, (down, 0, *taps, item))
    return found


def _convolve(image: Array, w: Array, window: Window, out: Array) -> None:
    """out (OH, OW, N, K), whose rows may lie apart, = the windows of (H, W, N, K) times w."""
    height, width, n, k = out.shape
    runs = _runs(image, window, out.shape)
    length = runs.shape[4]
    weight = np.tile(w, length // k)
    target = out.reshape(height, -1, length)

    def work(part: tuple[int, int]) -> None:
        rows = slice(*part)
        np.einsum("hwijl,ijl->hwl", runs[rows], weight, out=target[rows])

    parallel(work, cut(height, window.taps * width * n * k))
    if not np.may_share_memory(target, out):  # its pixels lie apart
        out[...] = target.reshape(out.shape)


def _input_grad(grad: Array, w: Array, x_shape: Shape, window: Window) -> Array:
    n, c, height, width = x_shape
    k = grad.shape[3]
    new = np.empty if shares_cover(window) else np.zeros
    dx = new((height, width, n, k), grad.dtype)
    for share in input_shares(window, (height, width)):
        taps = w[share.taps][::-1, ::-1]
        _convolve(grad[share.crop], taps, share.window, dx[share.place])
    if k != c:
        dx = dx.reshape(height, width, n, c, k // c).sum(4, dtype=grad.dtype)
    return nchw(dx)


def _weight_grad(image: Array, window: Window, grad: Array) -> Array:
    """(K, kH, kW): for each tap the sum over images and pixels of gradient times element."""
    height, width, n, k = grad.shape
    runs = _runs(image, window, grad.shape)
    length = runs.shape[4]
    gradient = grad.reshape(height, -1, length)
    blocks = list(row_blocks(height, width * n * k, BLOCK))
    # A sum for each block: added up at the end, they don't depend on who made them.
    sums = np.empty((len(blocks), *window.kernel_size, length), grad.dtype)

    def work(blocks: Any) -> None:
        for number, rows in blocks:
            np.einsum("hwl,hwijl->ijl", gradient[rows], runs[rows], out=sums[number])

    cost = window.taps * width * n * k * blocks[0].stop
    share_blocks(work, list(enumerate(blocks)), cost)
    total = np.add.reduce(sums, dtype=grad.dtype).reshape(*window.kernel_size, -1, k)
    return np.ascontiguousarray(total.sum(2, dtype=grad.dtype).transpose(2, 0, 1))
