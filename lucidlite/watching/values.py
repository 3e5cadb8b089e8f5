"""Numbers out of arrays: gathered on their device, and brought over together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lucidlite.backends import Backend

if TYPE_CHECKING:
    from lucidlite.backends.kernels import Array

_FLOAT = np.dtype(np.float64)


def read(backend: Backend, scalars: Sequence[Any]) -> list[float]:
    """0-dim arrays as numbers, in one transfer: the host waits for a GPU once."""
    if not scalars:
        return []
    together = backend.xp.stack([value.astype(_FLOAT).reshape(()) for value in scalars])
    return [float(value) for value in backend.to_numpy(together)]


def norm(backend: Backend, array: Array) -> Array:
    """The 2-norm of all elements, 0-dim: infinite where float32 can't hold it."""
    wide = array.astype(np.dtype(np.float32)) if array.dtype.itemsize < 4 else array
    return backend.norm(wide, 2.0, tuple(range(array.ndim)), False)


def version(tensor: Any) -> int:
    """How often the tensor's memory was written to; of inference tensors too."""
    return 0 if tensor._cell is None else int(tensor._cell.value)
