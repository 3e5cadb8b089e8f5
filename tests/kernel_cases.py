"""Seeded random settings and arrays for the tests of the image kernels."""

import os

import numpy as np

from lucidlite.backends import Backend, get_backend
from lucidlite.geometry import conv_window, pool_window


class Reference(Backend):
    """The kernels as written once on xp, without the CPU's overrides."""

    xp = np


REFERENCE, CPU = Reference(), get_backend("cpu")
KERNELS = [REFERENCE, CPU]
NAMES = ["reference", "cpu"]

# A fixed slice of the seeds by default, many more on request.
ALL = os.environ.get("LUCIDLITE_TEST_ALL") == "1"
SEEDS = range(600 if ALL else 24)

TOLERANCE = {np.float16: 2e-3, np.float32: 2e-5, np.float64: 1e-12}


def values(rng, shape, dtype, small_integers=False):
    """Random values in a random memory order, read-only; small integers tie often.

    The orders: C; conv layout; the inside of a padded conv layout; every second element of a larger
    array; a flipped array; a broadcast one.
    """
    array = rng.integers(-3, 4, shape) if small_integers else rng.standard_normal(shape)
    array = array.astype(dtype)
    order = rng.integers(6)
    n, c, height, width = shape
    if order == 1:
        array = np.ascontiguousarray(array.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    elif order == 2:
        padded = np.zeros((height + 2, width + 3, n, c), dtype)
        padded[1:-1, 2:-1] = array.transpose(2, 3, 0, 1)
        array = padded[1:-1, 2:-1].transpose(2, 3, 0, 1)
    elif order == 3:
        larger = np.zeros([2 * size for size in shape], dtype)
        larger[::2, 1::2, ::2, 1::2] = array
        array = larger[::2, 1::2, ::2, 1::2]
    elif order == 4:
        array = array[:, ::-1, :, ::-1]
    elif order == 5 and array.size:
        axis = int(rng.integers(4))
        array = np.broadcast_to(array.take([0], axis=axis), shape)
    array = array.view()
    array.flags.writeable = False
    return array


def in_conv_layout(array):
    """Whether the (N, C) rows of an (N, C, H, W) array are contiguous in memory."""
    n, c = array.shape[:2]
    stride_n, stride_c = array.strides[:2]
    return array.size == 0 or (
        (c == 1 or stride_c == array.itemsize) and (n == 1 or stride_n == c * array.itemsize)
    )


def some(rng, low, high):
    return int(rng.integers(low, high + 1))


def a_dtype(rng):
    return [np.float32, np.float64, np.float16][rng.choice(3, p=[0.5, 0.4, 0.1])]


def a_convolution(rng):
    """(x shape, weight shape, window, groups) of a convolution that fits."""
    while True:
        groups = some(rng, 2, 4) if rng.random() < 0.4 else 1
        # One channel a group is depthwise, few and many are laid out differently.
        channels = [1, some(rng, 2, 4), some(rng, 16, 18)][rng.integers(3)]
        shape = some(rng, 0, 3), channels * groups, some(rng, 1, 9), some(rng, 1, 9)
        weight = some(rng, 1, 4) * groups, channels, some(rng, 1, 4), some(rng, 1, 4)
        stride = some(rng, 1, 3), some(rng, 1, 3)
        padding = some(rng, 0, 3), some(rng, 0, 3)
        if rng.random() < 0.2:
            stride, padding = (1, 1), "same"
        dilation = some(rng, 1, 2), some(rng, 1, 2)
        try:
            window = conv_window("conv2d", shape, weight, stride, padding, dilation, groups)
        except RuntimeError:
            continue
        return shape, weight, window, groups


def a_pool(rng, dilated):
    """(x shape, window) of a pool that fits, every window holding an element."""
    while True:
        kernel = some(rng, 1, 4), some(rng, 1, 4)
        stride = some(rng, 1, 5), some(rng, 1, 5)
        if rng.random() < 0.3:
            kernel = stride = (2, 2)
        shape = some(rng, 0, 3), some(rng, 1, 5), some(rng, 1, 10), some(rng, 1, 10)
        if rng.random() < 0.05:
            kernel, shape = (17, 18), (2, 3, 20, 21)
        if rng.random() < 0.05:
            kernel = shape[2:]
        padding = some(rng, 0, kernel[0] // 2), some(rng, 0, kernel[1] // 2)
        dilation = (some(rng, 1, 3), some(rng, 1, 3)) if dilated and rng.random() < 0.3 else (1, 1)
        ceil_mode = bool(rng.integers(2))
        try:
            window = pool_window("pool", shape, kernel, stride, padding, dilation, ceil_mode)
        except RuntimeError:
            continue
        size = shape[2:]
        outputs = window.output_size(size)
        if all(_has_element(window, a, i, size[a]) for a in (0, 1) for i in range(outputs[a])):
            return shape, window


def _has_element(window, axis, index, n):
    start = index * window.stride[axis] - window.padding[axis][0]
    taps = range(window.kernel_size[axis])
    return any(0 <= start + tap * window.dilation[axis] < n for tap in taps)
