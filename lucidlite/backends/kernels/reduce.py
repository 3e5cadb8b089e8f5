"""Sums, means and other reductions over axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.kernels import Array


class ReduceKernels:
    """Kernels that fold axes away."""

    xp: Any
    # Whether sums of float16 are taken in float32 by themselves.
    sums_float16 = False

    if TYPE_CHECKING:

        def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array: ...
        def call(self, name: str, *args: Any, **kwargs: Any) -> Array: ...
        def constant(self, value: Any, dtype: np.dtype[Any]) -> Array: ...

    def reduce(
        self, name: str, array: Array, axis: tuple[int, ...] | int | None, keepdims: bool = False
    ) -> Array:
        """A reduction (sum, max, all, argmax, ...) as an array, 0-dim ones included."""
        return self.xp.asarray(self.call(name, array, axis=axis, keepdims=keepdims))

    def mean(self, array: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
        """The mean over axes; float16 sums in float32. NaN where there is nothing to average."""
        count = 1
        for d in axis:
            count *= array.shape[d]
        wide = np.dtype(np.float32) if array.dtype == np.float16 else array.dtype
        total = self.call("sum", array, axis=axis, keepdims=keepdims, dtype=wide)
        mean = self.map("divide", self.xp.asarray(total), self.constant(count, wide))
        return mean.astype(array.dtype, copy=False)

    def mean_grad(self, g: Array, shape: tuple[int, ...], axis: tuple[int, ...]) -> Array:
        """The gradient of ``mean`` with kept dims, for an array of ``shape``; it may be a view."""
        count = 1
        for d in axis:
            count *= shape[d]
        share = self.map("divide", g, self.constant(count, g.dtype))
        return self.xp.broadcast_to(share, shape)
