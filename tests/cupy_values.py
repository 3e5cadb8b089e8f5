"""Drawn arrays on a GPU (or its stand-in) in any memory order, and how far results may be off."""

import os

import numpy as np

ALL = os.environ.get("LUCIDLITE_TEST_ALL") == "1"
# A fixed slice of the seeds by default, many more on request.
SEEDS = range(300 if ALL else 16)
FLOATS = (np.float16, np.float32, np.float64)
TOLERANCE = {np.float16: 2e-3, np.float32: 2e-5, np.float64: 1e-12}


def a_shape(rng, least=0):
    """Up to four dims, one of them long at most: kernels run slowly here."""
    shape = rng.choice([1, 2, 3, 5], int(rng.integers(least, 5)))
    if shape.size:
        shape[rng.integers(shape.size)] = rng.choice([1, 4, 31, 40])
    return tuple(shape.tolist())


def on_device(backend, rng, host):
    """``host`` on the device: in C order, in another order of axes, or every second element.

    Images are in the device's own order half of the time.
    """
    if host.ndim == 4 and rng.integers(2):
        return backend.seen(backend.asarray(np.ascontiguousarray(host.transpose(backend.order))))
    order = rng.integers(4)
    if order == 1 and host.ndim:
        axes = rng.permutation(host.ndim).tolist()
        back = [axes.index(d) for d in range(host.ndim)]
        return backend.asarray(np.ascontiguousarray(host.transpose(axes))).transpose(back)
    if order == 2 and host.ndim:
        wide = np.zeros((*host.shape[:-1], 2 * host.shape[-1]), host.dtype)
        wide[..., ::2] = host
        return backend.asarray(wide)[..., ::2]
    return backend.asarray(host)


def close(found, expected, dtype, scale=1.0):
    """Asserts values and shape; ``expected`` is on the host, of any precision."""
    found = found.get() if hasattr(found, "get") else np.asarray(found)
    assert found.shape == np.shape(expected)
    tolerance = TOLERANCE[np.dtype(dtype).type] * scale
    np.testing.assert_allclose(
        found.astype(np.float64), np.asarray(expected, np.float64), rtol=tolerance, atol=tolerance
    )


def same_bits(first, second):
    np.testing.assert_array_equal(first.get(), second.get())
