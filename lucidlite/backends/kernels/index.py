"""Adding at indices: the transpose of taking elements out."""

from __future__ import annotations

from typing import Any

from lucidlite.backends.kernels import Array


class IndexKernels:
    """Kernels that scatter."""

    xp: Any

    def index_add(self, shape: tuple[int, ...], dtype: Any, key: Any, values: Array) -> Array:
        """Zeros of ``shape`` with ``values`` added at ``key``; places named twice add up."""
        out = self.xp.zeros(shape, dtype)
        if any(hasattr(i, "dtype") and i.dtype.kind != "b" for i in key):
            self.xp.add.at(out, key, values)
        else:
            out[key] = values
        return out

    def index_add_to(self, array: Array, key: Any, values: Array) -> Array:
        """A copy of ``array`` with ``values`` added at ``key``; places named twice add up."""
        out = array.copy()
        self.xp.add.at(out, key, values)
        return out
