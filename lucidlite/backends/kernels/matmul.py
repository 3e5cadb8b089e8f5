"""Matrix products, plain and as a layer needs them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.kernels import Array, in_float32

Gradients = tuple[Array | None, Array | None, Array | None]


class MatmulKernels:
    """Products of matrices over leading dims."""

    xp: Any

    if TYPE_CHECKING:

        def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array: ...
        def call(self, name: str, *args: Any, **kwargs: Any) -> Array: ...
        def cast(self, array: Array, dtype: np.dtype[Any]) -> Array: ...
        def constant(self, value: Any, dtype: np.dtype[Any]) -> Array: ...

    def matmul(self, a: Array, b: Array) -> Array:
        """Matrix products over leading dims; float16 is multiplied in float32 and rounded once."""
        if a.dtype == np.float16:
            wide = self.matmul(a.astype(np.float32), b.astype(np.float32))
            return self.cast(wide, a.dtype)
        if b.ndim == 2 and a.ndim > 2 and a.size and a.flags.c_contiguous:
            # One product of all rows instead of one for each matrix.
            return self.matmul(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
        return self.xp.asarray(self.call("matmul", a, b))

    def distances(self, a: Array, b: Array) -> Array:
        """The Euclidean distances of the rows of ``a`` from those of ``b``, over leading dims."""
        out = self.matmul(a, b.swapaxes(-1, -2))
        out *= -2
        for x, axis in ((a, -1), (b, -2)):
            out += self.xp.expand_dims((x * x).sum(axis=-1), axis)
        self.xp.maximum(out, out.dtype.type(0), out=out)
        return self.xp.sqrt(out, out=out)

    @in_float32
    def addmm(self, input: Array, a: Array, b: Array, beta: float, alpha: float) -> Array:
        """``beta * input + alpha * a @ b``; with beta 0, NaN in ``input`` doesn't count."""
        kind = a.dtype.type
        out = self.matmul(a, b)
        if alpha != 1:
            out = self.map("multiply", out, self.constant(kind(alpha), a.dtype))
        if beta == 0:
            return out
        if beta != 1:
            input = self.map("multiply", input, self.constant(kind(beta), a.dtype))
        return self.map("add", out, input)

    @in_float32
    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """``x @ weight.T + bias`` over leading dims."""
        lead = x.shape[:-1]
        out = self.matmul(x.reshape(-1, weight.shape[1]) if weight.size else x, weight.T)
        if bias is not None:
            out = self.map("add", out, bias, out=out)
        return out.reshape(*lead, weight.shape[0])

    @in_float32
    def linear_backward(
        self, g: Array, x: Array | None, weight: Array | None, needs: tuple[bool, ...]
    ) -> Gradients:
        """The gradients of ``linear`` that are needed: for x, for weight, and summed for bias.

        x is there where the weight's is needed, weight where x's is.
        """
        rows = g.reshape(prod(g.shape[:-1]), g.shape[-1])
        dx = self.matmul(g, weight) if weight is not None and needs[0] else None
        dw = None
        if x is not None and needs[1]:
            dw = self.matmul(rows.T, x.reshape(rows.shape[0], x.shape[-1]))
        return dx, dw, rows.sum(axis=0) if needs[2] else None
