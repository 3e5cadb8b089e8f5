"""Convolution on a GPU: by cuDNN where its frontend is installed, else through matrix products."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from lucidlite.backends import cudnn as switches
from lucidlite.backends.cupy_kernels.cudnn import Broken, Case, CuDNN, Refused, load
from lucidlite.backends.cupy_kernels.im2col import Columns, factor
from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.conv import ConvKernels, Grads, Shape
from lucidlite.determinism import are_deterministic_algorithms_enabled, exact_here
from lucidlite.window import Window


class CuPyConv(Columns, ConvKernels):
    """Convolutions of floats; the base kernels have integers and what is empty.

    Weights are packed to (K, kH, kW, C / groups) for the kernels: once while the weight stays as it
    is under no_grad (in ``memo``), else in the forward, which leaves it to the backward as state.
    """

    capturing: bool
    _cudnn: CuDNN | None = None
    _asked = False  # whether cuDNN is there
    _told = False  # of a convolution that cuDNN refused

    if TYPE_CHECKING:

        def images(self, array: Array) -> Array: ...
        def seen(self, image: Array) -> Array: ...
        def column_parts(self, x: Array) -> tuple[Array | None, Array]: ...

    def conv2d(
        self,
        x: Array,
        w: Array,
        bias: Array | None,
        window: Window,
        groups: int,
        keep: bool,
        memo: dict[Any, Any] | None = None,
    ) -> tuple[Array, Any]:
        if _is_others(x, w):
            return super().conv2d(x, w, bias, window, groups, keep, memo)
        image = self.images(x)
        n, height, width, _ = image.shape
        y = self.xp.empty((n, *window.output_size((height, width)), w.shape[0]), x.dtype)
        packed = self._packed_weight(w, memo)
        if not self._forward_by_cudnn(image, packed, bias, y, window):
            self.columns_forward(image, self._widened_weight(packed), bias, y, window, groups)
        # A batch in another memory order is turned once, too.
        turned = image if keep and image.data.ptr != x.data.ptr else None
        return self.seen(y), (packed, turned) if keep else None

    def conv2d_input_grad(
        self, g: Array, w: Array, x_shape: Shape, window: Window, groups: int
    ) -> Array:
        if _is_others(g, w) or 0 in x_shape:
            return super().conv2d_input_grad(g, w, x_shape, window, groups)
        return self._conv_input_grad(
            self.images(g), self._packed_weight(w), x_shape, window, groups
        )

    def _conv_input_grad(
        self, g: Array, packed: Array, x_shape: Shape, window: Window, groups: int
    ) -> Array:
        n, c, height, width = x_shape
        dx = self.xp.empty((n, height, width, c), g.dtype)
        if not self._by_cudnn("input_grad", (g, packed), dx, window, tell=True):
            self.columns_input_grad(g, self._widened_weight(packed), dx, window, groups)
        return self.seen(dx)

    def conv2d_weight_grad(
        self, g: Array, x: Array, w_shape: Shape, window: Window, groups: int
    ) -> Array:
        if _is_others(g, x) or 0 in w_shape:
            return super().conv2d_weight_grad(g, x, w_shape, window, groups)
        dw, _ = self._parameter_grads(
            self.images(g), self.images(x), w_shape, window, groups, False
        )
        return dw

    def conv2d_backward(
        self,
        g: Array,
        x: Array,
        w: Array,
        state: Any,
        window: Window,
        groups: int,
        needs: tuple[bool, ...],
    ) -> Grads:
        if _is_others(g, w) or not x.size:
            return super().conv2d_backward(g, x, w, None, window, groups, needs)
        image = self.images(g)
        packed, turned = (None, None) if state is None else state
        dx = dw = db = None
        if needs[0]:
            packed = self._packed_weight(w) if packed is None else packed
            dx = self._conv_input_grad(image, packed, x.shape, window, groups)
        if needs[1] or needs[2]:
            inputs = None if not needs[1] else self.images(x) if turned is None else turned
            dw, db = self._parameter_grads(image, inputs, w.shape, window, groups, needs[2])
        return dx, dw, db

    def _parameter_grads(
        self,
        g: Array,
        x: Array | None,
        w_shape: Shape,
        window: Window,
        groups: int,
        with_bias: bool,
    ) -> tuple[Array | None, Array | None]:
        """The gradients of weight and bias; what is left to add up or unpack is one launch."""
        k, c, kh, kw = w_shape
        dw = db = parts = packed = None
        if x is not None:
            dw = self.xp.empty(w_shape, g.dtype)
            same = c == 1 or kh * kw == 1  # packed and not, in memory
            packed = dw.reshape(k, kh, kw, c) if same else self.xp.empty((k, kh, kw, c), g.dtype)
            if not self._by_cudnn("weight_grad", (g, x), packed, window, tell=True):
                packed = self.columns_weight_grad(g, x, k, c, window, groups)
            elif same:
                packed = None
        if with_bias:
            parts, db = self.column_parts(g.reshape(-1, k))
        count, sums = 0 if packed is None else math.prod(w_shape), 0 if parts is None else k
        slices = 1 if packed is None else packed.size // count
        defines = (("NARROW", 1),) if packed is not None and packed.dtype.char == "e" else ()
        self.launch(
            "conv", "finish", count + sums, packed, dw, count, slices, c, kh * kw, parts, db, sums,
            0 if parts is None else len(parts), dtype=g.dtype, defines=defines,
        )  # fmt: skip
        return dw, db

    def _packed_weight(self, w: Array, memo: dict[Any, Any] | None = None) -> Array:
        """The weight as the kernels want it."""
        if self.capturing:
            memo = None  # a graph packs what the weight is whenever it runs
        packed = None if memo is None else memo.get("packed")
        if packed is None:
            packed = self.packed_weight(w)
            if memo is not None:
                memo["packed"] = packed
        return packed

    def _widened_weight(self, packed: Array) -> Array:
        return packed.astype(factor(packed.dtype, packed.shape[3]), copy=False)

    def _forward_by_cudnn(
        self, x: Array, packed: Array, bias: Array | None, y: Array, window: Window
    ) -> bool:
        if bias is not None:
            bias = self.xp.ascontiguousarray(bias)
            # Without tensor cores the plans that add a bias are few, and the last in its list.
            fast = x.dtype.char == "e" or (x.dtype.char == "f" and switches.allow_tf32)
            if fast and self._by_cudnn("forward", (x, packed), y, window, bias):
                return True
        if not self._by_cudnn("forward", (x, packed), y, window, tell=True):
            return False
        if bias is not None:
            self.add_bias(y, bias, y)
        return True

    def _by_cudnn(
        self,
        kind: str,
        inputs: tuple[Array, Array],
        result: Array,
        window: Window,
        bias: Array | None = None,
        tell: bool = False,
    ) -> bool:
        """Whether cuDNN computed ``result``; once a user is told why it didn't."""
        cudnn = self._cudnn if self._asked else self._find_cudnn()
        if cudnn is None or not switches.enabled:
            return False
        (n0, h0, w0, c0), (n1, h1, w1, c1), (n2, h2, w2, c2) = (
            inputs[0].shape, inputs[1].shape, result.shape,
        )  # fmt: skip
        case = Case(
            kind,
            ((n0, c0, h0, w0), (n1, c1, h1, w1), (n2, c2, h2, w2)),
            window,
            result.dtype.char,
            bias is not None,
            switches.allow_tf32,
            switches.deterministic or are_deterministic_algorithms_enabled(),
            exact_here.on,
            switches.benchmark,
        )
        try:
            cudnn.run(self.xp, case, inputs, result, bias, not self.capturing)
        except Refused as refusal:
            if isinstance(refusal, Broken):
                self._cudnn = None
            if not self._told and (tell or self._cudnn is None):
                self._told = True
                warnings.warn(
                    f"conv2d: {refusal}. Here and wherever that is so, matrix products take over "
                    f"(kind={kind}, shapes={case.shapes}, dtype={result.dtype})",
                    RuntimeWarning,
                    stacklevel=2,
                )
            return False
        return True

    def _find_cudnn(self) -> CuDNN | None:
        module, _ = load()
        self._cudnn = None if module is None else CuDNN(module)
        self._asked = True
        return self._cudnn


def _is_others(a: Array, b: Array) -> bool:
    return a.dtype.kind != "f" or not a.size or not b.size
