"""Memory order and blocking, shared by the NumPy kernels of images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.window import Window

# Elements in a block of an elementwise pass: its few arrays should stay in the cache.
BLOCK = 1 << 17


def row_blocks(rows: int, row_size: int, block: int = BLOCK) -> Iterator[slice]:
    """Cut 0..rows into slices of about ``block`` elements, of one row at least."""
    step = max(1, block // max(1, row_size))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


def copy_image(out: Array, image: Array) -> None:
    """out[...] = image, both (H, W, N, C), quickly where ``image`` comes from (N, C, H, W) memory.

    Walking (N, C) rows there takes a step of a whole plane for each element, and planes whose size
    is near a power of two share a few cache lines. A block is first gathered in its own order.
    """
    if image.strides[1] != image.itemsize:
        out[...] = image
        return
    height, width, n, c = image.shape
    for rows in row_blocks(height, width * n * c):
        block = np.ascontiguousarray(image[rows].transpose(2, 3, 0, 1))
        out[rows] = block.transpose(2, 3, 0, 1)


def long_runs(image: Array) -> Array:
    """An (H, W, N, C) array itself if its (N, C) rows are contiguous, else a contiguous copy."""
    _, _, n, c = image.shape
    _, _, stride_n, stride_c = image.strides
    if (c == 1 or stride_c == image.itemsize) and (n == 1 or stride_n == c * image.itemsize):
        return image
    return contiguous_image(image)


def contiguous_image(image: Array) -> Array:
    """An (H, W, N, C) array itself if it is contiguous, else a contiguous copy."""
    if image.flags.c_contiguous:
        return image
    out = np.empty(image.shape, image.dtype)
    copy_image(out, image)
    return out


def padded_image(image: Array, window: Window, channels_first: bool = False) -> Array:
    """An (H, W, N, C) image inside its border of zeros, with contiguous (N, C) rows.

    With ``channels_first`` the memory order is (C, H, W, N); the axes stay.
    """
    height, width, n, c = image.shape
    (top, bottom), (left, right) = window.padding
    if not window.padded and not channels_first:
        return long_runs(image)
    size = height + top + bottom, width + left + right
    if channels_first:
        padded = np.zeros((c, *size, n), image.dtype).transpose(1, 2, 3, 0)
    else:
        padded = np.zeros((*size, n, c), image.dtype)
    copy_image(padded[top : top + height, left : left + width], image)
    return padded
