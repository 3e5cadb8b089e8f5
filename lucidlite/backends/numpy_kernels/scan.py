"""Running extremes on the CPU: NumPy accumulates them, and repeats the places where they were met.

Along an axis with much beside it one slice after another is compared, all at once.
"""

from __future__ import annotations

from math import prod

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.scan import ScanKernels

_WIDE = 32  # elements beside an axis from which slices are the quicker way


class NumPyScan(ScanKernels):
    """ScanKernels in one pass instead of one for each binary digit of the length."""

    def running_extreme(self, x: Array, axis: int, larger: bool) -> Array:
        if not x.size:
            return np.empty(x.shape, np.int64)
        if x.dtype == np.float16:
            x = x.astype(np.float32)
        better = np.maximum if larger else np.minimum
        # NaN is what either gives where there is one, so a look at one number tells.
        nan = x.dtype.kind == "f" and bool(np.isnan(better.reduce(x, axis=None)))
        n, inner = x.shape[axis], prod(x.shape[axis + 1 :])
        if inner >= _WIDE:
            slices = np.ascontiguousarray(x).reshape(-1, n, inner)
            return _by_slices(slices, better, nan).reshape(x.shape)
        turned = np.moveaxis(x, axis, -1)
        rows = np.ascontiguousarray(turned).reshape(-1, n)
        met = rows == better.accumulate(rows, axis=1)
        if nan:
            met |= np.isnan(rows)
        (first,) = met.reshape(-1).nonzero()  # one at the beginning of each row at least
        lasts = np.diff(first, append=rows.size)
        found = np.repeat(first % n, lasts).reshape(turned.shape)
        return np.ascontiguousarray(np.moveaxis(found, -1, axis))


def _by_slices(x: Array, better: np.ufunc, nan: bool) -> Array:
    """The places along the middle axis of three."""
    places = np.zeros(x.shape, np.int64)
    best = x[:, 0].copy()
    for i in range(1, x.shape[1]):
        new, here = x[:, i], places[:, i]
        met = np.equal(better(best, new, out=best), new)
        if nan:
            met |= np.isnan(new)
        np.multiply(met, i, out=here)
        np.maximum(here, places[:, i - 1], out=here)
    return places
