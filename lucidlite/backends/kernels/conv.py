"""Convolution and its gradients, the readable way: every window becomes a row of one matrix."""

from __future__ import annotations

from typing import Any

from lucidlite.backends.kernels import Array, hwnc, in_float32, nchw
from lucidlite.window import Window

Shape = tuple[int, ...]
Grads = tuple[Array | None, Array | None, Array | None]


class ConvKernels:
    """conv2d, and the two gradient kernels which are its transposes.

    x is (N, C, H, W), w (K, C / groups, kH, kW), g and y (N, K, OH, OW), all of one dtype. Arrays
    may have any strides. Images are returned in conv layout, weight and bias gradients in C order.
    ``state`` is what the forward may leave for the backward, None when ``keep`` is false; every
    backward also works without one.
    """

    xp: Any

    @in_float32
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
        """(y, state): the cross-correlation of x with w, plus ``bias`` (K,) where given."""
        del keep, memo  # im2col's matrix is large and quickly rebuilt: nothing is kept
        n, outputs = x.shape[0], window.output_size(x.shape[2:])
        columns = self._conv_columns(x, window, groups)
        weight = w.reshape(groups, w.shape[0] // groups, w.shape[1] * window.taps)
        y = self.xp.matmul(columns, weight.transpose(0, 2, 1))
        y = y.transpose(1, 0, 2).reshape(*outputs, n, w.shape[0])
        if bias is not None:
            y = y + bias
        return nchw(self.xp.ascontiguousarray(y)), None

    @in_float32
    def conv2d_input_grad(
        self, g: Array, w: Array, x_shape: Shape, window: Window, groups: int
    ) -> Array:
        """The gradient of x: every window's share is added to the elements it came from."""
        xp = self.xp
        n, c, *size = x_shape
        outputs = g.shape[2:]
        weight = w.reshape(groups, w.shape[0] // groups, w.shape[1] * window.taps)
        columns = xp.matmul(self._conv_rows(g, groups), weight).transpose(1, 0, 2)
        columns = columns.reshape(*outputs, n, c, window.taps)
        (top, bottom), (left, right) = window.padding
        padded = xp.zeros((size[0] + top + bottom, size[1] + left + right, n, c), g.dtype)
        for tap in range(window.taps):
            padded[window.padded_slices(tap, 0, *outputs)] += columns[..., tap]
        return nchw(padded[top : top + size[0], left : left + size[1]])

    @in_float32
    def conv_transpose2d(
        self, x: Array, w: Array, bias: Array, y_shape: Shape, window: Window, groups: int
    ) -> Array:
        """conv2d_input_grad of x, plus ``bias`` (one a channel of the result)."""
        return self.conv2d_input_grad(x, w, y_shape, window, groups) + bias.reshape(1, -1, 1, 1)

    @in_float32
    def conv2d_weight_grad(
        self, g: Array, x: Array, w_shape: Shape, window: Window, groups: int
    ) -> Array:
        """The gradient of w: over all windows, the sum of gradient times input."""
        columns = self._conv_columns(x, window, groups)
        dw = self.xp.matmul(self._conv_rows(g, groups).transpose(0, 2, 1), columns)
        return dw.reshape(w_shape)

    @in_float32
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
        """(dx, dw, db), None for each that ``needs`` says nobody wants."""
        del state
        return (
            self.conv2d_input_grad(g, w, x.shape, window, groups) if needs[0] else None,
            self.conv2d_weight_grad(g, x, w.shape, window, groups) if needs[1] else None,
            g.sum(axis=(0, 2, 3), dtype=g.dtype) if needs[2] else None,
        )

    def _conv_columns(self, x: Array, window: Window, groups: int) -> Array:
        """im2col: (groups, OH * OW * N, C / groups * taps), one row a window."""
        n, c, *size = x.shape
        outputs = window.output_size((size[0], size[1]))
        padded = self.xp.pad(hwnc(x), (*window.padding, (0, 0), (0, 0)))
        taps = [padded[window.padded_slices(tap, 0, *outputs)] for tap in range(window.taps)]
        columns = self.xp.stack(taps, axis=-1)
        rows = outputs[0] * outputs[1] * n
        return columns.reshape(rows, groups, c // groups * window.taps).transpose(1, 0, 2)

    def _conv_rows(self, g: Array, groups: int) -> Array:
        """A gradient as (groups, OH * OW * N, K / groups)."""
        n, k, height, width = g.shape
        return hwnc(g).reshape(height * width * n, groups, k // groups).transpose(1, 0, 2)
