"""Taking and adding at indices on a GPU, the same bits each time: no atomics.

CuPy's own functions serve what is no float, and masks (of which a GPU must tell how many elements
they have: that waits for it, as in PyTorch).
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends.kernels import Array
from lucidlite.backends.kernels.index import IndexKernels

if TYPE_CHECKING:
    from lucidlite.backends.cupy_kernels.alarms import Alarms

# Indices that are compared each with each, to link those that are equal; more are sorted, for
# which CuPy waits for the GPU.
MOST_LINKED = 1 << 15
# Columns with which a kernel of one thread a column is well used, and a length at which fewer do.
COLUMNS, SHORT = 4096, 256


class CuPyIndex(IndexKernels):
    """What ``IndexKernels`` has, for CuPy arrays; and the look at indices."""

    alarms: Alarms

    if TYPE_CHECKING:
        launch: Any

        def contiguous(self, array: Array) -> Array: ...
        def check_alarms(self) -> None: ...

    def look(self, index: Array, low: int, high: int, number: int, ignore: int | None) -> None:
        """Raise alarm ``number`` where an integer is outside [low, high) and isn't ``ignore``."""
        flat = self._integers(index)
        ignored = (0, 0) if ignore is None else (ignore, 1)
        flag = self.alarms.flag
        self.launch("index", "look", flat.size, flat, flat.size, low, high, *ignored, flag, number)
        if self.alarms.at_once:
            self.check_alarms()

    def take(self, array: Array, key: tuple[Any, ...]) -> Array:
        dim = _only(key, array)
        if dim is None or array.dtype.kind != "f":
            return super().take(array, key)
        index, shape = key[dim], array.shape
        out = self.xp.empty((*shape[:dim], *index.shape, *shape[dim + 1 :]), array.dtype)
        sizes = index.size, prod(shape[dim + 1 :]), shape[dim]
        array, index = self.contiguous(array), self._integers(index)
        self.launch("index", "take", out.size, array, index, out, out.size, *sizes, dtype=out.dtype)
        return out

    def gather(self, array: Array, dim: int, index: Array) -> Array:
        if array.dtype.kind != "f":
            return super().gather(array, dim, index)
        array = self.contiguous(array[_beside(array, dim, index)])
        out = self.xp.empty(index.shape, array.dtype)
        sizes = index.shape[dim], prod(index.shape[dim + 1 :]), array.shape[dim]
        flat = self._integers(index)
        self.launch(
            "index", "gather", out.size, array, flat, out, out.size, *sizes, dtype=array.dtype
        )
        return out

    def scatter_add(self, array: Array, dim: int, index: Array, values: Array) -> Array:
        if array.dtype.kind != "f":
            return super().scatter_add(array, dim, index, values)
        n, inner, size = index.shape[dim], prod(index.shape[dim + 1 :]), array.shape[dim]
        columns = prod(index.shape[:dim]) * inner
        if columns < COLUMNS and n > SHORT:
            return super().scatter_add(array, dim, index, values)
        out = self._summing_copy(array)
        part = _beside(array, dim, index)
        added = self.contiguous(out[part])
        args = added, self.contiguous(values.astype(out.dtype, copy=False)), self._integers(index)
        self.launch("index", "scatter", columns, *args, columns, n, inner, size, dtype=out.dtype)
        if added.shape != out.shape:
            out[part] = added
        return out.astype(array.dtype, copy=False)

    def index_add(self, shape: tuple[int, ...], dtype: Any, key: Any, values: Array) -> Array:
        if np.dtype(dtype).kind != "f" or not _of_integers(key):
            return super().index_add(shape, dtype, key, values)
        return self._added(self.xp.zeros(shape, dtype), key, values)

    def index_add_to(self, array: Array, key: Any, values: Array) -> Array:
        if array.dtype.kind != "f" or not _of_integers(key):
            return super().index_add_to(array, key, values)
        return self._added(self.xp.array(array, copy=True, order="C"), key, values)

    def _added(self, out: Array, key: Any, values: Array) -> Array:
        """``out``, written to, with ``values`` added at an index of integers."""
        dim = _only(key, out)
        if dim is None:  # any other index: by the number of each place
            places = self.xp.arange(out.size).reshape(out.shape)[key]
            values = self.xp.broadcast_to(values, places.shape)
            index, inner, size = places.reshape(-1), 1, out.size
        else:
            index, size = self._integers(key[dim]), out.shape[dim]
            inner = prod(out.shape[dim + 1 :])
            wanted = (*out.shape[:dim], *key[dim].shape, *out.shape[dim + 1 :])
            values = self.xp.broadcast_to(values, wanted)
        values = self.contiguous(values)
        n, sizes = index.size, (values.size, index.size, inner, size)
        if not values.size:
            return out
        if n <= MOST_LINKED:
            how: tuple[Any, ...]
            links = self.xp.empty((2, n), np.int32)
            self.launch("index", "link", n, index, links[0], links[1], n, size)
            how = "add_linked", values.size, out, values, index, links[0], links[1]
        else:
            index = self.xp.where(index < 0, index + size, index)
            how = ("add_sorted", values.size, out, values, index, self.xp.argsort(index))
        self.launch("index", *how, *sizes, dtype=out.dtype)
        return out

    def _integers(self, index: Array) -> Array:
        return self.contiguous(index).reshape(-1).astype(np.int64, copy=False)

    def _summing_copy(self, array: Array) -> Array:
        """A copy in C order that sums can be rounded in after every term."""
        kind = np.float32 if array.dtype == np.float16 else array.dtype
        return self.xp.array(array, dtype=kind, copy=True, order="C")


def _of_integers(key: Any) -> bool:
    """Whether an index has arrays, of integers all."""
    kinds = [i.dtype.kind for i in key if hasattr(i, "dtype")]
    return bool(kinds) and "b" not in kinds


def _only(key: Any, array: Array) -> int | None:
    """The dim of an index that is one array of integers, everything along the other dims."""
    found = None
    for dim, item in enumerate(key):
        if hasattr(item, "dtype"):
            if found is not None or item.dtype.kind == "b":
                return None
            found = dim
        elif not (isinstance(item, slice) and item.indices(array.shape[dim]) == _all(array, dim)):
            return None
    return found


def _all(array: Array, dim: int) -> tuple[int, int, int]:
    return 0, array.shape[dim], 1


def _beside(array: Array, dim: int, index: Array) -> tuple[slice, ...]:
    """The part of an array that a shorter index names."""
    sizes = [slice(n) for n in index.shape]
    sizes[dim] = slice(array.shape[dim])
    return tuple(sizes)
