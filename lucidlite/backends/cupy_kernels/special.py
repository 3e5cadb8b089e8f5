"""Elementwise functions on a GPU: one launch each, in the memory order of what they are given."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.cupy_kernels.packs import pack_of
from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.special import SpecialKernels


class CuPySpecial(SpecialKernels):
    """relu and its gradient, sigmoid, erf, gelu, lerp, rounding."""

    if TYPE_CHECKING:
        launch: Any

        def in_conv_layout(self, array: Array) -> bool: ...
        def images(self, array: Array) -> Array: ...
        def seen(self, image: Array) -> Array: ...
        def contiguous(self, array: Array) -> Array: ...

    def relu(self, x: Array) -> Array:
        return super().relu(x) if x.dtype.kind != "f" else self._function_of("relu", x)

    def relu_grad(self, g: Array, y: Array, out: Array | None = None) -> Array:
        if g.shape != y.shape or g.dtype != y.dtype or g.dtype.kind != "f":
            return super().relu_grad(g, y)
        flat, turned = self._in_one_order(y, g)
        y, given = flat
        copied = given.data.ptr != g.data.ptr  # it lay in another order
        into = given if copied or out is g else self.xp.empty_like(given)
        self._elementwise("relu_grad", (given, y, into))
        return self.seen(into) if turned else into

    def sigmoid(self, x: Array) -> Array:
        return self._function_of("sigmoid", x)

    def rsqrt(self, x: Array) -> Array:
        return self._function_of("reciprocal_root", x)

    def round_decimals(self, x: Array, decimals: int) -> Array:
        with np.errstate(over="ignore"):
            scale = np.float64(10.0) ** abs(decimals)
            if x.dtype != np.float64:
                scale = np.float32(scale)
        return self._function_of("round_to", x, scale, decimals <= 0)

    def lerp(self, x: Array, end: Array, weight: Array) -> Array:
        shape = np.broadcast_shapes(x.shape, end.shape, weight.shape)
        arrays = [x, end] if weight.ndim == 0 else [x, end, weight]
        arrays = [a if a.shape == shape else self.xp.broadcast_to(a, shape) for a in arrays]
        whole, turned = self._in_one_order(*arrays)
        out = self.xp.empty_like(whole[0])
        if weight.ndim == 0:  # a number stays as wide as what is computed
            wide = weight.astype(np.float64 if x.dtype.char == "d" else np.float32, copy=False)
            self._elementwise("lerp", (*whole, None, wide, out))
        else:
            self._elementwise("lerp", (*whole, None, out))
        return self.seen(out) if turned else out

    def erf(self, x: Array) -> Array:
        return self._function_of("error_function", x)

    def erfc(self, x: Array) -> Array:
        return self._function_of("error_complement", x)

    def gelu(self, x: Array, approximate: bool) -> Array:
        return self._function_of("gelu_tanh" if approximate else "gelu", x)

    def _normal_share(self, x: Array) -> Array:
        share = self.erfc(self.xp.multiply(x, -math.sqrt(0.5)))
        share *= 0.5
        return share

    def _function_of(self, name: str, x: Array, *numbers: Any) -> Array:
        (flat,), turned = self._in_one_order(x)
        out = self.xp.empty_like(flat)
        self._elementwise(name, (flat, out), *numbers)
        return self.seen(out) if turned else out

    def _elementwise(self, name: str, arrays: tuple[Array | None, ...], *numbers: Any) -> None:
        """Launch for all elements of ``arrays``, the last of which is the result."""
        out: Array = arrays[-1]
        pack = pack_of(*[a for a in arrays if a is not None and a.ndim], run=out.size)
        count = out.size // pack
        self.launch(
            "special", name, count, *arrays, count, *numbers,
            dtype=out.dtype, defines=(("VEC", pack),),
        )  # fmt: skip

    def _in_one_order(self, *arrays: Array) -> tuple[list[Array], bool]:
        """Arrays of one shape in one contiguous order, and whether that has conv layout's axes."""
        if arrays[0].ndim == 4 and any(
            [self.in_conv_layout(a) and not a.flags.c_contiguous for a in arrays]
        ):
            return [self.images(a) for a in arrays], True
        return [self.contiguous(a) for a in arrays], False
