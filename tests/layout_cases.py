"""Images in row-major order and in a convolution's own."""

from __future__ import annotations

import numpy as np

import lucidlite
from lucidlite import nn

F = nn.functional


def images(*shape, grad=False):
    values = np.random.default_rng(0).standard_normal(shape)
    return lucidlite.from_numpy(values).requires_grad_(grad)


def convolved(*shape, grad=False):
    """A convolution's result of ``shape``, values different everywhere."""
    x = images(*shape, grad=grad)
    weight = lucidlite.eye(shape[1], dtype=lucidlite.float64).reshape(shape[1], shape[1], 1, 1)
    return F.conv2d(x, weight)


def share_memory(a, b):
    """Whether two arrays lie in overlapping memory, of the host or of a device."""
    (low_a, high_a), (low_b, high_b) = _bounds(a), _bounds(b)
    return low_a < high_b and low_b < high_a


def _bounds(array):
    start = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
    steps = zip(array.shape, array.strides, strict=True)
    return start, start + sum((n - 1) * s for n, s in steps) + array.itemsize
