"""Elementwise functions of large arrays: cut over the threads, and into blocks where that pays.

One core alone can't use the memory's whole width, nor compute an exponential as fast as its
arguments arrive; several passes over a block find it in the cache. An element comes out the same
wherever the cuts are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lucidlite.backends.base import Backend
from lucidlite.backends.kernels import Array
from lucidlite.threads import WORTH_SHARING, Part, cut, get_num_threads, parallel

# Elements in NumPy's buffers, where kernels run: it copies runs that are short beside them.
BUFFER = 1024

# What an element costs, where that isn't half of what threads.cut counts for one: the cheapest
# functions have done a million of them by the time that sharing them would pay.
_COSTS = {
    **dict.fromkeys(("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "tanh", "sqrt"), 2),
    **dict.fromkeys(("sin", "cos", "tan", "arctan", "arctan2", "sinh", "cosh", "power"), 3),
    **dict.fromkeys(("hypot", "floor_divide", "remainder", "fmod"), 20),
}


class NumPyElementwise(Backend):
    """``map`` in parts, where that pays."""

    def map(self, name: str, *arrays: Array, out: Array | None = None) -> Array:
        cost = max([a.size for a in arrays]) * _COSTS.get(name, 0.5)
        if cost >= WORTH_SHARING and get_num_threads() > 1:
            result = self._in_parts(getattr(np, name), arrays, out, cost)
            if result is not None:
                return result
        return super().map(name, *arrays, out=out)

    def _in_parts(
        self, function: Any, arrays: Sequence[Array], out: Array | None, cost: float
    ) -> Array | None:
        """The result, or None where its memory order is better left to NumPy."""
        if not isinstance(function, np.ufunc):
            return None
        if len(arrays) == 2:
            a, b = arrays
            if (a.ndim == 4 or b.ndim == 4) and a.ndim and b.ndim and a.strides != b.strides:
                arrays = self.align(a, b)
        model = max(arrays, key=_size)
        if np.broadcast(*arrays).shape != model.shape:
            return None
        if any([a.shape == model.shape and not _alike(a, model) for a in arrays]):
            return None
        if out is None:
            with np.errstate(all="ignore"):
                first = [a[(slice(0, 1),) * a.ndim] for a in arrays]
                out = np.empty_like(model, function(*first).dtype)
        elif not _alike(out, model) or not all([_safe(a, out) for a in arrays]):
            return None
        in_parts(function, arrays, out, cost)
        return out


def in_parts(
    function: Callable[..., Any],
    arrays: Sequence[Array],
    out: Array,
    cost: float,
    block: int | None = None,
) -> None:
    """``function(*arrays, out=out)`` a part at a time, and those in blocks of ``block`` elements.

    The arrays broadcast to ``out``. ``cost`` is that of all elements, as in ``threads.cut``.
    """
    if cost < WORTH_SHARING and (block is None or out.size <= 2 * block):
        function(*arrays, out=out)
        return
    arrays, out = _flat(arrays, out)
    # The outermost axis in memory; an axis of one element has no place there.
    axis = max(range(out.ndim), key=lambda d: (out.shape[d] > 1, abs(out.strides[d])))
    rows, after = out.shape[axis], out.ndim - axis
    step = rows if block is None else max(1, block * rows // out.size)

    def work(part: Part) -> None:
        with np.errstate(all="ignore"):
            np.setbufsize(BUFFER)  # errstate puts back the size too
            for first in range(part[0], part[1], step):
                span = slice(first, min(first + step, part[1]))
                function(*[_piece(a, after, span) for a in arrays], out=_piece(out, after, span))

    parallel(work, cut(rows, int(cost) // rows))


def _flat(arrays: Sequence[Array], out: Array) -> tuple[Sequence[Array], Array]:
    """Arrays that lie in memory as ``out`` does, without gaps, as arrays of one axis."""
    if not all([a.ndim == 0 or _alike(a, out) for a in arrays]):
        return arrays, out
    order = sorted(range(out.ndim), key=lambda d: -out.strides[d])
    line = out.transpose(order)
    if not line.flags.c_contiguous:
        return arrays, out
    return [a.transpose(order).reshape(-1) if a.ndim else a for a in arrays], line.reshape(-1)


def _size(array: Array) -> int:
    return array.size  # type: ignore[no-any-return]


def _alike(a: Array, b: Array) -> bool:
    """Whether two arrays have the same shape and their elements the same order in memory."""
    if a.shape != b.shape:
        return False
    if a.strides == b.strides and a.itemsize == b.itemsize:
        return True
    x, y, axes = a.itemsize, b.itemsize, range(a.ndim)
    return all([a.shape[d] == 1 or a.strides[d] * y == b.strides[d] * x for d in axes])


def _safe(a: Array, out: Array) -> bool:
    """Whether nothing is overwritten before it is read: ``out`` is ``a``, or has none of it."""
    if not np.may_share_memory(a, out):
        return True
    return _alike(a, out) and a.ctypes.data == out.ctypes.data


def _piece(array: Array, after: int, span: slice) -> Array:
    """``span`` of the axis that is ``after``-th from the right, unless the array is broadcast."""
    axis = array.ndim - after
    if axis < 0 or array.shape[axis] == 1:
        return array
    index = *[slice(None)] * axis, span
    return array[index]
