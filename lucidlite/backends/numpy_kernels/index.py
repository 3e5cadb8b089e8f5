"""Folding values into places on the CPU: ufuncs do that, one place after another."""

from __future__ import annotations

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.index import IndexKernels


class NumPyIndex(IndexKernels):
    """IndexKernels where a ufunc has ``at`` for every dtype."""

    def fold_at(self, name: str, array: Array, dim: int, index: Array, values: Array) -> Array:
        half = array.dtype == np.float16
        out = array.astype(np.float32) if half else array.copy()
        getattr(np, name).at(out, self._grid(index, dim), values)
        return out.astype(array.dtype) if half else out
