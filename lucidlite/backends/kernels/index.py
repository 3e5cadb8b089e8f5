"""Taking elements out at indices, and its transpose: adding at indices."""

from __future__ import annotations

from typing import Any

from lucidlite.backends.kernels import Array


class IndexKernels:
    """Kernels that gather and scatter. Indices are known to be within bounds."""

    xp: Any
    map: Any

    def take(self, array: Array, key: tuple[Any, ...]) -> Array:
        """A copy of the elements at an index that holds arrays."""
        return array[key]

    def index_add(self, shape: tuple[int, ...], dtype: Any, key: Any, values: Array) -> Array:
        """Zeros of ``shape`` with ``values`` added at ``key``; places named twice add up."""
        out = self.xp.zeros(shape, dtype)
        if any(hasattr(i, "dtype") and i.dtype.kind != "b" for i in key):
            self._add_at(out, key, values)
        else:
            out[key] = values
        return out

    def index_add_to(self, array: Array, key: Any, values: Array) -> Array:
        """A copy of ``array`` with ``values`` added at ``key``; places named twice add up."""
        out = array.copy()
        self._add_at(out, key, values)
        return out

    def _add_at(self, out: Array, key: Any, values: Array) -> None:
        """Add to a C-contiguous array in place."""
        self.xp.add.at(out, key, values)

    def gather(self, array: Array, dim: int, index: Array) -> Array:
        """``out[i][j] = array[index[i][j]][j]`` for dim 0, and so on; not for 0-dim arrays.

        ``index`` may be shorter than ``array`` along the other dims.
        """
        return array[self._grid(index, dim)]

    def scatter_add(self, array: Array, dim: int, index: Array, values: Array) -> Array:
        """A copy of ``array`` with ``values`` added at the places ``gather`` takes from.

        ``values`` has the shape of ``index``.
        """
        return self.index_add_to(array, self._grid(index, dim), values)

    def scatter_put(self, array: Array, dim: int, index: Array, values: Array) -> Array:
        """A copy of ``array`` with ``values`` (or a number) at the places ``gather`` takes from."""
        out = array.copy()
        out[self._grid(index, dim)] = values
        return out

    def fold_at(self, name: str, array: Array, dim: int, index: Array, values: Array) -> Array:
        """A copy of ``array`` with ``values`` folded in by the function ``name``, as they come."""
        half = array.dtype == self.xp.float16
        out = array.astype(self.xp.float32) if half else array.copy()
        for i in range(index.shape[dim]):
            # Of one slice no two elements fall on one place.
            step = (*(slice(None),) * dim, slice(i, i + 1))
            grid = self._grid(index[step], dim)
            out[grid] = self.map(name, out[grid], values[step].astype(out.dtype, copy=False))
        return out.astype(array.dtype) if half else out

    def _grid(self, index: Array, dim: int) -> tuple[Array, ...]:
        """``index`` along ``dim``, every other dim running over its range."""
        grid: list[Any] = []
        for d, n in enumerate(index.shape):
            ones = [1] * index.ndim
            ones[d] = n
            grid.append(self.xp.arange(n).reshape(ones))
        grid[dim] = index
        return tuple(grid)
