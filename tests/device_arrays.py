"""Arrays on a device in the strides of host arrays, and their comparison bit for bit."""

import numpy as np


def put(backend, host):
    """``host`` on the device in its own strides, which may be 0 or negative, amid other numbers."""
    if not host.size:
        return backend.asarray(np.empty(host.shape, host.dtype))
    steps = [s // host.itemsize for s in host.strides]
    ends = [s * (n - 1) for s, n in zip(steps, host.shape, strict=True)]
    first = -sum(end for end in ends if end < 0)
    memory = np.full(first + sum(end for end in ends if end > 0) + 1, 77, host.dtype)
    seen = np.lib.stride_tricks.as_strided(memory[first:], host.shape, host.strides)
    seen[...] = host
    on_device = backend.asarray(memory)[first:]
    return backend.xp.lib.stride_tricks.as_strided(on_device, host.shape, host.strides)


def put_in_conv_layout(backend, host):
    return backend.seen(backend.asarray(np.ascontiguousarray(host.transpose(backend.order))))


def same_bits(ours, theirs):
    """Equal, zeros with their signs; any NaN is as good as another."""
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours, theirs)
    if ours.dtype.kind == "f":
        number = ~np.isnan(ours)
        np.testing.assert_array_equal(np.signbit(ours)[number], np.signbit(theirs)[number])
