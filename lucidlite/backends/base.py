"""Backend: what the framework asks of an array library, written once on ``xp`` (numpy or cupy).

A tensor holds the backend of its device. Kernels take and return raw arrays and never write to
their arguments, except those documented as outputs.

Memory order is decided here. Images are (N, C, H, W) to everyone; convolutions and pools produce
them in *conv layout*, seen through a transposed view: memory order (H, W, N, C) on a CPU, where
inner loops run over long contiguous (N, C) rows, and (N, H, W, C) on a GPU. ``map`` keeps a chain
of operations in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.amp import AmpKernels
from lucidlite.backends.kernels.conv import ConvKernels
from lucidlite.backends.kernels.data import DataKernels
from lucidlite.backends.kernels.group_norm import GroupNormKernels
from lucidlite.backends.kernels.index import IndexKernels
from lucidlite.backends.kernels.loss import LossKernels
from lucidlite.backends.kernels.matmul import MatmulKernels
from lucidlite.backends.kernels.norm import NormKernels
from lucidlite.backends.kernels.optim import OptimKernels
from lucidlite.backends.kernels.optim_rules import OptimRuleKernels
from lucidlite.backends.kernels.pool import PoolKernels
from lucidlite.backends.kernels.random import RandomKernels
from lucidlite.backends.kernels.recurrent import RecurrentKernels
from lucidlite.backends.kernels.reduce import ReduceKernels
from lucidlite.backends.kernels.resample import ResampleKernels
from lucidlite.backends.kernels.scan import ScanKernels
from lucidlite.backends.kernels.special import SpecialKernels
from lucidlite.callsite import error
from lucidlite.device import Device


class Backend(
    ConvKernels,
    PoolKernels,
    MatmulKernels,
    ReduceKernels,
    NormKernels,
    GroupNormKernels,
    ResampleKernels,
    LossKernels,
    IndexKernels,
    OptimKernels,
    OptimRuleKernels,
    RandomKernels,
    AmpKernels,
    ScanKernels,
    SpecialKernels,
    RecurrentKernels,
    DataKernels,
):
    """An array library bound to a device: transfers, elementwise ``map``, and every kernel."""

    xp: Any
    device: Device
    # The axes of (N, C, H, W) in the order conv layout has them, and the way back.
    order: tuple[int, int, int, int] = (2, 3, 0, 1)
    order_back: tuple[int, int, int, int] = (2, 3, 0, 1)

    def in_conv_layout(self, array: Array) -> bool:
        """Whether a 4-dim array is in conv layout; it can be in C order at once."""
        return is_conv_layout(array)

    def images(self, array: Array) -> Array:
        """An (N, C, H, W) array in conv layout's axes, contiguous: a copy where it isn't."""
        return self.xp.ascontiguousarray(array.transpose(self.order))

    def seen(self, image: Array) -> Array:
        """What ``images`` gave, as (N, C, H, W) again; no copy."""
        return image.transpose(self.order_back)

    def asarray(self, value: Any, dtype: np.dtype[Any] | None = None) -> Array:
        """A host array or number on this device (the same memory where that is possible)."""
        return self.xp.asarray(value, dtype=dtype)

    def constant(self, value: Any, dtype: np.dtype[Any]) -> Array:
        """A number as a 0-dim array that nobody writes to."""
        return self.asarray(value, dtype)

    def table(self, values: Any) -> Array:
        """A list of constants as an array that nobody writes to."""
        return self.asarray(values)

    def to_numpy(self, array: Array) -> np.ndarray[Any, Any]:
        """The array on the host."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait for the device to finish."""

    def alarm(self, kind: type[Exception], message: str) -> int:  # noqa: ARG002
        """A number for a kernel that looks for bad indices itself and raises this; 0 without one.

        Where it is 0, ``check_index`` tells at once.
        """
        return 0

    def check_index(
        self,
        index: Array,
        low: int,
        high: int,
        kind: type[Exception],
        message: str,
        ignore: int | None = None,
    ) -> bool:
        """Raise ``kind`` where an integer is outside [low, high) and isn't ``ignore``.

        ``{}`` in the message stands for the first such integer. A GPU notes it, and raises at the
        next look at a value. Returns whether all were seen to lie within (a GPU never says so).
        """
        if not index.size:
            return True
        # Seen without a sign a negative number is large, so one look may do.
        if low == 0 and index.dtype.itemsize == 8 and index.view(np.uint64).max() < high:
            return True
        if ignore is None and low <= index.min() and index.max() < high:
            return True
        wrong = (index < low) | (index >= high)
        if ignore is not None:
            wrong = wrong & (index != ignore)
        if not wrong.any():
            return False
        value = int(index[wrong].reshape(-1)[0])
        raise error(kind, message.replace("{}", str(value)))

    def check_alarms(self) -> None:
        """Raise what kernels found since the last look, where they don't tell at once."""

    def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array:
        """The elementwise function ``name`` of ``arrays``, in conv layout if one of them is.

        ``out`` receives the result where it is given, which may be one of ``arrays``.
        """
        if len(arrays) == 2:
            a, b = arrays
            if (a.ndim == 4 or b.ndim == 4) and a.ndim and b.ndim and a.strides != b.strides:
                arrays = self.align(a, b)
        if out is not None:
            return self.call(name, *arrays, out=out)
        result = self.call(name, *arrays)
        # NumPy turns 0-dim results into scalars.
        return result if result.ndim else self.xp.asarray(result)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Array:
        """The library's function ``name``; overflow, NaN and division by zero pass silently."""
        return getattr(self.xp, name)(*args, **kwargs)

    def cast(self, array: Array, dtype: np.dtype[Any]) -> Array:
        """The array converted, in the same memory order; what doesn't fit wraps or becomes inf."""
        return array.astype(dtype)

    def try_view(self, array: Array, shape: tuple[int, ...]) -> Array | None:
        """The same memory in another shape, or None where strides don't allow it."""
        seen = array.view()
        try:
            seen.shape = shape
        except (AttributeError, ValueError):
            return None
        return seen

    def ghost(self, array: Array) -> Array:
        """An array of the same shape with row-major strides over no memory, never to be read."""
        strides, step = [], array.itemsize
        for n in reversed(array.shape):
            strides.append(step)
            step *= max(n, 1)
        stub = self.xp.empty(1, array.dtype)
        return self.xp.lib.stride_tricks.as_strided(stub, array.shape, strides[::-1])

    def join(self, arrays: list[Array], axis: int) -> Array:
        """Arrays end to end along an axis, in conv layout where one of them is."""
        if arrays[0].ndim == 4 and any(
            self.in_conv_layout(a) and not a.flags.c_contiguous for a in arrays
        ):
            inner = [a.transpose(self.order) for a in arrays]
            return self.seen(self.xp.concatenate(inner, self.order.index(axis % 4)))
        return self.xp.concatenate(arrays, axis)

    def padded(
        self, array: Array, shape: tuple[int, ...], inner: tuple[slice, ...], value: float
    ) -> Array:
        """``value`` of ``shape`` around ``array``, in conv layout if that has it."""
        if array.ndim == 4 and self.in_conv_layout(array):
            image = tuple(shape[axis] for axis in self.order)
            out = self.seen(self.xp.full(image, value, array.dtype))
        else:
            out = self.xp.full(shape, value, array.dtype)
        out[inner] = array
        return out

    def align(self, *arrays: Array) -> tuple[Array, ...]:
        """Bring all operands into conv layout if one of the result's size has it.

        Mixed orders are slow, and leave the result's order to the library.
        """
        full = max([a.size for a in arrays])
        if max([a.ndim for a in arrays]) > 4:
            return arrays
        if not any([a.ndim == 4 and a.size == full and self.in_conv_layout(a) for a in arrays]):
            return arrays
        images = [a if a.ndim == 4 else a.reshape((1,) * (4 - a.ndim) + a.shape) for a in arrays]
        return tuple([a if self.in_conv_layout(a) else self.to_conv_layout(a) for a in images])

    def to_conv_layout(self, array: Array) -> Array:
        """The same (N, C, H, W) values in conv layout."""
        return self.seen(self.images(array))

    def contiguous(self, array: Array) -> Array:
        """The array in C order, itself where it is."""
        return array if array.flags.c_contiguous else self.copy(array)

    def copy_like(self, array: Array, like: Array) -> Array:
        """A fresh array, in conv layout where ``like`` is in no other, else in C order."""
        if like.ndim == 4 and self.in_conv_layout(like) and not like.flags.c_contiguous:
            return self.seen(self.copy(array.transpose(self.order)))
        return self.copy(array)

    def copy(self, array: Array) -> Array:
        """A fresh array in C order."""
        return self.xp.array(array, copy=True, order="C")


def is_conv_layout(array: Array) -> bool:
    """Whether a 4-dim array's memory order is (H, W, N, C) with contiguous (N, C) rows.

    Axes of size 1 don't matter, so an array can be in conv layout and in C order at once.
    """
    n, c, h, w = array.shape
    stride_n, stride_c, stride_h, stride_w = array.strides
    row = array.itemsize
    if c > 1:
        if stride_c != row:
            return False
        row *= c
    if n > 1:
        if stride_n != row:
            return False
        row *= n
    if w > 1:
        if stride_w < row:
            return False
        row = stride_w * w
    return bool(h == 1 or stride_h >= row)
