"""Layer and group normalization: each example, or each group of its channels, by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.backends.kernels import Array

Shape = tuple[int, ...]


class GroupNormKernels:
    """Kernels on (N, G, D) or (N, G, D, S) arrays: one mean and spread for each (N, G).

    Weight and bias are (G, D). Layer normalization is one group of D features; group normalization
    has D channels of S elements in each of G groups. float16 is computed in float32.
    """

    xp: Any

    if TYPE_CHECKING:

        def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array: ...
        def mean(self, array: Array, axis: tuple[int, ...], keepdims: bool) -> Array: ...
        def inverse_std(self, var: Array, eps: float) -> Array: ...

    def group_norm(
        self, x: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> tuple[Array, Array, Array]:
        """(y, mean, 1 / sqrt(var + eps)), the last two of shape (N, G, 1) or (N, G, 1, 1)."""
        kind, axes = x.dtype, tuple(range(2, x.ndim))
        wide = self._wide(x)
        mean = self.mean(wide, axes, True)
        y = self.map("subtract", wide, mean)
        invstd = self.inverse_std(self.mean(self.map("multiply", y, y), axes, True), eps)
        y = self.map("multiply", y, invstd, out=y)
        if weight is not None:
            y = self.map("multiply", y, self._features(weight, y), out=y)
        if bias is not None:
            y = self.map("add", y, self._features(bias, y), out=y)
        return y.astype(kind, copy=False), mean, invstd

    def group_norm_backward(
        self,
        g: Array,
        x: Array,
        mean: Array,
        invstd: Array,
        weight: Array | None,
        needs: tuple[bool, ...],
    ) -> tuple[Array | None, Array | None, Array | None]:
        """Gradients of x, weight (G, D) and bias (G, D), None for each that nobody wants.

        Mean and spread depend on x: what moves them is taken out of its gradient.
        """
        kind, axes = x.dtype, tuple(range(2, x.ndim))
        g, xhat = self._wide(g), self.map("subtract", self._wide(x), mean)
        xhat = self.map("multiply", xhat, invstd, out=xhat)
        others = (0,) if x.ndim == 3 else (0, 3)
        dx = dw = db = None
        if needs[1]:
            dw = self.map("multiply", g, xhat).sum(axis=others)
        if needs[2]:
            db = g.sum(axis=others)
        if needs[0]:
            dx = g if weight is None else self.map("multiply", g, self._features(weight, g))
            slope = self.mean(self.map("multiply", dx, xhat), axes, True)
            level = self.mean(dx, axes, True)
            dx = self.map("subtract", dx, level)
            dx = self.map("subtract", dx, self.map("multiply", xhat, slope, out=xhat), out=dx)
            dx = self.map("multiply", dx, invstd, out=dx).astype(kind, copy=False)
        return dx, dw, db

    def _wide(self, array: Array) -> Array:
        return array.astype(self.xp.float32) if array.dtype == self.xp.float16 else array

    def _features(self, values: Array, like: Array) -> Array:
        """(G, D) values, to go with ``like``."""
        values = values.astype(like.dtype, copy=False)
        return values if like.ndim == 3 else values[..., None]
