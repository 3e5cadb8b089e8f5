"""Pooling and its gradients: one pass over the plane for each element of the window, no im2col."""

from __future__ import annotations

from typing import Any

from lucidlite.backends.kernels import Array, hwnc, in_float32, nchw
from lucidlite.window import Pair, Window, adaptive_bins

Shape = tuple[int, ...]


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    """``part`` of an (H, W, N, C) array's rows (axis 0) or columns (axis 1)."""
    return (part,) if axis == 0 else (slice(None), part)


class PoolKernels:
    """Max and average pooling of (N, C, H, W) arrays of any strides; images come in conv layout.

    Padding never takes part in a maximum: a window's taps outside the plane are skipped.
    """

    xp: Any

    def max_pool2d(self, x: Array, window: Window, keep: bool) -> tuple[Array, Array | None]:
        """(y, offsets): the maxima and, if ``keep``, where in its window (row-major) each lies.

        The first of equal elements wins. NaN beats everything, and a later NaN an earlier one.
        """
        xp, image = self.xp, hwnc(x)
        size, outputs = image.shape[:2], window.output_size(image.shape[:2])
        y = xp.full((*outputs, *image.shape[2:]), self._lowest(x.dtype), x.dtype)
        offsets = xp.empty(y.shape, self._offset_dtype(window))
        offsets[...] = self._first_taps(window, outputs)
        for tap in range(window.taps):
            slices = window.tap_slices(tap, size, outputs)
            if slices is None:
                continue
            best, value, offset = y[slices[0]], image[slices[1]], offsets[slices[0]]
            wins = value > best
            if x.dtype.kind == "f":
                wins |= value != value
            offset[...] = xp.where(wins, tap, offset)
            best[...] = xp.maximum(value, best)
        return nchw(y), nchw(offsets) if keep else None

    def max_pool2d_input_grad(
        self, g: Array, offsets: Array, x_shape: Shape, window: Window
    ) -> Array:
        """Each gradient added to the element its window took."""
        grad, offset = hwnc(g), hwnc(offsets)
        n, c, *size = x_shape
        dx = self.xp.zeros((*size, n, c), g.dtype)
        for tap in reversed(range(window.taps)):  # so an element adds up its windows in order
            slices = window.tap_slices(tap, (size[0], size[1]), grad.shape[:2])
            if slices is not None:
                taken = offset[slices[0]] == tap
                part = self.xp.where(taken, grad[slices[0]], g.dtype.type(0))
                if window.disjoint:
                    dx[slices[1]] = part
                else:
                    dx[slices[1]] += part
        return nchw(dx)

    def max_pool2d_gather(self, x: Array, offsets: Array, window: Window) -> Array:
        """The element of x at each window's offset: the transpose of max_pool2d_input_grad."""
        image, offset = hwnc(x), hwnc(offsets)
        y = self.xp.zeros(offset.shape, x.dtype)
        for tap in range(window.taps):
            slices = window.tap_slices(tap, image.shape[:2], offset.shape[:2])
            if slices is not None:
                best = y[slices[0]]
                best[...] = self.xp.where(offset[slices[0]] == tap, image[slices[1]], best)
        return nchw(y)

    def max_pool2d_indices(self, offsets: Array, x_shape: Shape, window: Window) -> Array:
        """Offsets in windows as int64 positions in the flattened plane, padding not counted."""
        xp, offset = self.xp, hwnc(offsets).astype(self.xp.int64)
        kernel_width = window.kernel_size[1]
        places = []
        for axis, tap in enumerate((offset // kernel_width, offset % kernel_width)):
            stride, (before, _) = window.stride[axis], window.padding[axis]
            start = xp.arange(offset.shape[axis], dtype=xp.int64) * stride - before
            start = start.reshape((-1, 1, 1, 1) if axis == 0 else (1, -1, 1, 1))
            places.append(start + tap * window.dilation[axis])
        return nchw(places[0] * x_shape[3] + places[1])

    @in_float32
    def avg_pool2d(
        self, x: Array, window: Window, count_include_pad: bool, divisor_override: int | None
    ) -> Array:
        """The sum of each window over its divisor; integers divide towards zero.

        A window's rows are added up first, one after the other, then its columns.
        """
        image = hwnc(x)
        size, outputs = image.shape[:2], window.output_size(image.shape[:2])
        if window.covers(size):
            total = image.sum(axis=(0, 1), keepdims=True, dtype=x.dtype)
        else:
            total = self._window_sums(self._window_sums(image, window, 0), window, 1)
        divisor = self._divisors(
            window, size, outputs, count_include_pad, divisor_override, x.dtype
        )
        return nchw(self._divided(total, divisor))

    def _window_sums(self, image: Array, window: Window, axis: int) -> Array:
        """Sums of the windows' elements along one axis of (H, W, N, C)."""
        n = image.shape[axis]
        shape = list(image.shape)
        shape[axis] = outputs = window.output_size((n, n))[axis]
        # Adding to -0.0 leaves every number as it is, its sign too.
        total = self.xp.full(shape, -0.0, image.dtype)
        for tap in range(window.kernel_size[axis]):
            first, end, at = window.tap_span(axis, tap, n, outputs)
            if first < end:
                stride = window.stride[axis]
                elements = slice(at, at + (end - first - 1) * stride + 1, stride)
                total[_along(axis, slice(first, end))] += image[_along(axis, elements)]
        return total

    @in_float32
    def avg_pool2d_input_grad(
        self,
        g: Array,
        x_shape: Shape,
        window: Window,
        count_include_pad: bool,
        divisor_override: int | None,
    ) -> Array:
        """Each gradient over its divisor, added to every element of its window.

        They are added up down the columns first, then along the rows.
        """
        grad = hwnc(g)
        size = (x_shape[2], x_shape[3])
        divisor = self._divisors(
            window, size, grad.shape[:2], count_include_pad, divisor_override, g.dtype
        )
        dx = self._divided(grad, divisor)
        for axis in (0, 1):
            dx = self._spread(dx, window, axis, size[axis])
        return nchw(dx)

    def _spread(self, share: Array, window: Window, axis: int, n: int) -> Array:
        """The transpose of _window_sums: (H, W, N, C) with ``n`` elements along the axis."""
        shape = list(share.shape)
        outputs, shape[axis] = shape[axis], n
        dx = self.xp.zeros(shape, share.dtype)
        disjoint = window.stride[axis] >= window.extent[axis]
        for tap in reversed(range(window.kernel_size[axis])):
            first, end, at = window.tap_span(axis, tap, n, outputs)
            if first < end:
                stride = window.stride[axis]
                elements = slice(at, at + (end - first - 1) * stride + 1, stride)
                part = share[_along(axis, slice(first, end))]
                if disjoint:
                    dx[_along(axis, elements)] = part
                else:
                    dx[_along(axis, elements)] += part
        return dx

    def adaptive_max_pool2d(self, x: Array, output_size: Pair) -> tuple[Array, Array]:
        """(y, indices): the maximum of each bin and its int64 position in the flattened plane.

        Ties and NaN as in max_pool2d.
        """
        xp, image = self.xp, hwnc(x)
        height, width = image.shape[:2]
        if 0 in output_size:
            empty = xp.empty((*output_size, *image.shape[2:]), x.dtype)
            return nchw(empty), nchw(empty.astype(xp.int64))
        # Columns first, then rows: so the first maximum is that of the first row to have it.
        column = xp.arange(width, dtype=xp.int64).reshape(1, width, 1, 1)
        row = xp.arange(height, dtype=xp.int64).reshape(height, 1, 1, 1)
        columns = xp.broadcast_to(column, image.shape)
        image, columns = self._bin_maxima(image, columns, 1, adaptive_bins(width, output_size[1]))
        positions = row * width + columns
        image, positions = self._bin_maxima(
            image, positions, 0, adaptive_bins(height, output_size[0])
        )
        return nchw(image), nchw(positions)

    def _bin_maxima(
        self, image: Array, positions: Array, axis: int, bins: tuple[Pair, ...]
    ) -> tuple[Array, Array]:
        """The maximum of each bin along an axis, and its entry of ``positions``."""
        best = best_at = None
        for step in range(max(end - start for start, end in bins)):
            # Shorter bins look at their last element again, which changes nothing.
            taken = self.xp.asarray([min(start + step, end - 1) for start, end in bins])
            value, at = image.take(taken, axis=axis), positions.take(taken, axis=axis)
            if best is None:
                best, best_at = value, at
                continue
            wins = value > best
            if value.dtype.kind == "f":
                wins |= value != value
            best, best_at = self.xp.maximum(value, best), self.xp.where(wins, at, best_at)
        return best, best_at

    def plane_gather(self, x: Array, indices: Array) -> Array:
        """x's elements at positions ``indices`` (N, C, OH, OW) of each flattened plane."""
        image, at = hwnc(x), hwnc(indices)
        height, width, n, c = image.shape
        flat = self.xp.take_along_axis(
            image.reshape(height * width, n, c), at.reshape(at.shape[0] * at.shape[1], n, c), axis=0
        )
        return nchw(flat.reshape(at.shape))

    def plane_scatter(self, g: Array, indices: Array, x_shape: Shape) -> Array:
        """The transpose of plane_gather: gradients that meet in one element add up."""
        xp = self.xp
        n, c, height, width = x_shape
        planes = n * c
        dx = xp.zeros(height * width * planes, g.dtype)
        at = hwnc(indices).reshape(-1, planes) * planes + xp.arange(planes) if planes else indices
        xp.add.at(dx, at.ravel(), hwnc(g).ravel())
        return nchw(dx.reshape(height, width, n, c))

    @in_float32
    def adaptive_avg_pool2d(self, x: Array, output_size: Pair) -> Array:
        """The mean of each bin."""
        image = hwnc(x)
        divisor = self._bin_sizes(image.shape[:2], output_size, x.dtype)
        for axis in (0, 1):
            shape = list(image.shape)
            shape[axis] = output_size[axis]
            sums = self.xp.empty(shape, x.dtype)
            for i, (start, end) in enumerate(adaptive_bins(image.shape[axis], shape[axis])):
                part = image[_along(axis, slice(start, end))]
                sums[_along(axis, slice(i, i + 1))] = part.sum(axis=axis, keepdims=True)
            image = sums
        return nchw(self._divided(image, divisor))

    @in_float32
    def adaptive_avg_pool2d_input_grad(self, g: Array, x_shape: Shape) -> Array:
        """Each gradient over its bin's size, added to every element of the bin."""
        share, size = hwnc(g), (x_shape[2], x_shape[3])
        share = self._divided(share, self._bin_sizes(size, share.shape[:2], g.dtype))
        for axis in (0, 1):
            shape = list(share.shape)
            outputs, shape[axis] = shape[axis], size[axis]
            spread = self.xp.zeros(shape, g.dtype)
            for i, (start, end) in enumerate(adaptive_bins(size[axis], outputs)):
                part = spread[_along(axis, slice(start, end))]
                part += share[_along(axis, slice(i, i + 1))]
            share = spread
        return nchw(share)

    def _bin_sizes(self, size: Pair, output_size: Pair, dtype: Any) -> Array:
        """(OH, OW, 1, 1): how many elements each bin of adaptive pooling has."""
        rows, columns = (
            self.xp.asarray([end - start for start, end in adaptive_bins(n, o)], dtype=dtype)
            for n, o in zip(size, output_size, strict=True)
        )
        return (rows[:, None] * columns)[:, :, None, None]

    def _lowest(self, dtype: Any) -> Any:
        return -self.xp.inf if dtype.kind == "f" else self.xp.iinfo(dtype).min

    def _offset_dtype(self, window: Window) -> Any:
        if window.taps <= 256:
            return self.xp.uint8
        return self.xp.uint16 if window.taps <= 65536 else self.xp.uint32

    def _first_taps(self, window: Window, outputs: Pair) -> Array:
        """(OH, OW, 1, 1): the tap that stands for a window of which nothing beats padding."""
        rows, columns = (self.xp.asarray(window.first_taps(axis, outputs[axis])) for axis in (0, 1))
        taps = rows[:, None] * window.kernel_size[1] + columns
        return taps.astype(self._offset_dtype(window))[:, :, None, None]

    def _divisors(
        self,
        window: Window,
        size: Pair,
        outputs: Pair,
        count_include_pad: bool,
        divisor_override: int | None,
        dtype: Any,
    ) -> Any:
        """A number, or an (OH, OW, 1, 1) array where windows differ."""
        if divisor_override is not None:
            return divisor_override
        rows, columns = (
            window.counts(axis, size[axis], outputs[axis], count_include_pad) for axis in (0, 1)
        )
        if len({*rows}) == 1 and len({*columns}) == 1:
            return rows[0] * columns[0]
        table = [[[[r * c]] for c in columns] for r in rows]
        return self.xp.asarray(table, dtype=dtype)

    def _divided(self, total: Array, divisor: Any) -> Array:
        if total.dtype.kind == "f":
            return total / divisor
        # Integer division truncates in C, floors here.
        quotient = self.xp.abs(total) // self.xp.abs(divisor)
        sign = self.xp.sign(total) * self.xp.sign(divisor)
        return (quotient * sign).astype(total.dtype)
