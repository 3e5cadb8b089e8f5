"""Elements of an axis mixed by a table: what resizing, padding from inside and crops come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.backends.kernels import Array, in_float32
from lucidlite.mixes import Mix
from lucidlite.window import Window

Shape = tuple[int, ...]


class ResampleKernels:
    """``mix`` along one axis, and windows of images as columns with the transpose of that."""

    xp: Any
    order: tuple[int, int, int, int]

    if TYPE_CHECKING:

        def table(self, values: Any) -> Array: ...
        def seen(self, image: Array) -> Array: ...

    @in_float32
    def mix(self, x: Array, table: Mix, axis: int) -> Array:
        """Element i of the result's axis: the sum of ``weights[t][i] * x[places[t][i]]`` over t.

        Images come in conv layout.
        """
        inner = x.ndim == 4 and axis >= 2
        lines = x.transpose(self.order) if inner else x
        axis = self.order.index(axis) if inner else axis
        column = (-1,) + (1,) * (x.ndim - 1 - axis)
        total = None
        for places, weights in zip(table.places, table.weights, strict=True):
            part = lines.take(self.table(places), axis=axis)
            if weights is not None:
                part *= self.table(weights).astype(x.dtype).reshape(column)
            if total is None:
                total = part
            else:
                total += part
        return self.seen(total) if inner else total

    def unfold2d(self, x: Array, window: Window) -> Array:
        """(N, C * taps, windows): every window of x (N, C, H, W) as a column; padding is 0."""
        n, c, *size = x.shape
        outputs = window.output_size((size[0], size[1]))
        columns = self.xp.zeros((n, c, window.taps, *outputs), x.dtype)
        for tap in range(window.taps):
            slices = window.tap_slices(tap, (size[0], size[1]), outputs)
            if slices is not None:
                (out_h, out_w), (in_h, in_w) = slices
                columns[:, :, tap, out_h, out_w] = x[..., in_h, in_w]
        return columns.reshape(n, c * window.taps, outputs[0] * outputs[1])

    @in_float32
    def fold2d(self, columns: Array, x_shape: Shape, window: Window) -> Array:
        """The transpose of unfold2d: every column added to the elements of its window."""
        n, c, *size = x_shape
        outputs = window.output_size((size[0], size[1]))
        taps = columns.reshape(n, c, window.taps, *outputs)
        x = self.xp.zeros(x_shape, columns.dtype)
        for tap in range(window.taps):
            slices = window.tap_slices(tap, (size[0], size[1]), outputs)
            if slices is not None:
                (out_h, out_w), (in_h, in_w) = slices
                x[..., in_h, in_w] += taps[:, :, tap, out_h, out_w]
        return x
