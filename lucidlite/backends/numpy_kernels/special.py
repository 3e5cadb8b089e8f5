"""relu and choosing by a mask without branches: several times faster than ``np.where``.

A mask of 0 and -1 has no bits or all of them, whatever the number: and-ed with an array's bits it
keeps elements, infinities and NaN included, or makes them 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lucidlite.backends.kernels import Array, chains
from lucidlite.backends.kernels.special import SpecialKernels
from lucidlite.backends.numpy_kernels.elementwise import in_parts
from lucidlite.backends.numpy_kernels.layout import BLOCK
from lucidlite.backends.numpy_kernels.units import NumPyUnits

_SMALL = 4096  # elements below which one call beats four


class NumPySpecial(NumPyUnits, SpecialKernels):
    """SpecialKernels in blocks that stay in the cache."""

    if TYPE_CHECKING:

        def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array: ...

    def relu(self, x: Array) -> Array:
        if x.size < _SMALL:
            # Of two zeros the second is taken on most machines: -0.0 stays, as it does below.
            return self.map("maximum", np.zeros((), x.dtype), x)
        zero, top = x.dtype.type(0), x.dtype.type(np.inf) if x.dtype.kind == "f" else None
        out = np.empty_like(x)
        in_parts(lambda x, out: np.clip(x, zero, top, out=out), [x], out, x.size / 2)
        return out

    def relu_grad(self, g: Array, y: Array, out: Array | None = None) -> Array:
        if g.shape != y.shape or g.size < _SMALL:
            if g.shape != y.shape or g.ndim == 4:
                return super().relu_grad(g, y)
            return np.where(np.less_equal(y, y.dtype.type(0)), g.dtype.type(0), g)
        if g.ndim == 4:
            g, y = self.align(g, y)
        if out is not g:
            out = np.empty_like(y, g.dtype)
        in_parts(_where_positive, [g, y], out, g.size, 16 * BLOCK)
        return out

    def sigmoid(self, x: Array) -> Array:
        return self._chained(chains.sigmoid, (x,))

    def select(self, mask: Array, x: Array, y: Array) -> Array:
        if max(mask.size, x.size, y.size) < _SMALL:
            return super().select(mask, x, y)
        if mask.ndim == 4 or x.ndim == 4 or y.ndim == 4:
            mask, x, y = self._aligned(mask, x, y)
        shape = np.broadcast(mask, x, y).shape
        full = [a for a in (x, y, mask) if a.shape == shape]
        out = np.empty_like(full[0], x.dtype) if full else np.empty(shape, x.dtype)
        if out.size:
            whether, a, b = mask.view(np.int8), _bits(x), _bits(y)
            if not x.ndim and not a:
                in_parts(_zero_or_y, [whether, b], _bits(out), out.size, 16 * BLOCK)
            elif not y.ndim and not b:
                in_parts(_x_or_zero, [whether, a], _bits(out), out.size, 16 * BLOCK)
            else:
                in_parts(_x_or_y, [whether, a, b], _bits(out), 2 * out.size, 16 * BLOCK)
        return out

    def _aligned(self, *arrays: Array) -> list[Array]:
        """``align``, but numbers stay numbers."""
        aligned = iter(self.align(*[a for a in arrays if a.ndim]))
        return [next(aligned) if a.ndim else a for a in arrays]


def _bits(array: Array) -> Array:
    """The same memory as integers."""
    return array.view(f"i{array.itemsize}")


def _where_positive(g: Array, y: Array, out: Array) -> None:
    mask = np.less_equal(y, y.dtype.type(0)).view(np.int8)
    np.subtract(mask, np.int8(1), out=mask)
    np.bitwise_and(_bits(g), mask, out=_bits(out))


def _x_or_zero(mask: Array, x: Array, out: Array) -> None:
    np.bitwise_and(x, np.negative(mask), out=out)


def _zero_or_y(mask: Array, y: Array, out: Array) -> None:
    np.bitwise_and(y, np.subtract(mask, np.int8(1)), out=out)


def _x_or_y(mask: Array, x: Array, y: Array, out: Array) -> None:
    np.bitwise_xor(x, y, out=out)  # the bits that differ
    np.bitwise_and(out, np.subtract(mask, np.int8(1)), out=out)
    np.bitwise_xor(x, out, out=out)
