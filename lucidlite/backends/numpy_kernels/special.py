"""Choosing by a mask without branches: several times faster than ``np.where`` on random masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.special import SpecialKernels

_SMALL = 4096  # elements below which one call beats four


class NumPySpecial(SpecialKernels):
    """``select`` on the bits of its operands; ``relu`` in one call on small arrays."""

    if TYPE_CHECKING:

        def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array: ...

    def relu(self, x: Array) -> Array:
        if x.size < _SMALL:
            return self.map("maximum", x, np.asarray(0, x.dtype))
        return super().relu(x)

    def select(self, mask: Array, x: Array, y: Array) -> Array:
        if mask.size < _SMALL:
            return super().select(mask, x, y)
        bits = np.dtype(f"i{x.dtype.itemsize}")
        a, b = x.view(bits), y.view(bits)
        from_y = self.map("subtract", mask.view(np.int8), np.asarray(1, np.int8))  # 0 or all ones
        if not x.ndim and not a:
            return self.map("bitwise_and", b, from_y).view(x.dtype)
        differ = self.map("bitwise_and", self.map("bitwise_xor", a, b), from_y)
        return self.map("bitwise_xor", a, differ).view(x.dtype)
