"""Running results along an axis, in as many steps as its length has binary digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array, in_float32

Arrays = tuple[Array, ...]


class ScanKernels:
    """What the array libraries have no cumulative function for."""

    xp: Any
    map: Any

    def _scan(
        self, combine: Callable[[Arrays, Arrays], Arrays], arrays: Arrays, axis: int
    ) -> Arrays:
        """Running results of an associative ``combine(earlier, later)``."""
        arrays = tuple([self.xp.moveaxis(a, axis, 0) for a in arrays])
        n, step = arrays[0].shape[0], 1
        while step < n:
            later = combine(tuple([a[:-step] for a in arrays]), tuple([a[step:] for a in arrays]))
            pairs = zip(arrays, later, strict=True)
            arrays = tuple([self.xp.concatenate([a[:step], b]) for a, b in pairs])
            step *= 2
        return tuple([self.xp.moveaxis(a, 0, axis) for a in arrays])

    def running_extreme(self, x: Array, axis: int, larger: bool) -> Array:
        """The place of the largest (or smallest) so far, the last of equal ones. NaN stays."""
        xp = self.xp
        ones = [1] * x.ndim
        ones[axis] = x.shape[axis]
        places = xp.broadcast_to(xp.arange(x.shape[axis]).reshape(ones), x.shape)
        order = "greater_equal" if larger else "less_equal"

        def combine(earlier: Arrays, later: Arrays) -> Arrays:
            (a, i), (b, j) = earlier, later
            taken = self.map(order, b, a)
            if x.dtype.kind == "f":
                known = self.map("equal", a, a)
                new = self.map("logical_not", self.map("equal", b, b))
                taken = self.map("logical_or", self.map("logical_and", taken, known), new)
            return xp.where(taken, b, a), xp.where(taken, j, i)

        _, found = self._scan(combine, (x, places), axis)
        return xp.ascontiguousarray(found).astype(np.int64, copy=False)

    @in_float32
    def cumulative_logsumexp(self, x: Array, axis: int) -> Array:
        """``log(cumsum(exp(x)))`` without overflow."""

        def combine(earlier: Arrays, later: Arrays) -> Arrays:
            return (self.map("logaddexp", earlier[0], later[0]),)

        return self.xp.ascontiguousarray(self._scan(combine, (x,), axis)[0])
